"""What a provider or a reader's mail client told us later."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from newsletter.faults import Fault
from newsletter.models import consequences, event_rows
from newsletter.models.campaigns import Campaign
from newsletter.models.deliveries import Delivery
from newsletter.models.prepared import fetched

# Whoever is in hand now, or is tried again for hours, has a row by then; or never gets one.
_WAITS = timedelta(days=2)
_PIECE = 500
# Mostly of messages of which we know that they were handed over: nothing follows.
_SELDOM_MATTER = {"delivered", "deferred"}
# Held against no address: it is about us (BNC-03).
OUR_FAULT = {Fault.POLICY.value, Fault.SENDER.value}


class EventQuerySet(models.QuerySet["Event"]):
    def record(self, reports: "Iterable[Report]") -> int:
        """Store each of these once, and do what follows from it; how many were new.

        In one transaction. What is about a message of which nothing is known yet waits for it: see
        `apply_waiting`. A stranger's is stored, no more.
        """
        told = list(reports)
        if all(report.kind in _SELDOM_MATTER for report in told):
            # One statement is a transaction by itself, and spares two journeys to the database.
            return self._store(told)
        with transaction.atomic():
            return self._store(told)

    def waiting(self) -> Self:
        """Not applied yet: there was no row of its message."""
        return self.filter(applied_at__isnull=True, subscriber_id__isnull=False)

    def apply_waiting(self, now: datetime | None = None) -> None:
        """Apply those whose message is in the ledger by now; any worker may call it, at any time.

        What waited for two days does so in vain.
        """
        # Asked first: mostly nothing is, and a transaction on SQLite keeps all writers waiting.
        while self._ready().exists() and self._apply_some():
            pass
        while self._give_up_some((now or timezone.now()) - _WAITS):
            pass

    def delete_received_before(self, moment: datetime) -> int:
        """One step of forgetting, short enough to hold up nobody; how many went."""
        # Their keys grow with time: an index of its own would make each report dearer.
        oldest = self.order_by("pk").values_list("pk", "received_at")
        if not any(at < moment for _pk, at in oldest[:1]):
            return 0
        old = [pk for pk, at in oldest[:_PIECE] if at < moment]
        return self.filter(pk__in=old).delete()[0]

    def _store(self, reports: "list[Report]") -> int:
        stored = fetched(*event_rows.statement_to_store(event_rows.written(reports)))
        if waiting := [pk for pk, reader, applied_at in stored if reader and not applied_at]:
            with transaction.atomic():
                self._apply(self.waiting().filter(pk__in=waiting).select_for_update())
        return len(stored)

    def _apply(self, locked: Self) -> int:
        # Readers in one order for all: who applies events of the same ones must not wait for each
        # other.
        events = list(locked.order_by("subscriber_id", "at", "pk"))
        done = consequences.apply(events)
        self.filter(pk__in=done).update(applied_at=timezone.now())
        return len(events)

    def _ready(self) -> Self:
        known = Delivery.objects.filter(
            campaign_id=OuterRef("campaign_id"), subscriber_id=OuterRef("subscriber_id")
        )
        return self.waiting().filter(Exists(known))

    def _apply_some(self) -> int:
        with transaction.atomic():
            locked = self._ready().select_for_update(skip_locked=True, of=("self",))[:_PIECE]
            return self._apply(self.filter(pk__in=[event.pk for event in locked]))

    def _give_up_some(self, moment: datetime) -> int:
        late = self.waiting().filter(received_at__lt=moment)
        keys = list(late.values_list("pk", flat=True)[:_PIECE])
        return self.filter(pk__in=keys).update(applied_at=timezone.now())


class Event(models.Model):
    """Append-only, unique by its source's own id: the same report twice is one row.

    Without an address: a million come back from one campaign, and people are erased.
    """

    class Kind(models.TextChoices):
        DELIVERED = "delivered", _("Delivered")
        DEFERRED = "deferred", _("Deferred")
        BOUNCED = "bounced", _("Bounced")
        REJECTED = "rejected", _("Rejected")
        COMPLAINED = "complained", _("Complained")
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")

    # Who said so: "mailgun", "dsn", "arf".
    source = models.CharField(_("source"), max_length=30)
    event_id = models.CharField(_("event id"), max_length=200)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    # No constraint: it may be another installation's. Null: of a letter, or not known.
    campaign = models.ForeignKey(
        Campaign,
        models.CASCADE,
        null=True,
        related_name="events",
        db_index=False,
        db_constraint=False,
    )
    # No key: the person may have been erased, the report stays true.
    subscriber_id = models.BigIntegerField(null=True)
    # The suppression key of the address that it names, and the mailbox provider or mail domain.
    key = models.CharField(max_length=40, blank=True, editable=False)
    house = models.CharField(_("mailbox provider"), max_length=255, blank=True)
    at = models.DateTimeField(_("at"))
    # Of what did not arrive: a Fault.
    fault = models.CharField(_("fault"), max_length=12, blank=True)
    code = models.CharField(_("code"), max_length=20, blank=True)
    text = models.CharField(_("what they said"), max_length=500, blank=True)
    provider_id = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(_("received"))
    # When we did what follows from it.
    applied_at = models.DateTimeField(_("applied"), null=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "event_id"], name="an_event_counts_once")
        ]
        indexes = [
            models.Index(
                fields=["received_at"],
                condition=Q(applied_at__isnull=True, subscriber_id__isnull=False),
                name="event_waiting",
            ),
            models.Index(fields=["campaign", "kind", "house"], name="event_rates"),
        ]

    def __str__(self) -> str:
        return f"{self.source}: {self.kind}"

    def settle(self, delivery: Delivery) -> None:
        """Let the ledger learn from it, if it can. The campaign's row is locked by the caller."""
        delivery.refresh_from_db()
        if self.settles(delivery):
            # Also what is deferred or complained about had been taken by the provider.
            status = Delivery.Status.FAILED if self._is_failure else Delivery.Status.SENT
            delivery.settle(status, f"{self}. {self.code} {self.text}", self.provider_id)

    @property
    def message(self) -> tuple[int | None, int | None]:
        return self.campaign_id, self.subscriber_id

    @property
    def is_complaint(self) -> bool:
        return self.kind == self.Kind.COMPLAINED

    @property
    def is_unsubscribe(self) -> bool:
        return self.kind == self.Kind.UNSUBSCRIBED

    @property
    def is_hard(self) -> bool:
        """Nobody is there."""
        return self.fault == Fault.NO_MAILBOX.value

    @property
    def is_against_address(self) -> bool:
        """It did not arrive, and not for what we are or did (BNC-03)."""
        return self._is_failure and self.fault not in OUR_FAULT

    def settles(self, delivery: Delivery) -> bool:
        """Whether the ledger learns from it what became of this message.

        Failed wins over sent among what reports have settled, so their order does not matter; what
        a worker wrote stays.
        """
        if delivery.status == Delivery.Status.UNCERTAIN:
            return True
        was_sent = delivery.status == Delivery.Status.SENT
        return self._is_failure and was_sent and delivery.code == Delivery.Reason.REPORTED

    @property
    def _is_failure(self) -> bool:
        return self.kind in {self.Kind.BOUNCED, self.Kind.REJECTED}


class Report(NamedTuple):
    """What somebody reports about one message, as every way in understands it.

    A provider's webhook, a bounce or a complaint by mail: each is translated into these.
    """

    # Who says so ("mailgun", "dsn", "arf"), and what makes it one report however often it comes.
    source: str
    event_id: str
    kind: Event.Kind
    at: datetime
    # Our own numbers, if they came back with it; 0: not known. A subscriber without a campaign is
    # a letter's. They are believed: whoever reports has verified a signature, or a token of ours.
    campaign: int = 0
    subscriber: int = 0
    # To whom we sent it; blank where that is hidden, or another's (who has his mail forwarded).
    address: str = ""
    # What the server answered, as faults.of_return understands it.
    code: str = ""
    text: str = ""
    provider_id: str = ""
    # Whose fault the reporter takes it for; asked only where the answer does not tell. UNKNOWN: a
    # soft bounce; of what was REJECTED, never sent at all: nobody's.
    fault: Fault = Fault.UNKNOWN
