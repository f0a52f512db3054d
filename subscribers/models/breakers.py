"""Mailers that are down: left alone, and tried again now and then until one mail gets through.

Whoever hands mail over, campaigns and letters alike, tells it here and asks here; the clock is the
database's, the one that all workers share.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

# So many attempts in a row that failed, over such a time, and it is down: a server that is only
# started again is not, and one that says "later" is not unless it goes on saying so.
_ATTEMPTS = 3
_SILENT_FOR = timedelta(seconds=10)
_BUSY_FOR = timedelta(minutes=10)
# Whoever has not failed again for so long begins anew.
_FORGET = timedelta(minutes=15)
_FIRST = timedelta(seconds=10)
_LONGEST = timedelta(minutes=5)
# Who knocks with a wrong password too often is locked out for longer.
_FIRST_LOCKED_OUT = timedelta(minutes=5)
_LONGEST_LOCKED_OUT = timedelta(hours=1)
_LONGEST_ASKED = timedelta(hours=1)
# Whoever tries it has so long; then another may.
_PROBE = timedelta(minutes=2)
_MOST_TRIES = 1000


class Failure(NamedTuple):
    """One attempt that found nobody who takes mail. `rest`: how long they asked us to wait."""

    kind: str
    words: str
    rest: timedelta | None = None


class BreakerQuerySet(models.QuerySet["Breaker"]):
    def down(self) -> Self:
        return self.filter(down_since__isnull=False)

    def known(self) -> "dict[str, Breaker]":
        """By mailer, with the database's clock; those of which nobody complains are not in it."""
        rows = {}
        for row in self.annotate(now=Now()):
            row.clock = vars(row)["now"]
            rows[row.mailer] = row
        return rows

    def fail(self, mailer: str, failure: Failure) -> bool:
        """Count it; True if the mailer is down.

        While it is left alone, whoever fails had begun before, and lengthens no pause.
        """
        with transaction.atomic():
            # The row's own moments are all past: whatever it counted before is forgotten.
            fresh = Breaker(mailer=mailer, first_failed_at=Now(), forget_at=Now())
            self.bulk_create([fresh], ignore_conflicts=True)
            row = self.filter(mailer=mailer).select_for_update().known().get(mailer)
            if row is None:
                # It took a mail of another's this moment.
                return False
            if not row.is_down:
                row._count(failure)
            elif row.try_at and row.try_at <= row.clock:
                row._open(failure)
            row.save()
        return row.is_down

    def probe(self, mailer: str) -> bool:
        """Be the one who tries it now; False if it is not time, or another does."""
        due = self.down().filter(mailer=mailer, try_at__lte=Now())
        free = due.filter(Q(probed_until__isnull=True) | Q(probed_until__lte=Now()))
        return bool(free.update(probed_until=Now() + _PROBE))

    def leave(self, mailer: str) -> None:
        """Nobody could be found to try it with: another may."""
        self.down().filter(mailer=mailer).update(probed_until=None)

    def close(self, mailer: str) -> bool:
        """Whoever tried it got a mail through; False if another knew that already."""
        return bool(self.filter(mailer=mailer).delete()[0])

    def forgive(self, mailer: str) -> None:
        """It took a mail: what was counted is forgotten, unless it went down this moment."""
        self.filter(mailer=mailer, down_since__isnull=True).delete()

    def try_now(self, mailers: Iterable[str]) -> bool:
        """Whoever comes next tries them; False if none is down, or they are being tried."""
        waiting = self.down().filter(mailer__in=list(mailers), try_at__gt=Now())
        return bool(waiting.update(try_at=Now()))

    def in_order(self, mailers: list[str]) -> Iterator[str]:
        """Of these, the first preferred, by which to hand over one letter: each if the one before
        it fails. A person waits for it: where all are down, the first is tried even so."""
        down = {mailer for mailer, row in self.known().items() if row.is_down}
        is_one_able = False
        for mailer in mailers:
            # Only when its turn comes: whoever may probe and does not keeps others from it.
            if mailer not in down or self.probe(mailer):
                is_one_able = True
                yield mailer
        if not is_one_able:
            yield from mailers[:1]


class Breaker(models.Model):
    """One mailer that did not take mail lately; it is down once `down_since` is set."""

    class Kind(models.TextChoices):
        UNREACHABLE = "unreachable", _("cannot be reached")
        BUSY = "busy", _("asks us to wait")
        LOCKED_OUT = "locked out", _("does not let us in")

    mailer = models.CharField(_("mailer"), max_length=50, unique=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    first_failed_at = models.DateTimeField(_("the first"))
    forget_at = models.DateTimeField(editable=False)
    down_since = models.DateTimeField(_("down since"), null=True)
    kind = models.CharField(_("why"), max_length=12, choices=Kind, default=Kind.UNREACHABLE)
    said = models.CharField(_("what it said"), max_length=500, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries since"), default=0)
    try_at = models.DateTimeField(_("tried again"), null=True)
    # Somebody is trying it, and has until then.
    probed_until = models.DateTimeField(null=True, editable=False)
    # The database's, when the row was read; not in the row.
    clock: datetime

    objects = BreakerQuerySet.as_manager()

    class Meta:
        ordering = ["mailer"]

    def __str__(self) -> str:
        return f"{self.mailer}: {self.get_kind_display()}"

    @property
    def is_down(self) -> bool:
        return self.down_since is not None

    @property
    def is_locked_out(self) -> bool:
        """It will not get better by itself: somebody has to look."""
        return self.kind == self.Kind.LOCKED_OUT

    @property
    def is_being_tried(self) -> bool:
        return self.probed_until is not None and self.probed_until > self.clock

    @property
    def rests_until(self) -> datetime | None:
        """When it may be tried again; None if it may be now."""
        moments = [moment for moment in (self.try_at, self.probed_until) if moment]
        last = max(moments, default=None)
        return last if last and last > self.clock else None

    def _count(self, failure: Failure) -> None:
        if self.forget_at <= self.clock:
            self.failures, self.first_failed_at = 0, self.clock
        self.failures += 1
        self.forget_at = self.clock + _FORGET + (failure.rest or timedelta(0))
        if self._is_enough(failure):
            self.down_since = self.clock
            self._open(failure)

    def _is_enough(self, failure: Failure) -> bool:
        if failure.kind == self.Kind.LOCKED_OUT:
            return True
        lasts = _BUSY_FOR if failure.kind == self.Kind.BUSY else _SILENT_FOR
        return self.failures >= _ATTEMPTS and self.clock - self.first_failed_at >= lasts

    def _open(self, failure: Failure) -> None:
        """Leave it alone, longer each time."""
        self.tries = min(self.tries + 1, _MOST_TRIES)
        self.kind, self.said = failure.kind, failure.words[:500]
        pause = max(self._pause(), min(failure.rest or timedelta(0), _LONGEST_ASKED))
        self.try_at, self.probed_until = self.clock + pause, None

    def _pause(self) -> timedelta:
        first, longest = _FIRST, _LONGEST
        if self.is_locked_out:
            first, longest = _FIRST_LOCKED_OUT, _LONGEST_LOCKED_OUT
        doubled = min(first * float(2 ** min(self.tries - 1, 10)), longest)
        return doubled * random.uniform(0.9, 1.1)  # noqa: S311  Jitter, not a secret.
