"""Token buckets: who takes a message's token from one may hand that message over now.

A bucket fills with `rate` tokens a second and holds a tenth of a second's: enough for workers that
come by every few milliseconds, too few for a burst. After a pause it holds one.
"""

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# So many seconds' tokens fit in, and one at least.
HOLDS = 0.1
# Nobody came for so long: then it starts afresh.
PAUSE = 1.0


class UnreachableError(Exception):
    """Whoever keeps the buckets does not answer."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Tokens by name, and seconds until the next one comes; 0.0 where there is one, or no limit."""

    tokens: dict[str, int]
    whole_again_in: float
    again_in: dict[str, float]


class Buckets(Protocol):
    def take(self, mailer: str, wanted: Mapping[str, int], rates: Mapping[str, float]) -> Taken:
        """As many of these as there are tokens, each out of its own bucket and the mailer's (by the
        name ""), out of both or out of none; what the mailer has is shared in proportion.

        `rates` are those of the buckets that there are. Raises UnreachableError.
        """
        ...

    def give_back(self, mailer: str, tokens: Mapping[str, int], rates: Mapping[str, float]) -> None:
        """These were not used. Raises UnreachableError."""
        ...


def holds(rate: float) -> float:
    return max(1.0, rate * HOLDS)


def chance() -> float:
    """Where the mailer's tokens are too few to be shared, who gets one is drawn by this."""
    return random.random()  # noqa: S311  Fairness, not a secret.


class OwnBuckets:
    """Of this process alone, whatever its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, mailer: str, wanted: Mapping[str, int], rates: Mapping[str, float]) -> Taken:
        now = time.monotonic()
        with self._lock:
            mine = {name: self._filled(mailer, name, rates[name], now) for name in rates}
            tokens = _share(wanted, {name: bucket.tokens for name, bucket in mine.items()})
            for name, number in {**tokens, "": sum(tokens.values())}.items():
                if name in mine:
                    mine[name].tokens -= number
            again_in = {name: bucket.again_in for name, bucket in mine.items()}
        return Taken(tokens, again_in.pop("", 0.0), again_in)

    def give_back(self, mailer: str, tokens: Mapping[str, int], rates: Mapping[str, float]) -> None:
        with self._lock:
            for name, number in {**tokens, "": sum(tokens.values())}.items():
                if (bucket := self._buckets.get((mailer, name))) and name in rates:
                    bucket.tokens = min(bucket.tokens + number, holds(rates[name]))

    def _filled(self, mailer: str, name: str, rate: float, now: float) -> "_Bucket":
        bucket = self._buckets.setdefault((mailer, name), _Bucket(1.0, now, rate))
        bucket.fill(rate, now)
        return bucket


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    rate: float

    def fill(self, rate: float, now: float) -> None:
        pause = max(now - self.at, 0.0)
        most = 1.0 if pause > PAUSE else holds(rate)
        self.tokens = min(self.tokens + pause * rate, most)
        self.at, self.rate = now, rate

    @property
    def again_in(self) -> float:
        return max(1.0 - self.tokens, 0.0) / self.rate


def _share(wanted: Mapping[str, int], there_are: Mapping[str, float]) -> dict[str, int]:
    """Each name's part, and of the mailer's tokens (by the name "") the same part for all."""
    able = {name: min(number, int(there_are.get(name, number))) for name, number in wanted.items()}
    total = sum(able.values())
    whole = int(there_are.get("", total))
    if total <= whole:
        return able
    shares, seen, place = {}, 0, chance()
    for name, number in able.items():
        before = int(whole * seen / total + place)
        seen += number
        shares[name] = int(whole * seen / total + place) - before
    return shares
