"""Seals over the evidence: block after block, each over the one before.

They are set after the fact, so that nobody who signs up waits for anybody.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import takewhile

from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.models.append_only import Refused
from subscribers.models.consents import Consent
from subscribers.models.imprints import FIELDS, Imprint
from subscribers.models.removals import Removal

# Consents in a block, at most.
BLOCK = 500
# What is younger is left for the next seal: numbers are given out before rows are committed, and
# whoever still writes might have a lower one.
SETTLES = timedelta(minutes=2)
# A transaction that has lasted so long may have such a number, however old the rows around it.
_LONG = timedelta(seconds=30)
_RECORDED_AT = FIELDS.index("recorded_at")

_STILL_WRITING = """
    SELECT EXISTS (
        SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE relation = 'subscribers_consent'::regclass AND mode = 'RowExclusiveLock'
        AND datname = current_database() AND pid <> pg_backend_pid()
        AND COALESCE(xact_start < %s, TRUE)
    )
"""


class SealQuerySet(models.QuerySet["Seal"]):
    def seal(self, now: datetime | None = None) -> int:
        """Set the next seal, if there is something to seal; over how many rows.

        Of two at once one does it, and the other finds nothing to do.
        """
        now = now or timezone.now()
        try:
            with transaction.atomic():
                return 0 if _is_anybody_long_at_it() else self._seal_next(now)
        except IntegrityError:
            return 0

    def last_set(self) -> "Seal":
        """The last seal; before the first, one that is over nothing."""
        return self.order_by("number").last() or Seal(number=0, last=0, last_removal=0, hash="")

    def is_due(self) -> bool:
        """Whether anything waits for a seal."""
        last, old_enough = self.last_set(), timezone.now() - SETTLES
        first = Consent.objects.filter(pk__gt=last.last).order_by("pk").first()
        removals = Removal.objects.filter(pk__gt=last.last_removal, closed_at__lte=old_enough)
        return bool(first and first.recorded_at <= old_enough) or removals.exists()

    def _seal_next(self, now: datetime) -> int:
        last, old_enough = self.last_set(), now - SETTLES
        consents = Consent.objects.filter(pk__gt=last.last).order_by("pk")
        # Whoever trims one of these now waits for us, or we for them; a sign-up only adds.
        rows = consents.select_for_update().values_list(*FIELDS)[:BLOCK]
        settled = list(takewhile(lambda row: row[_RECORDED_AT] <= old_enough, rows))
        removals = list(
            Removal.objects.filter(pk__gt=last.last_removal, closed_at__lte=old_enough)
            .order_by("pk")[:BLOCK]
        )  # fmt: skip
        if settled or removals:
            self._set(last, Imprint.objects.bulk_create(map(Imprint.of, settled)), removals, now)
        return len(settled) + len(removals)

    def _set(
        self, last: "Seal", imprints: list[Imprint], removals: list[Removal], now: datetime
    ) -> None:
        seal = Seal(
            number=last.number + 1,
            first=last.last + 1,
            last=imprints[-1].consent_id if imprints else last.last,
            rows=len(imprints),
            last_removal=removals[-1].pk if removals else last.last_removal,
            previous=last.hash,
            sealed_at=now,
        )
        seal.hash = seal.computed(imprints, removals)
        seal.save(force_insert=True)


class Seal(models.Model):
    """Over the imprints of some consents, over what went since, and over the seal before.

    A hash of its own stands for all the evidence up to it: whoever notes one elsewhere can show
    that nothing before it was changed since.
    """

    number = models.PositiveBigIntegerField(_("number"), primary_key=True)
    # Consents, by their numbers: some of these were never given out.
    first = models.BigIntegerField(_("first consent"))
    last = models.BigIntegerField(_("last consent"))
    rows = models.PositiveIntegerField(_("consents"))
    last_removal = models.BigIntegerField(_("last removal"))
    previous = models.CharField(_("hash of the seal before"), max_length=64, blank=True)
    hash = models.CharField(_("hash"), max_length=64)
    sealed_at = models.DateTimeField(_("sealed"))

    objects = SealQuerySet.as_manager()

    class Meta:
        constraints = [
            Refused(name="seal_changed", change="UPDATE"),
            Refused(name="seal_removed", change="DELETE"),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.hash}"

    def computed(self, imprints: Iterable[Imprint], removals: Iterable[Removal]) -> str:
        """What its hash must be, over these and what stands in it: SHA-256, in hexadecimal."""
        at = self.sealed_at.timestamp()
        numbers = [self.number, self.first, self.last, self.rows, self.last_removal, f"{at:.6f}"]
        digest = hashlib.sha256(_line(self.previous, *numbers))
        for imprint in imprints:
            digest.update(_line(imprint.consent_id) + bytes(imprint.digests))
        for one in removals:
            at = one.closed_at.timestamp() if one.closed_at else 0
            digest.update(_line(one.pk, one.kind, one.reason, one.rows, one.sealed, f"{at:.6f}"))
        return digest.hexdigest()


def _line(*parts: object) -> bytes:
    return (" ".join(map(str, parts)) + "\n").encode()


def _is_anybody_long_at_it() -> bool:
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(_STILL_WRITING, [timezone.now() - _LONG])
        return bool(cursor.fetchone()[0])
