"""Identifiers by the thousand: they look like UUIDs, and cost less."""

import uuid
from itertools import count

_FIRST = str(uuid.uuid4())[:24]
_NUMBERS = count(1)


def new_id() -> str:
    """Never the same twice."""
    return f"{_FIRST}{next(_NUMBERS):012x}"
