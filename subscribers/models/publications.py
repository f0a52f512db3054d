"""The paper, who signs its mail, and what one can subscribe to."""

from email.utils import formataddr, parseaddr
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.encoding import punycode
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from subscribers.addresses import Address
from subscribers.validators import validate_mailer, validate_plain_line, validate_time_zone

if TYPE_CHECKING:
    from subscribers.models.terms import Terms


_MARK = ["warmed_standby", "warmed_by", "warmed_at"]


class PublicationQuerySet(models.QuerySet["Publication"]):
    def current(self) -> "Publication":
        """The one paper of this installation. Raises DoesNotExist before `create_demo` or setup."""
        return self.select_related("sender").earliest("id")


class Publication(models.Model):
    """The paper: all else hangs from it."""

    name = models.CharField(_("name"), max_length=100, validators=[validate_plain_line])
    tagline = models.CharField(
        _("tagline"), max_length=200, blank=True, validators=[validate_plain_line]
    )
    # Required before anything is sent: 15 USC 7704(a)(5) asks for both in every campaign.
    legal_name = models.CharField(_("legal name"), max_length=200, blank=True)
    postal_address = models.TextField(_("postal address"), blank=True)
    privacy_url = models.URLField(_("privacy notice"), blank=True)
    site = models.URLField(
        _("site"),
        blank=True,
        help_text=_("Where links in mail lead, for ever. Blank: the SITE_URL of this server."),
    )
    language = models.CharField(_("language"), max_length=12, default="en")
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone]
    )
    accent = models.CharField(
        _("accent colour"),
        max_length=7,
        default="#9a1b1e",
        validators=[RegexValidator(r"^#[0-9a-fA-F]{6}$", _("A colour like #9a1b1e."))],
    )
    sender = models.ForeignKey(
        "Sender",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("sender"),
    )
    cancel_window = models.PositiveIntegerField(
        _("cancel window"),
        default=60,
        help_text=_("Seconds in which a sending can be called off."),
    )

    objects = PublicationQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    def url(self, path: str) -> str:
        """The absolute address of a path; never built from the Host header of a request."""
        return urljoin((self.site or settings.SITE_URL) + "/", path.lstrip("/"))

    @property
    def host(self) -> str:
        return urlsplit(self.url("/")).hostname or "localhost"

    @cached_property
    def offered(self) -> "list[MailingList]":
        """What a reader may choose on the form, as of when it was first asked for."""
        return list(self.mailing_lists.public())

    def numbered_terms(self, number: int) -> "Terms | None":
        """One that a form may be held to; a published wording never changes, so each is asked for
        once."""
        if number not in self._terms:
            found = self.terms_versions.filter(number=number).still_offered().first()
            if found is None:
                return None
            self._terms[number] = found
        return self._terms[number]

    @cached_property
    def _terms(self) -> "dict[int, Terms]":
        return {}

    def current_terms(self) -> "Terms":
        """The wording that a form shows today. Raises Terms.DoesNotExist if none is published."""
        return self.terms_versions.latest("number")

    def missing_for_sending(self) -> list[str]:
        """What the law wants in every campaign and is not filled in yet (LAW-01)."""
        needed = {
            _("legal name"): self.legal_name,
            _("postal address"): self.postal_address,
        }
        return [str(label) for label, value in needed.items() if not value.strip()]


class SenderQuerySet(models.QuerySet["Sender"]):
    def owns(self, address: Address) -> bool:
        """Mail to this address comes back to us: subscribing it would be a loop (BNC-10)."""
        ours = [parseaddr(settings.DEFAULT_FROM_EMAIL)[1]]
        for sender in self.all():
            if address.domain == _in_ascii(sender.bounce_domain):
                return True
            ours += [sender.email, sender.reply_to]
        return address.without_tag in {_without_tag(email) for email in ours if "@" in email}


def _without_tag(email: str) -> str:
    local, _at, domain = email.rpartition("@")
    return Address(local, _in_ascii(domain)).without_tag


def _in_ascii(domain: str) -> str:
    return punycode(domain.lower()) if domain else ""


class Sender(models.Model):
    """Who a mail is from, and by which mailer it leaves."""

    publication = models.ForeignKey(Publication, models.CASCADE, related_name="senders")
    name = models.CharField(_("name"), max_length=100, validators=[validate_plain_line])
    email = models.EmailField(_("address"))
    reply_to = models.EmailField(_("reply to"), blank=True)
    bounce_domain = models.CharField(
        _("bounce domain"),
        max_length=253,
        blank=True,
        help_text=_(
            "Envelope senders are b+TOKEN@ this domain, and who writes to u+TOKEN@ it leaves: its"
            " mail must come to receive_bounces. Blank: the address itself."
        ),
    )
    mailer = models.CharField(
        _("mailer"), max_length=50, default="default", validators=[validate_mailer]
    )
    # Who waits for a letter must not wait for a campaign, nor bear its reputation.
    letter_mailer = models.CharField(
        _("mailer of letters"), max_length=50, blank=True, validators=[validate_mailer]
    )
    standby = models.CharField(
        _("standby"), max_length=50, blank=True, validators=[validate_mailer]
    )
    # Which standby somebody said the mailbox providers know, for mail from this sender: the mark
    # is of no use to another that is chosen later.
    warmed_standby = models.CharField(max_length=50, blank=True, editable=False)
    warmed_at = models.DateTimeField(_("marked"), null=True, blank=True, editable=False)
    warmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )

    objects = SenderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(standby=F("mailer")),
                name="standby_is_another",
                violation_error_message=_("The standby has to be another mailer than the first."),
            )
        ]

    def __str__(self) -> str:
        return formataddr((self.name, self.email))

    def mark_standby(self, user_id: int | None) -> None:
        """Its standby may take over when its mailer is down: somebody answers for that."""
        self.warmed_standby, self.warmed_by_id = self.standby, user_id
        self.warmed_at = timezone.now()
        self.save(update_fields=_MARK)

    def unmark_standby(self) -> None:
        self.warmed_standby, self.warmed_by_id, self.warmed_at = "", None, None
        self.save(update_fields=_MARK)

    def return_domain(self, mailer: str) -> str:
        """Where what comes back of mail by this mailer comes to us; blank if it does not.

        Providers have return paths of their own, even if they bear our domain, and tell us of
        bounces themselves.
        """
        backend = str(settings.MAILERS.get(mailer, {}).get("BACKEND", ""))
        return "" if backend.startswith("anymail.") else self.bounce_domain

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]

    @property
    def has_warm_standby(self) -> bool:
        return bool(self.standby) and self.warmed_standby == self.standby

    @property
    def mailers(self) -> list[str]:
        """By which its campaigns may leave, the first preferred."""
        return self._with_standby(self.mailer)

    @property
    def letter_mailers(self) -> list[str]:
        """By which its letters may leave, the first preferred."""
        return self._with_standby(self.letter_mailer or self.mailer)

    @property
    def unknown_mailers(self) -> list[str]:
        named = [self.mailer, self.letter_mailer, self.standby]
        return [name for name in named if name and name not in settings.MAILERS]

    def _with_standby(self, mailer: str) -> list[str]:
        may_take_over = self.has_warm_standby and self.standby in settings.MAILERS
        return [mailer, self.standby] if may_take_over and self.standby != mailer else [mailer]


class MailingListQuerySet(models.QuerySet["MailingList"]):
    def public(self) -> Self:
        """What a reader may choose on the form, in the paper's order."""
        return self.filter(is_public=True).order_by("position", "name")


class MailingList(models.Model):
    """What one can subscribe to."""

    publication = models.ForeignKey(Publication, models.CASCADE, related_name="mailing_lists")
    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=100, validators=[validate_plain_line])
    description = models.CharField(_("description"), max_length=300, blank=True)
    rhythm = models.CharField(
        _("rhythm"), max_length=100, blank=True, help_text=_("“Weekdays at 6:30”")
    )
    language = models.CharField(_("language"), max_length=12, blank=True)
    # RFC 2919: what mail programs file by. It never changes, whatever the list is called later.
    list_id = models.CharField(_("List-Id"), max_length=255, unique=True, editable=False)
    sender = models.ForeignKey(Sender, models.PROTECT, null=True, blank=True)
    quieter_sibling = models.ForeignKey("self", models.SET_NULL, null=True, blank=True)
    is_public = models.BooleanField(_("public"), default=True)
    position = models.PositiveSmallIntegerField(
        _("position"), default=0, validators=[MinValueValidator(0)]
    )

    objects = MailingListQuerySet.as_manager()

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        if not self.list_id:
            self.list_id = f"{self.slug}.{self.publication.host}"
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    @property
    def effective_sender(self) -> Sender | None:
        return self.sender or self.publication.sender

    @property
    def mailers(self) -> list[str]:
        """By which its campaigns may leave, the first preferred."""
        sender = self.effective_sender
        return sender.mailers if sender else ["default"]
