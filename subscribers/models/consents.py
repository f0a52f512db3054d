"""What was agreed to, word for word, and by whom, how and when. Rows are added, never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from subscribers.models.subscriptions import Subscription


class AppendOnlyError(RuntimeError):
    """Somebody tried to change or remove evidence."""


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

    class Meta:
        verbose_name_plural = "terms"
        constraints = [
            models.UniqueConstraint(fields=["publication", "number"], name="one_wording_a_number")
        ]

    def __str__(self) -> str:
        return f"{self.publication} {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        _refuse_change(self)
        super().save(*args, **kwargs)

    @property
    def label(self) -> str:
        """The wording as a reader sees it, without the marks of the link."""
        return self.wording.replace("[", "").replace("]", "")


@dataclass(frozen=True)
class Evidence:
    """How somebody said what they said: what a consent row is written from (EVD-01)."""

    method: str
    address: str = ""
    terms: Terms | None = None
    wording: str = ""
    network_address: str | None = None
    browser: str = ""
    page: str = ""
    form: str = ""
    language: str = ""
    source: str = ""
    actor: str = ""
    # When it was said; None: as it is recorded.
    at: datetime | None = None


class ConsentQuerySet(models.QuerySet["Consent"]):
    def record(self, action: str, subscription: "Subscription", evidence: Evidence) -> "Consent":
        known = {
            "address": evidence.address or subscription.subscriber.address,
            "at": evidence.at or timezone.now(),
        }
        return self.create(
            action=action,
            subscriber=subscription.subscriber,
            subscription=subscription,
            mailing_list=subscription.mailing_list,
            **vars(evidence) | known,
        )

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Consents are evidence: add a row instead of changing one.")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("Consents are evidence: they are removed by erasure only.")

    def erase(self) -> int:
        """The one way out: what the law or the person wants forgotten. Evidence of nothing else."""
        return super().delete()[0]


class Consent(models.Model):
    """Append-only evidence: given, confirmed, withdrawn."""

    class Action(models.TextChoices):
        GIVEN = "given", _("Given")
        CONFIRMED = "confirmed", _("Confirmed")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    class Purpose(models.TextChoices):
        NEWSLETTER = "newsletter", _("Newsletter")
        TRACKING = "tracking", _("Tracking")
        PARTNER = "partner", _("Partner offers")

    class Method(models.TextChoices):
        FORM = "form", _("Sign-up form")
        LINK = "link", _("Link in a mail")
        ONE_CLICK = "one_click", _("Button of the mail program")
        MAIL = "mail", _("Mail to the address for leaving")
        UNDO = "undo", _("Undo")
        IMPORT = "import", _("Import")
        STAFF = "staff", _("The newsroom")
        REPORT = "report", _("Reported by the email provider")

    action = models.CharField(_("action"), max_length=10, choices=Action)
    purpose = models.CharField(
        _("purpose"), max_length=12, choices=Purpose, default=Purpose.NEWSLETTER
    )
    subscriber = models.ForeignKey("Subscriber", models.PROTECT, related_name="consents")
    subscription = models.ForeignKey("Subscription", models.PROTECT, related_name="consents")
    mailing_list = models.ForeignKey("MailingList", models.PROTECT)
    address = models.CharField(_("address as typed"), max_length=320)
    terms = models.ForeignKey(Terms, models.PROTECT, null=True, blank=True)
    # What stood beside the box, letter by letter, whatever becomes of the terms' row.
    wording = models.TextField(_("wording shown"), blank=True)
    # An import brings the moment along at which somebody else was told.
    at = models.DateTimeField(_("at"), default=timezone.now, editable=False)
    network_address = models.GenericIPAddressField(_("network address"), null=True, blank=True)
    browser = models.CharField(_("browser"), max_length=400, blank=True)
    page = models.CharField(_("page"), max_length=500, blank=True)
    form = models.CharField(_("form"), max_length=50, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    method = models.CharField(_("method"), max_length=10, choices=Method)
    # "campaign:7" for what came from a campaign; reports read it from above.
    source = models.CharField(_("source"), max_length=100, blank=True)
    actor = models.CharField(_("actor"), max_length=150, blank=True)

    objects = ConsentQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["source"], name="consent_by_source")]

    def __str__(self) -> str:
        return f"{self.get_action_display()}, {self.at:%Y-%m-%d %H:%M}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        _refuse_change(self)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Consents are evidence: they are removed by erasure only.")


def _refuse_change(row: models.Model) -> None:
    if not row._state.adding:
        raise AppendOnlyError(f"{row._meta.verbose_name} {row.pk} is published: add a new row.")
