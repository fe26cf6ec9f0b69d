"""What the operator sees in the terminal: options, the prompt, progress, the summary."""
