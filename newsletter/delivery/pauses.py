"""How long to leave somebody in peace: longer each time, and never quite the same."""

import random
from datetime import timedelta

NONE = timedelta(0)
LONGEST = timedelta(hours=1)


def growing(first: timedelta, attempts: int, longest: timedelta = LONGEST) -> timedelta:
    """Twice as long each time; with jitter, so that they do not all come back at once."""
    doubled = min(first * 2 ** min(attempts - 1, 20), longest) if attempts > 1 else first
    return doubled * random.uniform(0.75, 1.25)  # noqa: S311  Jitter, not a secret.
