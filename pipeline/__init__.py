"""The day while it is processed: its record, and the publishing of what came of it."""
