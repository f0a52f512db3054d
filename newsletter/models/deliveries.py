"""How a campaign is divided among workers, and the ledger of what became of each message."""

import random
import time
import uuid
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise
from typing import Any, Self

from django.db import connection, models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from newsletter.models.campaigns import Campaign
from newsletter.models.versions import Version
from subscribers.models import MailingList, Subscriber

# A worker that has not renewed its lease for this long is taken for dead.
LEASE = timedelta(seconds=15)
_LAST_ID = 2**63 - 1
_MOST_ATTEMPTS = 1000


class LeaseLostError(RuntimeError):
    """Another worker has the batch now: whoever learns this hands nothing more over."""


class BatchQuerySet(models.QuerySet["Batch"]):
    def cut(self, campaign: Campaign, edges: list[int]) -> None:
        """Batches that end at these ids; together they leave no id out."""
        self.bulk_create(
            Batch(
                campaign=campaign,
                first=after + 1,
                last=last,
                position=after,
                lot=random.random(),  # noqa: S311  An order, not a secret.
                due_at=campaign.started_at or timezone.now(),
            )
            for after, last in pairwise([0, *edges, _LAST_ID])
        )

    def free(self) -> Self:
        """Nobody works on it, or who did has been silent for a lease."""
        return self.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=Now()))

    def ready(self) -> Self:
        """What a worker may take up now."""
        return self.free().filter(
            finished_at__isnull=True,
            due_at__lte=Now(),
            campaign__status=Campaign.Status.SENDING,
        )

    def set_aside(self) -> Self:
        """Crashed whoever worked on it, too often: waits for somebody to say try again."""
        return self.filter(set_aside_at__isnull=False, finished_at__isnull=True)

    def abandoned(self) -> Self:
        """Its worker died with readers in hand, whatever the campaign's state."""
        return self.filter(lease_until__lt=Now(), finished_at__isnull=True)

    def claim(self) -> "Batch | None":
        """A batch for this worker alone, until its lease runs out; None if nothing is due.

        The row is locked while it is looked at, rows that others look at are skipped, and the
        clock is the database's, the one that all workers share.
        """
        asked_at = time.monotonic()
        with transaction.atomic():
            batch = self._locked(self.ready().order_by("lot"))
            if batch:
                batch.claimed_at = asked_at
                batch.settle_hand()
                batch.token = uuid.uuid4()
                batch.attempts = min(batch.attempts + 1, _MOST_ATTEMPTS)
                lease = {"token": batch.token, "lease_until": Now() + LEASE}
                self.filter(pk=batch.pk).update(attempts=batch.attempts, in_hand=[], **lease)
        return batch

    def settle_abandoned(self) -> None:
        """Write down whom dead workers had in hand, of campaigns that nobody works on now too."""
        while self.abandoned().exists():
            with transaction.atomic():
                batch = self._locked(self.abandoned().order_by("pk"))
                if batch is None:
                    return
                batch.settle_hand()
                self.filter(pk=batch.pk).update(token=uuid.uuid4(), lease_until=None, in_hand=[])

    def _locked(self, batches: Self) -> "Batch | None":
        return (
            batches.select_for_update(skip_locked=True, of=("self",))
            .select_related("campaign")
            .first()
        )


class Batch(models.Model):
    """A range of subscriber ids, worked on under a lease. A reader belongs to exactly one."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="batches")
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    # Everybody up to here is accounted for, in hand or deferred.
    position = models.BigIntegerField()
    # Taken up in this order, so that one mailbox provider's readers do not come in a row.
    lot = models.FloatField()
    # Who is with the transport at this moment: [subscriber, mailing list, version] each; written
    # before they are handed over, so that a crash leaves them known.
    in_hand = models.JSONField(default=list)
    token = models.UUIDField(default=uuid.uuid4)
    lease_until = models.DateTimeField(null=True)
    due_at = models.DateTimeField()
    # Claims since it last moved on: how long it rests when nobody takes our mail.
    attempts = models.PositiveSmallIntegerField(default=0)
    # Readers passed over in this walk who cannot be served yet: it begins again for them.
    left_aside = models.PositiveIntegerField(default=0)
    # Crashes of ours since it last moved on; after too many it is set aside, and shown.
    failures = models.PositiveSmallIntegerField(default=0)
    set_aside_at = models.DateTimeField(null=True)
    trouble = models.CharField(max_length=500, blank=True)
    finished_at = models.DateTimeField(null=True)
    # When this worker asked for it, by this worker's own clock; not in the row.
    claimed_at = 0.0

    objects = BatchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "batches"
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(finished_at__isnull=True),
                name="batch_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.first}–{self.last}"

    def change(self, **fields: Any) -> None:
        """Write to the row if it is still this worker's. Raises LeaseLostError if it is not."""
        mine = Batch.objects.filter(pk=self.pk, token=self.token)
        if not mine.update(**fields):
            raise LeaseLostError(f"batch {self.pk} was taken over")

    def renew(self) -> None:
        self.change(lease_until=Now() + LEASE)

    def settle_hand(self) -> None:
        """Nobody can know of those in a dead worker's hand: they are counted, not repeated."""
        hand = self.in_hand
        now = timezone.now()
        Delivery.objects.add(
            Delivery(
                campaign_id=self.campaign_id,
                subscriber_id=subscriber,
                mailing_list_id=mailing_list,
                version_id=version,
                status=Delivery.Status.UNCERTAIN,
                code=Delivery.Reason.WORKER_LOST,
                at=now,
            )
            for subscriber, mailing_list, version in hand
        )
        self.deferrals.filter(subscriber__in=[subscriber for subscriber, *_ in hand]).delete()

    def readers_left(self) -> list[int]:
        """Whom the walk has not come to yet, in its order."""
        ahead = self.campaign.periods_at_start().filter(
            subscriber__gt=self.position, subscriber__lte=self.last
        )
        return list(ahead.order_by("subscriber").values_list("subscriber", flat=True).distinct())


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def add(self, deliveries: "Iterable[Delivery]") -> None:
        """Enter these into the ledger by one statement; who is in it already stays as he is.

        A third cheaper than bulk_create, and this is the innermost loop of a campaign.
        """
        rows = [delivery._row() for delivery in deliveries]
        if not rows:
            return
        values = ", ".join([_ROW] * len(rows))
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {_LEDGER} VALUES {values} ON CONFLICT DO NOTHING",  # noqa: S608
                [value for row in rows for value in row],
            )


class Delivery(models.Model):
    """What became of one message to one reader: a row of the ledger, only ever added.

    The largest table by far: one key, no other index, no address, no constraint to check.
    """

    class Status(models.TextChoices):
        SENT = "sent", _("Handed over")
        FAILED = "failed", _("Failed")
        SKIPPED = "skipped", _("Skipped")
        UNCERTAIN = "uncertain", _("Uncertain")

    class Reason(models.TextChoices):
        """Why we skipped a reader, or do not know."""

        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        NOT_ME = "not_me", _("“This wasn’t me”")
        COMPLAINED = "complained", _("Complained")
        BOUNCED = "bounced", _("No such mailbox")
        ERASED = "erased", _("Erased")
        BY_STAFF = "by_staff", _("Removed by the newsroom")
        PAUSED = "paused", _("Paused by the reader")
        SUPPRESSED = "suppressed", _("The address is suppressed")
        EXPIRED = "expired", _("Too late: no longer news")
        CANCELLED = "cancelled", _("The campaign was called off")
        WORKER_LOST = "worker_lost", _("The worker died with the message in hand")

    pk = models.CompositePrimaryKey("campaign_id", "subscriber_id")
    campaign = models.ForeignKey(
        Campaign, models.CASCADE, related_name="deliveries", db_index=False
    )
    subscriber = models.ForeignKey(
        Subscriber,
        models.DO_NOTHING,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
    )
    mailing_list = models.ForeignKey(
        MailingList, models.PROTECT, db_index=False, db_constraint=False
    )
    version = models.ForeignKey(Version, models.PROTECT, db_index=False, db_constraint=False)
    status = models.CharField(max_length=9, choices=Status)
    # What the provider answered, in its own words; a Reason where we skipped.
    code = models.CharField(max_length=20, blank=True)
    text = models.CharField(max_length=500, blank=True)
    provider_id = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField()

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.subscriber_id} {self.status}"

    def _row(self) -> tuple[Any, ...]:
        return (
            self.campaign_id,
            self.subscriber_id,
            self.mailing_list_id,
            self.version_id,
            str(self.status),
            str(self.code)[:20],
            self.text[:500],
            self.provider_id[:200],
            connection.ops.adapt_datetimefield_value(self.at),
        )


_LEDGER = (
    "newsletter_delivery (campaign_id, subscriber_id, mailing_list_id, version_id,"
    " status, code, text, provider_id, at)"
)
_ROW = "(%s, %s, %s, %s, %s, %s, %s, %s, %s)"


class DeferralQuerySet(models.QuerySet["Deferral"]):
    def due(self) -> Self:
        return self.filter(due_at__lte=Now())

    def put(self, deferrals: "list[Deferral]") -> None:
        """Whole rows, whatever stood there: writing them twice is writing them once."""
        self.bulk_create(
            deferrals,
            update_conflicts=True,
            unique_fields=["campaign", "subscriber"],
            update_fields=["batch", "attempts", "due_at", "code", "text"],
        )


class Deferral(models.Model):
    """A reader to be tried again: how often it was tried, when next, what the server said."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="deferrals")
    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="deferrals")
    subscriber = models.ForeignKey(
        Subscriber, models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    attempts = models.PositiveSmallIntegerField(default=1)
    due_at = models.DateTimeField()
    code = models.CharField(max_length=20, blank=True)
    text = models.CharField(max_length=500, blank=True)

    objects = DeferralQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "subscriber"], name="one_deferral_a_reader")
        ]
        indexes = [models.Index(fields=["batch", "due_at"], name="deferral_due")]

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.subscriber_id} at {self.due_at:%H:%M:%S}"
