"""The further commands of the operator, a module each."""
