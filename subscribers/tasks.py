"""Sending the letters that are due."""


def look_for_due_letters() -> None:
    """Called by every worker's heartbeat."""
