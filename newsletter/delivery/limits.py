"""How fast a mailer may hand over, and how much in a day: asked before readers are taken in hand.

Letters that people wait for (confirm, welcome) do not come by here: they never wait behind a
campaign, and are not counted.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from django.conf import settings
from django.utils import timezone

from newsletter.delivery.buckets import Buckets, OwnBuckets, Taken, UnreachableError
from newsletter.models import DayCount, RateLimit, WarmUp
from newsletter.models.limits import WHOLE, day_of, end_of_day

logger = logging.getLogger(__name__)

# What the rows say is asked for again after so many seconds.
_REMEMBERED = 1.0
# Somebody may raise a limit in the middle of the day: whoever waits looks again after so long.
_LONGEST_WAIT = 600.0
_OUTAGE_WAIT = 1.0
# What was refused a moment ago was given back meanwhile.
_MOMENT = 0.05
_own_buckets = OwnBuckets()


@dataclass(frozen=True, slots=True)
class Grant:
    """How many may be handed over now; for the others, seconds until it is worth asking again."""

    # By mailbox provider, all that were wanted, some perhaps 0.
    granted: dict[str, int]
    # None: the mailer as a whole has not run out. Whoever is refused and not in `again_in` waits
    # for this.
    mailer_again_in: float | None = None
    # By the mailbox providers that have run out themselves.
    again_in: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Rules:
    """Of one mailer: by mailbox provider, or WHOLE."""

    per_second: dict[str, float] = field(default_factory=dict)
    per_day: dict[str, int] = field(default_factory=dict)
    # Whose day has nothing left, as far as we know: asked again with the next rules.
    spent: set[str] = field(default_factory=set)


class Limits:
    """One per thread that sends; what it takes, it takes from all workers."""

    def __init__(self) -> None:
        self._buckets = _buckets()
        self._rules: dict[str, _Rules] = {}
        self._day = date.min
        self._day_ends_in = 0.0
        self._read_at = float("-inf")
        self._is_away = False

    def is_limiting(self, mailer: str) -> bool:
        """Whether anything limits it now: if not, nobody needs to `take`."""
        if time.monotonic() - self._read_at > _REMEMBERED:
            self._read()
        return mailer in self._rules

    def take(self, mailer: str, wanted: Mapping[str, int]) -> Grant:
        """Of these messages, by mailbox provider, as many as may be handed over now.

        What is granted and not handed over should be given back. While Redis is away nothing is
        granted where there are limits a second. Raises OperationalError while the database is.
        """
        if not self.is_limiting(mailer):
            return Grant(dict(wanted))
        rules = self._rules[mailer]
        try:
            taken = self._take_now(mailer, wanted, rules)
        except UnreachableError as error:
            return self._wait(wanted, error)
        self._is_away = False
        return self._within_day(mailer, wanted, taken, rules)

    def give_back(self, mailer: str, granted: Mapping[str, int]) -> None:
        """These were granted and not handed over: others may."""
        if not self.is_limiting(mailer):
            return
        rules = self._rules[mailer]
        self._put_back(mailer, granted, rules)
        # What was taken before midnight is no use to the new day: then it is not given back.
        if rules.per_day and self._day == day_of(timezone.now()):
            DayCount.objects.give_back(mailer, self._day, granted)

    def _take_now(self, mailer: str, wanted: Mapping[str, int], rules: _Rules) -> Taken:
        """Within the limits a second; of nobody whose day is over."""
        is_over = WHOLE in rules.spent
        able = {
            provider: 0 if is_over or provider in rules.spent else number
            for provider, number in wanted.items()
        }
        if not rules.per_second or not any(able.values()):
            return Taken(able, 0.0, {})
        return self._buckets.take(mailer, able, rules.per_second)

    def _within_day(
        self, mailer: str, wanted: Mapping[str, int], taken: Taken, rules: _Rules
    ) -> Grant:
        granted = taken.tokens
        if rules.per_day and any(granted.values()):
            granted = DayCount.objects.take(mailer, self._day, granted, rules.per_day)
            refused = {name: taken.tokens[name] - granted[name] for name in granted}
            if any(refused.values()):
                self._put_back(mailer, refused, rules)
                rules.spent |= DayCount.objects.spent(mailer, self._day, rules.per_day)
        return self._grant(wanted, granted, taken, rules)

    def _grant(
        self, wanted: Mapping[str, int], granted: dict[str, int], taken: Taken, rules: _Rules
    ) -> Grant:
        refused = [name for name, number in wanted.items() if granted[name] < number]
        own_waits = {
            name: self._day_ends_in if name in rules.spent else taken.again_in.get(name, 0.0)
            for name in refused
        }
        again_in = {name: wait for name, wait in own_waits.items() if wait}
        whole = self._day_ends_in if WHOLE in rules.spent else taken.whole_again_in
        if not whole and len(again_in) < len(refused):
            whole = _MOMENT
        return Grant(granted, whole or None, again_in)

    def _put_back(self, mailer: str, tokens: Mapping[str, int], rules: _Rules) -> None:
        if rules.per_second:
            try:
                self._buckets.give_back(mailer, tokens, rules.per_second)
            except UnreachableError as error:
                self._wait(tokens, error)

    def _wait(self, wanted: Mapping[str, int], error: UnreachableError) -> Grant:
        """Too slow is better than too fast: a provider that is flooded blocks us for days."""
        if not self._is_away:
            logger.warning("Rate limits need Redis; nothing is handed over without: %s", error)
        self._is_away = True
        return Grant(dict.fromkeys(wanted, 0), _OUTAGE_WAIT)

    def _read(self) -> None:
        now = timezone.now()
        rules: dict[str, _Rules] = {}
        for mailer, rates in RateLimit.objects.rates().items():
            for name, rate in rates.items():
                _add(rules, mailer, name, rate.per_second, rate.per_day)
        self._day = day_of(now)
        for mailer, allowed in WarmUp.objects.allowances(self._day).items():
            _add(rules, mailer, WHOLE, None, allowed)
        self._rules = rules
        self._day_ends_in = min((end_of_day(now) - now).total_seconds(), _LONGEST_WAIT)
        self._read_at = time.monotonic()


def _add(
    rules: dict[str, _Rules], mailer: str, name: str, per_second: float | None, per_day: int | None
) -> None:
    if per_second is not None:
        rules.setdefault(mailer, _Rules()).per_second[name] = per_second
    if per_day is not None:
        days = rules.setdefault(mailer, _Rules()).per_day
        days[name] = min(per_day, days.get(name, per_day))


def _buckets() -> Buckets:
    if settings.EMBEDDED:
        return _own_buckets
    # Loading Redis' client takes a fifth of a second, which a start without it need not wait for.
    from newsletter.delivery.shared_buckets import SharedBuckets

    return SharedBuckets(settings.REDIS_URL)
