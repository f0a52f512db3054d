"""How a campaign is divided among workers: ranges of readers, worked on under a lease."""

import random
import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple, Self

from django.db import models, transaction
from django.db.models import Exists, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from newsletter import outages
from newsletter.models.bounces import Bounce
from newsletter.models.campaigns import Campaign
from newsletter.models.deliveries import Deferral, Delivery, LedgerRow
from subscribers.models import Breaker, Subscription

# A worker that has not renewed its lease for this long is taken for dead.
LEASE = timedelta(seconds=15)
# So many crashes without moving on, and a batch is set aside until somebody has looked.
MOST_FAILURES = 5
_MOST_ATTEMPTS = 1000


class LeaseLostError(RuntimeError):
    """Another worker has the batch now: whoever learns this hands nothing more over."""


class Learnt(NamedTuple):
    """What a worker knows of readers in its hand though it has lost their batch."""

    rows: list[LedgerRow]
    bounces: list[Bounce]
    # Who was never handed over, by id.
    returned: list[int]


class BatchQuerySet(models.QuerySet["Batch"]):
    def cut(self, campaign: Campaign, after: int, edges: list[int]) -> None:
        """Batches from one id on that end at these; together they leave no id between out.

        They stand in line behind what waits already, one by one between those of others, so two
        campaigns share the workers fairly. Within a campaign their order is shuffled: one mailbox
        provider's readers must not come in a row.
        """
        # Strictly between the places of others: where two stood in one place, chance would decide.
        next_lot = self._next_lot() - random.random()  # noqa: S311
        lots = [next_lot + place for place in range(1, len(edges) + 1)]
        random.shuffle(lots)
        self.bulk_create(
            Batch(
                campaign=campaign,
                first=edge + 1,
                last=last,
                position=edge,
                lot=lot,
                due_at=campaign.started_at or timezone.now(),
            )
            for (edge, last), lot in zip(pairwise([after, *edges]), lots, strict=True)
        )

    def _next_lot(self) -> float:
        """The lot of whoever is next, of all: as if the new campaign had waited since then too.

        What rests until later has an old lot, and says nothing of how far the line has come.
        """
        waiting = Batch.objects.unfinished().filter(campaign__status=Campaign.Status.SENDING)
        lots = waiting.aggregate(due=Min("lot", filter=Q(due_at__lte=Now())), any=Min("lot"))
        return lots["due"] or lots["any"] or 0.0

    def unfinished(self) -> Self:
        return self.filter(finished_at__isnull=True, set_aside_at__isnull=True)

    def set_aside(self) -> Self:
        """Crashed whoever worked on it, too often: waits for somebody to say try again."""
        return self.filter(set_aside_at__isnull=False, finished_at__isnull=True)

    def free(self) -> Self:
        """Nobody works on it."""
        return self.filter(lease_until__isnull=True)

    def ready(self) -> Self:
        """What a worker may take up now."""
        return (
            self.free()
            .unfinished()
            .filter(due_at__lte=Now(), campaign__status=Campaign.Status.SENDING)
        )

    def abandoned(self) -> Self:
        """Who worked on it has been silent for a lease, though the database answered throughout;
        whatever the campaign's state. See newsletter.outages."""
        if outages.seconds_without_one() < LEASE.total_seconds():
            return self.none()
        return self.filter(lease_until__lt=Now(), finished_at__isnull=True)

    def bring_forward(self, mailers: Iterable[str]) -> None:
        """What waits for one of these need not wait any more."""
        waiting = self.unfinished().filter(held_by__in=list(mailers))
        waiting.update(due_at=Now(), held_by="")

    def free_held(self) -> None:
        """What waits for a mailer that is not down any more: whoever found out may have died."""
        held = self.unfinished().exclude(held_by="")
        back = held.exclude(held_by__in=Breaker.objects.down().values("mailer"))
        # Asked first: SQLite has one writer, and to write nothing is to write.
        if back.exists():
            back.update(due_at=Now(), held_by="")

    def called_off(self) -> Self:
        """Of a campaign that was cancelled while it was being sent."""
        return self.free().filter(
            finished_at__isnull=True, campaign__status=Campaign.Status.CANCELLED
        )

    def claim(self) -> "Batch | None":
        """A batch for this worker alone, until its lease runs out; None if nothing is due.

        The row is locked while it is looked at, rows that others look at are skipped, and the
        clock is the database's, the one that all workers share. Of two in one place of the line,
        who waits longer comes first.
        """
        self.settle_abandoned()
        asked_at = time.monotonic()
        with transaction.atomic():
            batch = self._locked(self.ready().order_by("-campaign__is_breaking", "lot", "due_at"))
            if batch:
                batch.claimed_at = asked_at
                batch._take()
        return batch

    def settle_abandoned(self) -> None:
        """Write down whom dead workers had in hand, and let others go on with their batches."""
        while self.abandoned().exists():
            with transaction.atomic():
                batch = self._locked(self.abandoned().order_by("pk"))
                if batch is None:
                    return
                batch.settle_hand()
                batch._keep(
                    token=uuid.uuid4(), lease_until=None, **batch._failed("A worker died at it.")
                )

    def write_off_called_off(self, seconds: float) -> None:
        """Skip who is left of cancelled campaigns, as far as one gets in this time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.called_off().exists():
            with transaction.atomic():
                batch = self._locked(self.called_off().order_by("pk"))
                if batch is None:
                    return
                batch.settle_hand()
                batch.write_off(Delivery.Reason.CANCELLED)

    def _locked(self, batches: Self) -> "Batch | None":
        return (
            batches.select_for_update(skip_locked=True, of=("self",))
            .select_related("campaign__publication")
            .first()
        )


class Batch(models.Model):
    """A range of subscriber ids, worked on under a lease. A reader belongs to exactly one."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="batches")
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    # Everybody up to here is accounted for, in hand, deferred or left aside.
    position = models.BigIntegerField()
    # Taken up in this order: places in one line in which all campaigns stand.
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
    # The mailer that all its readers wait for, as it is down; blank: they do not.
    held_by = models.CharField(max_length=50, blank=True)
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
        """Nobody can know of those in a dead worker's hand: they are counted, or, if the campaign
        says so, tried again. The row is locked by the caller."""
        hand: list[tuple[int, int, int]]
        hand, self.in_hand = self.in_hand, []
        if not hand:
            return
        if self.campaign.if_uncertain == Campaign.IfUncertain.REPEAT:
            Deferral.objects.put([self._repeated(subscriber) for subscriber, *_ in hand])
            return
        lost = [
            LedgerRow(*ids, Delivery.Status.UNCERTAIN, Delivery.Reason.WORKER_LOST) for ids in hand
        ]
        Delivery.objects.add(self.campaign_id, lost)
        self.deferrals.filter(subscriber__in=[subscriber for subscriber, *_ in hand]).delete()

    def readers_left(self) -> list[int]:
        """Whom the walk has not come to yet and of whom nothing is known, in its order."""
        # Within this batch's range, or PostgreSQL may read the whole ledger for each batch.
        known = Delivery.objects.filter(
            campaign_id=self.campaign_id,
            subscriber_id=OuterRef("subscriber_id"),
            subscriber_id__gt=self.position,
            subscriber_id__lte=self.last,
        )
        waiting = self.deferrals.filter(subscriber_id=OuterRef("subscriber_id"))
        left = self._ahead(self.position).exclude(Exists(known)).exclude(Exists(waiting))
        return list(left.order_by("subscriber").values_list("subscriber", flat=True).distinct())

    def write_off(self, reason: str) -> None:
        """Skip everybody of whom nothing is known, and be done. The row is locked by the caller."""
        Delivery.objects.add(self.campaign_id, self._skipped(reason))
        self.deferrals.all().delete()
        self._keep(
            token=uuid.uuid4(), lease_until=None, set_aside_at=None, finished_at=timezone.now()
        )

    def place_behind(self) -> float:
        """The lot behind the next who waits, of whatever other campaign."""
        others = Batch.objects.ready().exclude(campaign=self.campaign_id)
        next_lot = others.aggregate(lot=Min("lot"))["lot"] or 0.0
        return float(max(self.lot, next_lot) + 1)

    def fail(self, words: str) -> None:
        """A walk crashed: another worker may try; too many crashes in a row set it aside."""
        due_at = Now() + timedelta(seconds=self.failures + 1)
        self.change(lease_until=None, due_at=due_at, **self._failed(words))

    def _failed(self, words: str) -> dict[str, Any]:
        failures = self.failures + 1
        aside = {"set_aside_at": Now()} if failures >= MOST_FAILURES else {}
        return {"failures": failures, "trouble": words[:500], **aside}

    def learn(self, learnt: "Learnt") -> None:
        """What a worker that lost this batch knows after all of those it had in hand.

        Whoever it never handed over is taken up again; once the books are closed, that is all that
        can be said of him.
        """
        with transaction.atomic():
            # The campaign's row first: whoever closes its books holds it.
            campaign = Campaign.objects.select_for_update(no_key=True).get(pk=self.campaign_id)
            batch = Batch.objects.select_for_update().get(pk=self.pk)
            batch._hear(learnt.rows)
            Bounce.objects.add(learnt.bounces)
            missed = Delivery.objects.unsettled(campaign.pk, learnt.returned)
            if campaign.is_closed:
                missed.update(status=Delivery.Status.FAILED)
                campaign.recount()
            else:
                batch._take_back(list(missed.values_list("subscriber_id", flat=True)))

    def _take(self) -> None:
        """Make it this worker's. A walk that left readers aside begins again, for them."""
        self.settle_hand()
        self.attempts = min(self.attempts + 1, _MOST_ATTEMPTS)
        if self.left_aside:
            self.position, self.left_aside = self.first - 1, 0
        self.token = uuid.uuid4()
        self._keep(
            token=self.token,
            lease_until=Now() + LEASE,
            attempts=self.attempts,
            position=self.position,
            left_aside=0,
        )

    def _hear(self, told: "list[LedgerRow]") -> None:
        """Also of those who were to be tried again, unless another has them in hand already."""
        in_hand = {subscriber for subscriber, *_ in self.in_hand}
        news = [row for row in told if row.subscriber not in in_hand]
        Delivery.objects.add(self.campaign_id, news)
        Delivery.objects.settle(self.campaign_id, news)
        self.deferrals.filter(subscriber__in=[row.subscriber for row in news]).delete()

    def _take_back(self, subscribers: list[int]) -> None:
        if subscribers:
            Delivery.objects.filter(
                campaign_id=self.campaign_id, subscriber_id__in=subscribers
            ).delete()
            Deferral.objects.put([self._repeated(subscriber) for subscriber in subscribers])
            # Another worker may be at it, and its hand stays in the row.
            Batch.objects.filter(pk=self.pk).update(finished_at=None, due_at=Now())

    def _keep(self, **fields: Any) -> None:
        """Write to the row, which the caller has locked; nobody's hand is in it then."""
        Batch.objects.filter(pk=self.pk).update(in_hand=[], **fields)

    def _repeated(self, subscriber: int) -> Deferral:
        return Deferral(
            batch=self,
            campaign_id=self.campaign_id,
            subscriber_id=subscriber,
            attempts=0,
            due_at=timezone.now(),
        )

    def _ahead(self, position: int) -> "QuerySet[Subscription]":
        return self.campaign.periods_at_start().filter(
            subscriber__gt=position, subscriber__lte=self.last
        )

    def _skipped(self, reason: str) -> "list[LedgerRow]":
        versions = dict(self.campaign.versions.current().values_list("mailing_list", "pk"))
        periods = self._ahead(self.first - 1).order_by().values_list("subscriber")
        return [
            LedgerRow(
                subscriber, mailing_list, versions[mailing_list], Delivery.Status.SKIPPED, reason
            )
            for subscriber, mailing_list in periods.annotate(Min("mailing_list"))
        ]

    def next_visit(self, after: datetime | None) -> datetime | None:
        """When the first of its deferred readers is due whom a walk has not seen yet: it saw all
        who were due until then."""
        unseen = self.deferrals.filter(due_at__gt=after) if after else self.deferrals.all()
        at: datetime | None = unseen.aggregate(at=Min("due_at"))["at"]
        return at
