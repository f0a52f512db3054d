"""What a provider or a reader's mail client told us later."""

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
