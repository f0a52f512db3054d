"""What a provider or a reader's mail client told us later."""

from datetime import datetime
from typing import NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from newsletter.models.campaigns import Campaign


class Event(models.Model):
    """Append-only, unique by the provider's own id: the same report twice is one row."""

    class Kind(models.TextChoices):
        DELIVERED = "delivered", _("Delivered")
        DEFERRED = "deferred", _("Deferred")
        BOUNCED = "bounced", _("Bounced")
        REJECTED = "rejected", _("Rejected")
        COMPLAINED = "complained", _("Complained")
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")

    provider = models.CharField(_("provider"), max_length=30)
    provider_event_id = models.CharField(_("event id"), max_length=200)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    campaign = models.ForeignKey(Campaign, models.CASCADE, null=True, related_name="events")
    # No key: the person may have been erased, the report stays true.
    subscriber_id = models.BigIntegerField(null=True)
    at = models.DateTimeField(_("at"))
    received_at = models.DateTimeField(_("received"), auto_now_add=True)
    report = models.JSONField(_("report"), default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "provider_event_id"], name="an_event_counts_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.kind}"


class Report(NamedTuple):
    """What somebody reports about one message, as every way in understands it.

    A provider's webhook, a bounce or a complaint by mail: each is translated into these.
    """

    # Who says so ("mailgun", "dsn", "arf"), and what makes it one report however often it comes.
    source: str
    event_id: str
    kind: Event.Kind
    at: datetime
    # Our own numbers, if they came back with it; 0: not known.
    campaign: int = 0
    subscriber: int = 0
    # Whom it names; blank where that is hidden from us.
    address: str = ""
    code: str = ""
    text: str = ""
    provider_id: str = ""
