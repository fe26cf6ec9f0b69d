"""The parts of the settings, a module each: its record, and how it is read; `config` puts them together."""
