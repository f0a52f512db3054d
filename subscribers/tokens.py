"""Signed links: sealed numbers in letters and digits, one key for each purpose.

AES-SIV (RFC 5297) hides the numbers and authenticates them with 128 bits; base62 survives
whatever mail programs do to links (no `-`, `_`, `=` or trailing punctuation).
"""

import enum
import hashlib
import string
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
# What link detection in mail programs leaves hanging on an address.
_TRAILING = ".,;:>)]}'\""
_LONGEST_TOKEN = 120


class Purpose(enum.StrEnum):
    """What a link may do. A token of one purpose is noise to every other."""

    CONFIRM = "confirm"  # subscription, seconds since the epoch
    BLOCK = "block"  # subscriber, seconds since the epoch: "this wasn't me"
    UNSUBSCRIBE = "unsubscribe"  # subscriber, mailing list, campaign (0: none)
    UNDO = "undo"  # subscription that was ended, seconds since the epoch
    BOUNCE = "bounce"  # subscriber, campaign
    MESSAGE = "message"  # subscriber, campaign: a Message-ID, allows nothing
    LETTER = "letter"  # a letter's Message-ID: tells us which it was, and opens nothing


class BadTokenError(ValueError):
    """Not a token of ours for this purpose: damaged, made up, or of another purpose."""


def sign(purpose: Purpose, *numbers: int) -> str:
    """A token that stands for these numbers (non-negative) under the newest link key."""
    plain = b"".join(_packed(number) for number in numbers)
    return _encoded(_cipher(settings.LINK_KEYS[0], purpose).encrypt(plain, None))


def read(purpose: Purpose, token: str) -> tuple[int, ...]:
    """The numbers that were signed, under any of the link keys. Raises BadTokenError."""
    sealed = _decoded(token.rstrip(_TRAILING))
    for key in settings.LINK_KEYS:
        try:
            return _unpacked(_cipher(key, purpose).decrypt(sealed, None))
        except (InvalidTag, ValueError):
            continue
    raise BadTokenError(f"not a {purpose} token")


@cache
def _cipher(key: str, purpose: Purpose) -> AESSIV:
    return AESSIV(hashlib.sha256(f"broadsheet:{purpose}:{key}".encode()).digest())


def _packed(number: int) -> bytes:
    """Length, then the number: as short as the number allows."""
    size = (number.bit_length() + 7) // 8
    return bytes([size]) + number.to_bytes(size, "big")


def _unpacked(plain: bytes) -> tuple[int, ...]:
    numbers = []
    while plain:
        size = plain[0]
        numbers.append(int.from_bytes(plain[1 : 1 + size], "big"))
        plain = plain[1 + size :]
    return tuple(numbers)


def _encoded(sealed: bytes) -> str:
    # The leading 1 keeps leading zero bytes.
    number = int.from_bytes(b"\x01" + sealed, "big")
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _decoded(token: str) -> bytes:
    if not token or len(token) > _LONGEST_TOKEN or not set(token) <= _VALUES.keys():
        raise BadTokenError("not made of letters and digits")
    number = 0
    for digit in token:
        number = number * 62 + _VALUES[digit]
    marked = number.to_bytes((number.bit_length() + 7) // 8, "big")
    # One spelling for each token: nothing before the mark, and no other mark.
    if token.startswith("0") or not marked.startswith(b"\x01"):
        raise BadTokenError("not in the form that we write")
    return marked[1:]
