"""What readers agree to: every wording that was ever published, at its address for ever."""

import hashlib
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.models.append_only import AppendOnlyError, Refused


class Terms(models.Model):
    """One published wording of the consent text. A change is a new row."""

    publication = models.ForeignKey(
        "Publication", models.PROTECT, related_name="terms_versions", editable=False
    )
    number = models.PositiveIntegerField(_("version"))
    # The label of the box, as shown; the words between [ and ] are the link to the text below.
    wording = models.CharField(
        _("wording"),
        max_length=300,
        default="By submitting this form, I agree to [the terms].",
    )
    text = models.TextField(_("text"))
    published_at = models.DateTimeField(_("published"), default=timezone.now, editable=False)
    # Who published it, as the newsroom signs in.
    actor = models.CharField(_("published by"), max_length=150, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "terms"
        constraints = [
            models.UniqueConstraint(fields=["publication", "number"], name="one_wording_a_number"),
            Refused(name="terms_changed", change="UPDATE"),
            Refused(name="terms_removed", change="DELETE"),
        ]

    def __str__(self) -> str:
        return f"{self.publication} {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(f"Terms {self.pk} are published: add a new row.")
        super().save(*args, **kwargs)

    @property
    def label(self) -> str:
        """The wording as a reader sees it, without the marks of the link."""
        return self.wording.replace("[", "").replace("]", "")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the wording, a line feed and the text, in hexadecimal (EVD-01)."""
        return hashlib.sha256(f"{self.wording}\n{self.text}".encode()).hexdigest()
