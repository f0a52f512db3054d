"""What an address is: how it is written, whose it is, and the keys under which we know it."""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

import idna
from django.conf import settings
from django.utils.translation import gettext as _
from email_validator import EmailNotValidError, validate_email

from subscribers import mailbox_providers

# RFC 5321 section 4.5.3.1, in octets; 254 is what its path limit leaves for an address.
LONGEST_LOCAL_PART = 64
LONGEST_DOMAIN = 255
LONGEST_ADDRESS = 254

_INVISIBLE = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
# Letters, marks and signs by category, and yet nothing to see.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

_DOTS_DO_NOT_COUNT = {"gmail.com", "googlemail.com"}
_TO_LOWER_ASCII = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

# Mailbox providers refuse or junk such a From that did not come from them (MSG-12).
_FREE_MAIL = re.compile(
    r"(gmail|googlemail|yahoo|ymail|hotmail|outlook|live|aol|gmx)\.(com?\.)?(com|net|[a-z]{2})"
)


class AddressError(ValueError):
    """The text is not an address we can write to; the message tells the person why."""


@dataclass(frozen=True)
class Address:
    """One mailbox. `local` is as the person typed it, `domain` in its ASCII form (IDNA)."""

    local: str
    domain: str

    def __str__(self) -> str:
        """The form that mail is sent to."""
        return f"{self.local}@{self.domain}"

    @property
    def identity(self) -> str:
        """The same for every spelling of one mailbox (ADR-02); never folded across scripts."""
        return f"{self.local.translate(_TO_LOWER_ASCII)}@{self.domain}"

    @property
    def abuse_key(self) -> str:
        """One key for all the aliases of a mailbox (ADR-05), for counting; never for delivery."""
        local, _at, domain = self.without_tag.rpartition("@")
        if domain in _DOTS_DO_NOT_COUNT:
            local, domain = local.replace(".", ""), "gmail.com"
        return _keyed_hash(settings.SECRET_KEY, "abuse", f"{local}@{domain}")

    def suppression_keys(self) -> list[str]:
        """This address under every suppression key, the current one first."""
        return [
            f"{number}:{_keyed_hash(key, 'suppression', self.identity)}"
            for number, key in settings.SUPPRESSION_KEYS.items()
        ]

    @property
    def without_tag(self) -> str:
        """The identity of the mailbox that "name+tag" is delivered to."""
        return f"{self.identity.rpartition('@')[0].partition('+')[0]}@{self.domain}"

    def masked(self) -> str:
        """What a page may show of it: forwarded mails are read by others (UNS-20)."""
        return f"{self.local[0]}•••@{self.domain}"


def parse(text: str) -> Address:
    """The address that a person typed. Raises AddressError with words for that person."""
    text = text.strip()
    _refuse_invisible(text)
    _refuse_lookalikes(text.rpartition("@")[0])
    _refuse_encoded(text)
    try:
        checked = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=settings.SMTPUTF8,
            test_environment=settings.LAPTOP,
        )
    except EmailNotValidError as error:
        raise AddressError(_reason(text, error)) from error
    if checked.ascii_domain is None:
        raise AddressError(_("The part after the @ is not a domain that mail can reach."))
    address = Address(checked.local_part, checked.ascii_domain.lower())
    _refuse_long(address)
    return address


def named(text: str) -> Address | None:
    """The address that a machine names, however it writes it; None if that is none at all."""
    local, at, domain = text.strip().strip("<>").rpartition("@")
    if not (local and at and domain):
        return None
    return Address(local, _ascii(domain))


def is_free_mail(email: str) -> bool:
    """Whether the domain is a mailbox provider's, so that nobody else can send in its name."""
    domain = email.lower().rpartition("@")[2]
    return bool(mailbox_providers.of_domain(domain) or _FREE_MAIL.fullmatch(domain))


def _ascii(domain: str) -> str:
    try:
        return domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain


def _refuse_invisible(text: str) -> None:
    """Zero-width, bidi and control characters make two addresses look like one (ADR-07)."""
    if any(unicodedata.category(character) in _INVISIBLE for character in text):
        raise AddressError(_("The address contains a space or an invisible character."))
    if _BLANK.search(text):
        raise AddressError(_("The address contains a space or an invisible character."))


def _refuse_lookalikes(local: str) -> None:
    """The Kelvin sign and its like would be normalised to the letter of another person (ADR-08)."""
    if any(unicodedata.normalize("NFC", character) != character for character in local):
        raise AddressError(_("The address contains a sign that only looks like a letter."))


def _refuse_encoded(text: str) -> None:
    """Python reads "=?utf-8?q?=61nn?=@" as "ann@", the mailbox of another person (MSG-06)."""
    if "=?" in text:
        raise AddressError(_("That does not look like an email address. Check it and try again."))


def _refuse_long(address: Address) -> None:
    if (
        len(address.local.encode()) > LONGEST_LOCAL_PART
        or len(address.domain) > LONGEST_DOMAIN
        or len(str(address).encode()) > LONGEST_ADDRESS
    ):
        raise AddressError(_too_long())


def _reason(text: str, error: EmailNotValidError) -> str:
    if not text:
        return _("Enter your email address.")
    if not settings.SMTPUTF8 and not text.rpartition("@")[0].isascii():
        return _("We cannot yet write to addresses with special letters before the @.")
    if len(text.encode()) > LONGEST_ADDRESS:
        return _too_long()
    if "@" not in text:
        return _("Enter an address with an @, like name@example.com.")
    return _("That does not look like an email address. Check it and try again.")


def _too_long() -> str:
    return _("The address is too long: mail servers refuse it.")


def _keyed_hash(key: str, purpose: str, text: str) -> str:
    """128 bits of HMAC-SHA256, in hexadecimal; the key keeps a leaked table from being guessed."""
    return hmac.new(key.encode(), f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()[:32]
