"""What all web processes count and tick off together: in Redis, or else in the database."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from django.conf import settings

from subscribers.models.buckets import Bucket, Left, Spent, Want

logger = logging.getLogger(__name__)

# While Redis is away nobody waits for it longer than once in so many seconds.
_OUTAGE = 5.0


class UnreachableError(Exception):
    """Whoever keeps it does not answer."""


class Store(Protocol):
    """`now`: seconds since the epoch. Raises UnreachableError."""

    def take(self, wants: Sequence[Want], now: float) -> list[Left]: ...

    def spend(self, key: str, mark: str, now: float, seconds: float) -> str: ...

    def spent(self, key: str) -> str: ...

    def unspend(self, keys: Sequence[str]) -> None: ...


class _InDatabase:
    def take(self, wants: Sequence[Want], now: float) -> list[Left]:
        return Bucket.objects.take(wants, now)

    def spend(self, key: str, mark: str, now: float, seconds: float) -> str:
        return Spent.objects.spend(key, mark, now, seconds)

    def spent(self, key: str) -> str:
        return Spent.objects.filter(key=key).values_list("mark", flat=True).first() or ""

    def unspend(self, keys: Sequence[str]) -> None:
        Spent.objects.filter(key__in=keys).delete()


_in_database = _InDatabase()
_away_until = float("-inf")


def take(wants: Sequence[Want], now: float) -> list[Left]:
    """A token for each want out of its bucket, or none; every want is for itself."""
    return _ask(lambda store: store.take(wants, now))


def spend(key: str, mark: str, now: float, seconds: float) -> str:
    """Tick off what works once: "" if it is new, else the mark (not empty) it was spent under.

    Remembered for so many seconds.
    """
    return _ask(lambda store: store.spend(key, mark, now, seconds))


def spent(key: str) -> str:
    """The mark it was spent under; "" if it was not, as far as one can know before spending it."""
    return _ask(lambda store: store.spent(key))


def unspend(keys: Sequence[str]) -> None:
    """Nothing came of it: it works once more."""
    _ask(lambda store: store.unspend(keys))


def _ask[T](ask: Callable[[Store], T]) -> T:
    """The guards rather forget than shut the door: without Redis they begin in the database."""
    # Of this process, whatever its threads.
    global _away_until
    if not settings.REDIS_URL or time.monotonic() < _away_until:
        return ask(_in_database)
    # Loading Redis' client takes a fifth of a second, which a start without it need not wait for.
    from subscribers.guards.shared import shared

    try:
        return ask(shared(settings.REDIS_URL))
    except UnreachableError as error:
        _away_until = time.monotonic() + _OUTAGE
        logger.warning("The guards count in the database while Redis is away: %s", error)
        return ask(_in_database)
