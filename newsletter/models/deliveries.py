"""The ledger of what became of each message, and who is to be tried again."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from django.db import connection, models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from newsletter.models.campaigns import Campaign
from newsletter.models.versions import Version
from subscribers.models import MailingList, Subscriber


class LedgerRow(NamedTuple):
    """A row of the ledger as it is entered: a plain tuple, as there are thousands a second."""

    subscriber: int
    mailing_list: int
    version: int
    status: str
    # What the provider answered, in its own words; a Reason where we skipped.
    code: str = ""
    text: str = ""
    provider_id: str = ""


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def add(self, campaign_id: int, rows: Sequence[LedgerRow]) -> None:
        """Enter these into the ledger by one statement; who is in it already stays as he is.

        A third cheaper than bulk_create, and this is the innermost loop of a campaign.
        """
        if rows:
            with connection.cursor() as cursor:
                cursor.execute(*self.statement_to_add(campaign_id, rows))

    def statement_to_add(
        self, campaign_id: int, rows: Sequence[LedgerRow], only_if: str = ""
    ) -> tuple[str, list[Any]]:
        """What `add` executes. `only_if` names a relation that must not be empty, or nothing is
        entered; PostgreSQL only."""
        condition = f"EXISTS (TABLE {only_if})" if only_if else "true"
        statement = _ADD[connection.vendor].format(into=_INTO, condition=condition)
        return statement, [campaign_id, _now(), _written(rows)]

    def settle(self, campaign_id: int, rows: Iterable[LedgerRow]) -> None:
        """From uncertain to what was learnt later; every other status stays."""
        for row in rows:
            uncertain = self.filter(
                campaign_id=campaign_id,
                subscriber_id=row.subscriber,
                status=Delivery.Status.UNCERTAIN,
            )
            uncertain.update(
                status=row.status,
                code=row.code[:20],
                text=row.text[:500],
                provider_id=row.provider_id[:200],
                at=Now(),
            )

    def unsettled(self, campaign_id: int, subscribers: list[int]) -> Self:
        """Those of whom nobody knows more than that their worker was lost."""
        return self.filter(
            campaign_id=campaign_id,
            subscriber_id__in=subscribers,
            status=Delivery.Status.UNCERTAIN,
            code=Delivery.Reason.WORKER_LOST,
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
        """Why we skipped a reader, or do not know, or how we came to know."""

        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        NOT_ME = "not_me", _("“This wasn’t me”")
        COMPLAINED = "complained", _("Complained")
        BOUNCED = "bounced", _("Our mail comes back")
        ERASED = "erased", _("Erased")
        BY_STAFF = "by_staff", _("Removed by the newsroom")
        PAUSED = "paused", _("Paused by the reader")
        SUPPRESSED = "suppressed", _("The address is suppressed")
        TERMS = "terms", _("Has not agreed to the new terms")
        EXPIRED = "expired", _("Too late: no longer news")
        CANCELLED = "cancelled", _("The campaign was called off")
        WORKER_LOST = "worker_lost", _("The worker died with the message in hand")
        REPORTED = "reported", _("Uncertain until somebody reported what became of it")

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

    def settle(self, status: str, text: str, provider_id: str) -> None:
        """What a later report told of it. The campaign's row is locked by the caller."""
        self.status, self.code, self.text = status, Delivery.Reason.REPORTED, text[:500]
        self.provider_id = provider_id or self.provider_id
        self.at = timezone.now()
        self.save(update_fields=["status", "code", "text", "provider_id", "at"])


# The rows travel as one parameter of JSON, which both databases take apart themselves: nine
# parameters a row cost more than all the rest of the statement.
_INTO = """
    INSERT INTO newsletter_delivery (
        campaign_id, at, subscriber_id, mailing_list_id, version_id, status, code, text, provider_id
    )
"""
_ADD = {
    "postgresql": """
    {into}
    SELECT %s, %s::timestamptz, (row->>0)::bigint, (row->>1)::bigint, (row->>2)::bigint,
        row->>3, row->>4, row->>5, row->>6
    FROM json_array_elements(%s::json) AS row
    WHERE {condition}
    ON CONFLICT DO NOTHING
""",
    # Without a WHERE, SQLite would take the ON for that of a join.
    "sqlite": """
    {into}
    SELECT %s, %s, value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6
    FROM json_each(%s)
    WHERE {condition}
    ON CONFLICT DO NOTHING
""",
}


def _now() -> Any:
    return connection.ops.adapt_datetimefield_value(timezone.now())


def _written(rows: Sequence[LedgerRow]) -> str:
    """As JSON, cut to the columns' widths. Some servers answer with what cannot be stored."""
    return json.dumps(
        [
            (*row[:4], row.code[:20], storable(row.text[:500]), storable(row.provider_id[:200]))
            for row in rows
        ]
    )


def storable(text: str) -> str:
    """Without what PostgreSQL refuses: NUL, and halves of characters."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode(errors="replace").decode()


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

    batch = models.ForeignKey("Batch", models.CASCADE, related_name="deferrals")
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
