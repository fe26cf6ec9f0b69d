"""The events API: windows of a day, HTTP, decoding, validation of one event."""
