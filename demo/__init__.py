"""Stand-ins that speak the real protocols, so that the whole pipeline runs on one machine."""
