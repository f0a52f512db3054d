"""The places in compiled content that are filled for each reader, and how they are marked.

A marker stands between two noncharacters of Unicode (U+FDD0, U+FDD1), which are for a program's
own use and never text; `cleaned` takes them out of whatever an editor wrote, so no text can
forge one. Inside are letters and digits only: it survives escaping, wrapping and HTML parsers.
"""

import enum
import re
import unicodedata
from dataclasses import dataclass

from django.utils.translation import gettext as _

from subscribers.validators import plain_line

_OPENING, _CLOSING = "\ufdd0", "\ufdd1"
_MARKER = re.compile(f"({_OPENING}[a-z]+:[0-9a-f]*:[a-z]*{_CLOSING})")
# The tags an editor may write; anything else in braces is text.
_TAG = re.compile(r"\{\{\s*name\s*(?:\|([^{}|]*))?\}\}")
_NONCHARACTERS = dict.fromkeys(range(0xFDD0, 0xFDF0))
# Tabs and line breaks are the only controls of text.
_NOT_TEXT = _NONCHARACTERS | dict.fromkeys(
    [*set(range(0x20)) - {0x09, 0x0A}, *range(0x7F, 0xA0), *range(0xD800, 0xE000)]
)


class Slot(enum.StrEnum):
    NAME = "name"
    ADDRESS = "address"
    MASKED = "masked"
    UNSUBSCRIBE = "unsubscribe"
    DATE = "date"
    MESSAGE_ID = "message"


class Place(enum.StrEnum):
    """Where in a message a value stands, and so how it is encoded."""

    VERBATIM = ""
    HEADER = "header"
    TEXT = "text"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Marker:
    """A slot as it stands in content: what to fill in, what if there is nothing, and where."""

    slot: Slot
    fallback: str = ""
    place: Place = Place.VERBATIM

    def __str__(self) -> str:
        return f"{_OPENING}{self.slot}:{self.fallback.encode().hex()}:{self.place}{_CLOSING}"

    def at(self, place: Place) -> "Marker":
        return Marker(self.slot, self.fallback, place)


def line(text: str) -> str:
    """One line of an editor's, safe in a header and without anything like a marker."""
    return plain_line(text.translate(_NONCHARACTERS))


def cleaned(text: str) -> str:
    """A longer text without what no mail may hold (MSG-04), in NFC; nothing in it is a marker."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", lines.translate(_NOT_TEXT))


def opened(text: str) -> str:
    """The text with the editor's merge tags made slots."""
    return _TAG.sub(lambda tag: str(Marker(Slot.NAME, _fallback(tag))), text)


def without_tags(text: str) -> str:
    """The text with the editor's merge tags read as their fallbacks."""
    return _TAG.sub(_fallback, text)


def split(content: str) -> list[str | Marker]:
    """The content as its literal pieces and the markers between them."""
    return [_read(piece) or piece for piece in _MARKER.split(content) if piece]


def stand_in(content: str) -> str:
    """The content as a reader without a name gets it: for measuring, wrapping and previews."""
    return "".join(piece if isinstance(piece, str) else piece.fallback for piece in split(content))


def _fallback(tag: re.Match[str]) -> str:
    return (tag[1] or "").strip() or _("reader")


def _read(piece: str) -> Marker | None:
    if not _MARKER.fullmatch(piece):
        return None
    slot, fallback, place = piece[1:-1].split(":")
    return Marker(Slot(slot), bytes.fromhex(fallback).decode(), Place(place))
