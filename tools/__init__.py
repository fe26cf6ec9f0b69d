"""Tools for those who work on the project; the program itself does not need them."""
