"""What stakeholders read of a day: its content, localised once, and the local renderings of it."""
