"""What `check` looks at, a module for each part; a probe reads and asks, it changes nothing."""
