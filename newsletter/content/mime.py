"""A message in bytes: headers, text, HTML, each slot marked with the place it stands in."""

import binascii
import secrets

from newsletter.content import slots
from newsletter.content.slots import Place

SOFT_BREAK = b"=\r\n"
# RFC 2045 section 6.7: 76 octets, of which the last may be the sign of a soft break.
LONGEST_LINE = 75


def message(fields: list[str], text: str, html: str) -> bytes:
    """multipart/alternative, the text first (MIM-02), quoted-printable throughout."""
    # Quoted-printable never writes "=_", so no text can hold the boundary.
    boundary = f"=_{secrets.token_hex(12)}"
    head = [
        *fields,
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"',
    ]
    return b"".join(
        [
            "\r\n".join(head).encode(),
            b"\r\n\r\n",
            _part(boundary, "plain", _body(text, Place.TEXT)),
            _part(boundary, "html", _body(html, Place.HTML)),
            f"--{boundary}--\r\n".encode(),
        ]
    )


def quoted_printable(text: str) -> bytes:
    """One stretch of it; a soft break may follow without making its last line too long."""
    # It breaks lines as the first line of the text ends: one way in, one way out.
    written = binascii.b2a_qp(text.encode(), istext=True).replace(b"\n", b"\r\n")
    start = written.rfind(b"\n") + 1
    if len(written) - start <= LONGEST_LINE:
        return written
    cut = len(written) - (3 if written[-3:-2] == b"=" else 1)
    return written[:cut] + SOFT_BREAK + written[cut:]


def without_leading_dots(text: str) -> bytes:
    """A stretch none of whose lines has to be stuffed for SMTP (MSG-02)."""
    written = quoted_printable(text)
    if not (b"\n." in written or written.startswith(b".")):
        return written
    # What no mail may hold stands for the dots while the lines are broken.
    return quoted_printable(text.replace(".", "\0")).replace(b"=00", b"=2E")


def _part(boundary: str, subtype: str, body: bytes) -> bytes:
    head = (
        f"--{boundary}\r\n"
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + body + b"\r\n"


def _body(content: str, place: Place) -> bytes:
    """Soft breaks around each slot: whatever is filled in, the lines beside it stay short."""
    return SOFT_BREAK.join(
        quoted_printable(piece) if isinstance(piece, str) else str(piece.at(place)).encode()
        for piece in slots.split(content)
    )
