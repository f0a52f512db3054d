"""What was agreed to, word for word, and by whom, how and when. Rows are added, never changed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, Self

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.models.append_only import DOOR_IS_OPEN, AppendOnlyError, Refused
from subscribers.models.terms import Terms

if TYPE_CHECKING:
    from subscribers.models.subscriptions import Subscription

# What stays when a person is erased: time, purpose and the wording's version (EVD-08).
LASTING = (
    "action",
    "purpose",
    "mailing_list_id",
    "terms_id",
    "terms_hash",
    "wording",
    "method",
    "at",
    "recorded_at",
)
# What is kept for a shorter time than the rest.
TRACES = ("network_address", "browser")
# What is erased with the person.
PERSONAL = (
    "subscriber_id",
    "subscription_id",
    "address",
    "boxes",
    "page",
    "referrer",
    "form",
    "language",
    "source",
    "actor",
    "message_id",
    "mailed_at",
    *TRACES,
)
_TRACED = models.Q(network_address__isnull=False) | ~models.Q(browser="")


@dataclass(frozen=True)
class Evidence:
    """How somebody said what they said: what a consent row is written from (EVD-01)."""

    method: str
    address: str = ""
    terms: Terms | None = None
    wording: str = ""
    # What stood on the form, and whether it was ticked: {"agree": true, "lists": {slug: true}}.
    boxes: dict[str, Any] = field(default_factory=dict)
    network_address: str | None = None
    browser: str = ""
    page: str = ""
    referrer: str = ""
    form: str = ""
    language: str = ""
    source: str = ""
    actor: str = ""
    message_id: str = ""
    mailed_at: datetime | None = None
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
            terms_hash=evidence.terms.fingerprint if evidence.terms else "",
            **vars(evidence) | known,
        )

    def last_terms(self, subscription: "Subscription") -> Terms | None:
        """The terms of the last form about this period."""
        given = self.filter(subscription=subscription, action=Consent.Action.GIVEN)
        last = given.select_related("terms").order_by("pk").last()
        return last.terms if last else None

    def traced(self, before: datetime) -> Self:
        """Recorded before, and still with a network address or a browser."""
        return self.filter(_TRACED, recorded_at__lt=before)

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Consents are evidence: add a row instead of changing one.")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("Consents are evidence: they go by Removal only.")


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
        API = "api", _("Program")
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
    # Neither is there any more when the person was erased; then `key` says whose it was.
    subscriber = models.ForeignKey("Subscriber", models.PROTECT, null=True, related_name="consents")
    subscription = models.ForeignKey(
        "Subscription", models.PROTECT, null=True, related_name="consents"
    )
    mailing_list = models.ForeignKey("MailingList", models.PROTECT)
    address = models.CharField(_("address as typed"), max_length=320, blank=True)
    terms = models.ForeignKey(Terms, models.PROTECT, null=True, blank=True)
    # Its fingerprint as of then, whatever becomes of the terms' row.
    terms_hash = models.CharField(_("SHA-256 of the terms"), max_length=64, blank=True)
    # What stood beside the box, letter by letter, whatever becomes of the terms' row.
    wording = models.TextField(_("wording shown"), blank=True)
    boxes = models.JSONField(_("boxes"), default=dict, blank=True)
    # An import brings the moment along at which somebody else was told.
    at = models.DateTimeField(_("at"), default=timezone.now, editable=False)
    recorded_at = models.DateTimeField(_("recorded"), default=timezone.now, editable=False)
    network_address = models.GenericIPAddressField(_("network address"), null=True, blank=True)
    browser = models.CharField(_("browser"), max_length=400, blank=True)
    # The page with the form, as the form said; and as the browser said, where it did.
    page = models.CharField(_("page"), max_length=500, blank=True)
    referrer = models.CharField(_("page, as the browser said"), max_length=500, blank=True)
    form = models.CharField(_("form"), max_length=50, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    method = models.CharField(_("method"), max_length=10, choices=Method)
    # "campaign:7" for what came from a campaign; reports read it from above.
    source = models.CharField(_("source"), max_length=100, blank=True)
    # Who of the newsroom, where it was one of them.
    actor = models.CharField(_("actor"), max_length=150, blank=True)
    # The confirmation mail that was answered.
    message_id = models.CharField("Message-ID", max_length=200, blank=True)
    mailed_at = models.DateTimeField(_("mailed"), null=True, blank=True)
    # Of an erased person alone: the key by which a suppression knows the address.
    key = models.CharField(max_length=40, blank=True, editable=False)

    objects = ConsentQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["source"], name="consent_by_source"),
            models.Index(fields=["recorded_at"], condition=_TRACED, name="consent_traced"),
        ]
        constraints = [
            Refused(name="consent_changed", change="UPDATE", unless=DOOR_IS_OPEN),
            Refused(name="consent_rewritten", change="UPDATE", fields=LASTING),
            Refused(name="consent_removed", change="DELETE", unless=DOOR_IS_OPEN),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()}, {self.at:%Y-%m-%d %H:%M}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(f"Consent {self.pk} is on record: add a new row.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Consents are evidence: they go by Removal only.")
