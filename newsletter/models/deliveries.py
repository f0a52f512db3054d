"""How a campaign is divided among workers, and the ledger of what became of each message."""

import uuid
from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from newsletter.models.campaigns import Campaign, Version
from subscribers.models import MailingList, Subscriber

# A worker that has not renewed its lease for this long is taken for dead.
LEASE = timedelta(seconds=15)


class Batch(models.Model):
    """A range of subscriber ids, worked on under a lease. A reader belongs to exactly one."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="batches")
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    # Everybody up to here is accounted for, in hand or deferred.
    position = models.BigIntegerField()
    # Taken up in this order, so that one mailbox provider's readers do not come in a row.
    lot = models.FloatField()
    # Who is with the transport at this moment: [subscriber, mailing list] each; written before
    # they are handed over, so that a crash leaves them known.
    in_hand = models.JSONField(default=list)
    token = models.UUIDField(default=uuid.uuid4)
    lease_until = models.DateTimeField(null=True)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)

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


class Delivery(models.Model):
    """What became of one message to one reader: a row of the ledger, only ever added.

    The largest table by far: one key, no other index, no address, no constraint to check.
    """

    class Status(models.TextChoices):
        SENT = "sent", _("Handed over")
        FAILED = "failed", _("Failed")
        SKIPPED = "skipped", _("Skipped")
        UNCERTAIN = "uncertain", _("Uncertain")

    pk = models.CompositePrimaryKey("campaign_id", "subscriber_id")
    campaign = models.ForeignKey(Campaign, models.CASCADE, db_index=False)
    subscriber = models.ForeignKey(
        Subscriber, models.DO_NOTHING, db_index=False, db_constraint=False
    )
    mailing_list = models.ForeignKey(
        MailingList, models.PROTECT, db_index=False, db_constraint=False
    )
    version = models.ForeignKey(Version, models.PROTECT, db_index=False, db_constraint=False)
    status = models.CharField(max_length=9, choices=Status)
    code = models.CharField(max_length=20, blank=True)
    # The provider's own words where it refused, our reason where we skipped.
    text = models.CharField(max_length=500, blank=True)
    provider_id = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.subscriber_id} {self.status}"


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

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "subscriber"], name="one_deferral_a_reader")
        ]
        indexes = [models.Index(fields=["batch", "due_at"], name="deferral_due")]

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.subscriber_id} at {self.due_at:%H:%M:%S}"
