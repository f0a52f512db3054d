"""One round through a box of mail: all that is unread is read, what is a report is taken in."""

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import batched
from typing import Any, Protocol

from django.db import DataError, IntegrityError

from newsletter.receivers.mail.arrivals import take_in
from newsletter.receivers.mail.reading import Reading, read

logger = logging.getLogger(__name__)

# Taken in by one transaction.
_TOGETHER = 200


class Box[Key](Protocol):
    """Where mail comes back. What is marked read is not among the messages of the next round."""

    def messages(self) -> Iterator[tuple[Key, bytes]]: ...

    def mark_read(self, keys: list[Key]) -> None: ...


def go_through(box: Box[Any]) -> Counter[str]:
    """How many of what were found.

    Marked only after they are committed: who is killed in between reads them once more, and
    nothing counts twice. Two at once do no harm either.
    """
    found: Counter[str] = Counter()
    readings = ((key, read(raw)) for key, raw in box.messages())
    for some in batched(readings, _TOGETHER):
        box.mark_read([key for key, reading in _taken(list(some)) if reading.is_report])
        found.update(named(reading) for _key, reading in some)
    return found


def named(reading: Reading) -> str:
    """What it is called in the summary."""
    is_unknown = not reading.is_report and reading.kind.is_report
    return f"{reading.kind} of no mail of ours" if is_unknown else str(reading.kind)


def _taken[Key](some: list[tuple[Key, Reading]]) -> list[tuple[Key, Reading]]:
    """Those that are in the database now."""
    try:
        take_in([reading for _key, reading in some])
    except (DataError, IntegrityError):
        if len(some) > 1:
            # One that the database refuses must not hold up those beside it.
            return [one for pair in some for one in _taken([pair])]
        logger.exception("A mail that came back could not be taken in")
        return []
    return some
