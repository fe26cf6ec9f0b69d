"""What the letter travels by: a conversation with a mail server that is encrypted, verified and bounded in time."""
