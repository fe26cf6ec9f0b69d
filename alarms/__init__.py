"""Tells people and monitors how commands end: messages through Apprise, a heartbeat, a file of figures.

None of it may break or delay a run: everything happens in threads that nobody waits for longer than a few seconds,
and a failure is one warning in the log.
"""
