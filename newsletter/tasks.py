"""Starting the campaigns that are due, and working off their batches."""


def look_for_due_campaigns() -> None:
    """Called by every worker's heartbeat."""
