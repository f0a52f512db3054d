"""A raw message taken apart within bounds: whatever somebody sends, time and memory stay small.

Python's own parser calls itself once for every level, and a message nested a thousand deep ends it.
"""

import binascii
import quopri
import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import HeaderParser
from typing import NamedTuple

# No report is longer; what lies beyond is the message that came back, or no report.
LARGEST = 512 * 1024
_LONGEST_HEADER = 64 * 1024
_LONGEST_TEXT = 32 * 1024
_LONGEST_SUBJECT = 1024
_DEEPEST = 8
_MOST_PARTS = 40
# Decoded as they say; Python knows others that are no charsets, or take for ever.
_CHARSETS = re.compile(
    r"utf-?8|us-ascii|(iso-8859|windows-125|koi8)-?\w{1,2}|iso-2022-jp|shift_jis|euc-(jp|kr)"
    r"|gb(2312|k|18030)|big5"
)


class Part(NamedTuple):
    """A header and what follows it."""

    header: Message
    body: bytes

    @property
    def kind(self) -> str:
        """The type, like "text/plain"; lower case."""
        return self.header.get_content_type()

    def field(self, name: str) -> str:
        """One header field as a single line; blank if it is not there."""
        return " ".join(self.header.get(name, "").split())

    def fields(self, *names: str) -> list[str]:
        """All of these, in the order of the names."""
        return [value for name in names for value in self.header.get_all(name, [])]

    def subject(self) -> str:
        """Decoded (RFC 2047) where that can be done, else as it stands there."""
        written = self.field("Subject")[:_LONGEST_SUBJECT]
        try:
            return str(make_header(decode_header(written)))
        except (LookupError, ValueError, HeaderParseError):
            return written

    def text(self) -> str:
        """What is to be read of it, decoded; never fails, whatever it says of itself."""
        charset = (self.header.get_content_charset() or "utf-8").lower()
        if not _CHARSETS.fullmatch(charset):
            charset = "latin-1"
        try:
            return self.decoded().decode(charset, "replace")
        except LookupError:
            return self.decoded().decode("latin-1")

    def decoded(self) -> bytes:
        """Without its transfer encoding, and not more of it than a report needs."""
        coding = self.field("Content-Transfer-Encoding").lower()
        body = self.body[:_LONGEST_TEXT]
        if coding == "quoted-printable":
            return quopri.decodestring(body)
        if coding == "base64":
            return _without_base64(body)
        return body


def in_lines(raw: bytes) -> bytes:
    """With one kind of line ends, and none before the header."""
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    return raw.replace(b"\r\n", b"\n").lstrip(b"\n")


def parts(raw: bytes) -> list[Part]:
    """The message itself and then its parts in their order. Messages within it stay whole.

    As `part_of`, of what has LF as its line ends: see `in_lines`.
    """
    found: list[Part] = []
    waiting = [(part_of(raw), 0)]
    while waiting and len(found) < _MOST_PARTS:
        part, depth = waiting.pop()
        found.append(part)
        if part.kind.startswith("multipart/") and depth < _DEEPEST:
            waiting += [(part_of(piece), depth + 1) for piece in reversed(_pieces(part))]
    return found


def groups(text: str) -> list[Message]:
    """The groups of fields, with blank lines between them, that reports are made of."""
    blocks = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").strip())
    return [HeaderParser().parsestr(block.lstrip("\n")) for block in blocks]


def part_of(raw: bytes) -> Part:
    """Header and body of what has LF as its line ends."""
    # A part without a header begins with the blank line that would end it.
    head, _blank, body = (b"", b"", raw[1:]) if raw[:1] == b"\n" else raw.partition(b"\n\n")
    # No half of a character may stand in it: Python would make objects of such fields.
    written = head[:_LONGEST_HEADER].decode("utf-8", "replace")
    return Part(HeaderParser().parsestr(written), body)


def _pieces(part: Part) -> list[bytes]:
    boundary = part.header.get_boundary()
    delimiter = boundary.encode("utf-8", "replace") if boundary else _seen_in(part.body)
    if not delimiter:
        return []
    line = re.compile(rb"^--" + re.escape(delimiter) + rb"(--)?[ \t]*$\n?", re.MULTILINE)
    _preamble, *rest = line.split(part.body, _MOST_PARTS)
    # Split at a group, each piece comes after its mark; behind a closing one is nothing of ours.
    return [piece for end, piece in zip(rest[::2], rest[1::2], strict=True) if not end]


def _seen_in(body: bytes) -> bytes:
    """The delimiter that a multipart uses, if it does not say which."""
    found = re.search(rb"^--([^\s-]\S{0,69})[ \t]*$", body, re.MULTILINE)
    return found[1] if found else b""


def _without_base64(body: bytes) -> bytes:
    written = b"".join(body.split())
    try:
        return binascii.a2b_base64(written[: len(written) // 4 * 4])
    except binascii.Error:
        return body
