"""Who looked at all the evidence of a reader."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Receipt(models.Model):
    """One drawing-up of a reader's evidence: by whom, when, and what for."""

    # The look stays on record when the person is gone.
    subscriber = models.ForeignKey(
        "Subscriber", models.SET_NULL, null=True, related_name="receipts"
    )
    actor = models.CharField(_("by"), max_length=150)
    reason = models.CharField(_("what for"), max_length=200)
    at = models.DateTimeField(_("at"), auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.actor}, {self.at:%Y-%m-%d %H:%M}"
