"""What a line of text, and a zone, may be."""

import unicodedata
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Cc holds CR, LF and what str.splitlines() takes for them; Zl, Zp are U+2028, U+2029 (MSG-05).
_NOT_IN_A_LINE = {"Cc", "Zl", "Zp", "Cs"}
# Overrides and isolates can make a name read as another (MSG-14); joiners of scripts stay allowed.
_BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain_line(text: str) -> str:
    """The text as one line that is safe in a header: controls become spaces, overrides go."""
    # What is printable holds neither, and nearly everything is.
    spaced = text if text.isprintable() else _spaced(text)
    return " ".join(unicodedata.normalize("NFC", spaced).split())


def _spaced(text: str) -> str:
    kept = (character for character in text if character not in _BIDI_CONTROLS)
    return "".join(
        " " if unicodedata.category(character) in _NOT_IN_A_LINE else character
        for character in kept
    )


def plain_text(text: str) -> str:
    """A longer text without what no mail may hold (MSG-04), in NFC."""
    kept = (
        character
        for character in text
        if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
    )
    return unicodedata.normalize("NFC", "".join(kept))


def validate_plain_line(text: str) -> None:
    if any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        raise ValidationError(_("Line breaks and control characters cannot stand here."))
    if _BIDI_CONTROLS & set(text):
        raise ValidationError(_("Invisible characters that turn the direction cannot stand here."))


def validate_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(
            _("“%(name)s” is not a time zone. Choose one like Europe/Berlin."),
            params={"name": name},
        )


def validate_mailer(name: str) -> None:
    if name not in settings.MAILERS:
        raise ValidationError(
            _("There is no mailer “%(name)s”. There is: %(known)s."),
            params={"name": name, "known": ", ".join(settings.MAILERS)},
        )
