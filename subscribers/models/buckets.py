"""What the guards count and tick off, kept in the database where there is no Redis, or none now."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from django.db import models, transaction

# Nobody came for so long: every bucket of ours is full again by then.
FULL_AFTER = 2 * 24 * 60 * 60


class Rule(NamedTuple):
    """A bucket that holds so many tokens, and gets so many back in a second."""

    holds: float
    per_second: float


class Want(NamedTuple):
    """A token out of one bucket, or several at once."""

    key: str
    rule: Rule
    tokens: float = 1


class Left(NamedTuple):
    """What became of a want: whether it was granted, and what is in the bucket now."""

    is_granted: bool
    tokens: float


class BucketQuerySet(models.QuerySet["Bucket"]):
    def take(self, wants: Sequence[Want], now: float) -> list[Left]:
        """Each out of its own bucket, granted or not for itself. `now`: seconds since the epoch."""
        keys = sorted({want.key for want in wants})
        full = [Bucket(key=want.key, tokens=want.rule.holds, at=now) for want in wants]
        with transaction.atomic():
            self.bulk_create(full, ignore_conflicts=True)
            # In one order for all, so that no two wait for each other.
            rows = self.filter(key__in=keys).order_by("key").select_for_update(no_key=True)
            found = {row.key: row for row in rows}
            left = [found[want.key].take(want, now) for want in wants]
            self.bulk_update(found.values(), ["tokens", "at"])
        return left

    def forget(self, now: float) -> int:
        """Those that are full anyway."""
        return self.filter(at__lt=now - FULL_AFTER).delete()[0]


class Bucket(models.Model):
    """Tokens: who takes one may go on."""

    key = models.CharField(max_length=100, primary_key=True)
    tokens = models.FloatField()
    # Seconds since the epoch, by the clock of whoever took last.
    at = models.FloatField(db_index=True)

    objects = BucketQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.key}: {self.tokens:.1f}"

    def take(self, want: Want, now: float) -> Left:
        since = max(now - self.at, 0.0)
        there = min(self.tokens + since * want.rule.per_second, want.rule.holds)
        is_granted = there >= want.tokens
        self.tokens = there - want.tokens if is_granted else there
        self.at = max(now, self.at)
        return Left(is_granted, self.tokens)


class SpentQuerySet(models.QuerySet["Spent"]):
    def spend(self, key: str, mark: str, now: float, seconds: float) -> str:
        """Tick it off, under this mark; "" if it was new, else the mark it was ticked off under."""
        fresh = Spent(key=key, mark=mark, until=now + seconds)
        self.bulk_create([fresh], ignore_conflicts=True)
        row = self.get(key=key)
        return "" if row.nonce == fresh.nonce else row.mark

    def forget(self, now: float) -> int:
        """What nobody could use again anyway."""
        return self.filter(until__lt=now).delete()[0]


class Spent(models.Model):
    """Something that works once, and did."""

    key = models.CharField(max_length=100, primary_key=True)
    mark = models.CharField(max_length=40)
    # Which of those who tried at once it was.
    nonce = models.UUIDField(default=uuid.uuid4, editable=False)
    # Seconds since the epoch.
    until = models.FloatField(db_index=True)

    objects = SpentQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "spent"

    def __str__(self) -> str:
        return self.key
