"""Real parts that the tests run against: servers with scripted faults, on loopback."""
