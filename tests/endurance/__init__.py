"""The endurance suites: the whole program, killed, cut off, crowded and starved, over and over."""
