"""What readers agree to: every wording that was ever published, at its address for ever."""

import hashlib
from datetime import date, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.models.append_only import AppendOnlyError, Refused


class TermsQuerySet(models.QuerySet["Terms"]):
    def still_offered(self) -> Self:
        """What a form that was loaded before may still be held to: no later one is asked for."""
        later = Renewal.objects.filter(
            terms__publication=OuterRef("publication"), terms__number__gt=OuterRef("number")
        )
        return self.exclude(Exists(later))


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

    objects = TermsQuerySet.as_manager()

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


class RenewalQuerySet(models.QuerySet["Renewal"]):
    def with_a_date(self) -> Self:
        return self.filter(agree_by__isnull=False)

    def in_force(self) -> Self:
        """Their date is past: who has not agreed is not mailed."""
        return self.filter(agree_by__lte=Now())

    def beyond(self) -> Exists:
        """Whether one of these asks for newer terms than a subscription is under.

        Numbers of rows go up with those of versions.
        """
        asked = self.filter(
            terms__publication=OuterRef("mailing_list__publication"),
            terms__gt=Coalesce(OuterRef("agreed_to"), 0),
        )
        return Exists(asked)

    def asking(self) -> "Renewal | None":
        """The one for which readers are to be asked now: the newest alone."""
        newest = self.select_related("terms__publication").order_by("-terms").first()
        return newest if newest and newest.due_at <= timezone.now() else None


class Renewal(models.Model):
    """Readers under older terms are asked to agree to these, each by one letter."""

    terms = models.OneToOneField(Terms, models.PROTECT, related_name="renewal")
    # In the editor's words, for the letter and for the page that it leads to.
    summary = models.CharField(_("what changes"), max_length=500)
    # From then on who has not agreed is not mailed; without it nobody is stopped.
    # Always set some days ahead: a campaign that is going out reads it from batch to batch.
    agree_by = models.DateTimeField(_("agree by"), null=True, blank=True)
    started_at = models.DateTimeField(_("since"), auto_now_add=True)
    # Readers up to this number were looked at, and when to look on. Whoever confirms an older form
    # later is found by another pass.
    asked_to = models.BigIntegerField(default=0, editable=False)
    due_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = RenewalQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["agree_by"],
                condition=models.Q(agree_by__isnull=False),
                name="renewal_with_a_date",
            )
        ]

    def __str__(self) -> str:
        return str(self.terms)

    @property
    def last_day(self) -> date | None:
        """The last on which one may agree and miss nothing, by the paper's calendar."""
        zone = ZoneInfo(self.terms.publication.time_zone)
        return self.agree_by and (self.agree_by - timedelta(seconds=1)).astimezone(zone).date()

    @property
    def is_in_force(self) -> bool:
        return self.agree_by is not None and self.agree_by <= timezone.now()
