"""Tools beside the program, for those who work on it and those who look after its database; it needs none of them."""
