"""Signed links: sealed numbers in letters and digits, one key for each purpose.

AES-SIV (RFC 5297) hides the numbers and authenticates them with 128 bits; letters and digits
survive whatever mail programs do to links (no `-`, `_`, `=` or trailing punctuation).
"""

import binascii
import enum
import hashlib
from collections.abc import Callable
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings

# What link detection in mail programs leaves hanging on an address.
_TRAILING = ".,;:>)]}'\""
_LONGEST_TOKEN = 120


class Purpose(enum.StrEnum):
    """What a link may do. A token of one purpose is noise to every other."""

    CONFIRM = "confirm"  # subscription, seconds since the epoch, letter
    AGREE = "agree"  # subscriber: to newer terms
    BLOCK = "block"  # subscriber, seconds since the epoch: "this wasn't me"
    UNSUBSCRIBE = "unsubscribe"  # subscriber, mailing list, campaign (0: none)
    UNDO = "undo"  # subscription that was ended, seconds since the epoch
    BOUNCE = "bounce"  # subscriber, campaign; or a letter alone
    MESSAGE = "message"  # subscriber, campaign: a Message-ID, allows nothing
    FORM = "form"  # a random number, seconds since the epoch: a sign-up form that was shown
    LIFT = "lift"  # subscriber, seconds since the epoch: takes back "this wasn't me"
    LETTER = "letter"  # a letter's Message-ID: tells us which it was, and opens nothing


class BadTokenError(ValueError):
    """Not a token of ours for this purpose: damaged, made up, or of another purpose."""


def sign(purpose: Purpose, *numbers: int) -> str:
    """A token that stands for these numbers (non-negative) under the newest link key."""
    return signer(purpose)(*numbers)


def signer(purpose: Purpose) -> Callable[..., str]:
    """What signs for this purpose, under the link key that is the newest now: for many tokens."""
    encrypt = _cipher(settings.LINK_KEYS[0], purpose).encrypt

    def signed(*numbers: int) -> str:
        return _encoded(encrypt(b"".join([_packed(number) for number in numbers]), None))

    return signed


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
    return (size << 8 * size | number).to_bytes(1 + size, "big")


def _unpacked(plain: bytes) -> tuple[int, ...]:
    numbers = []
    while plain:
        size = plain[0]
        numbers.append(int.from_bytes(plain[1 : 1 + size], "big"))
        plain = plain[1 + size :]
    return tuple(numbers)


def _encoded(sealed: bytes) -> str:
    """Base64 without its signs: Z begins what stands for one of them, or for itself.

    Every message carries three tokens, and base62 costs fifteen times as much.
    """
    written = binascii.b2a_base64(sealed, newline=False).decode().rstrip("=")
    return written.replace("Z", "Za").replace("+", "Zb").replace("/", "Zc")


def _decoded(token: str) -> bytes:
    if len(token) > _LONGEST_TOKEN:
        raise BadTokenError("longer than any that we write")
    written = token.replace("Zc", "/").replace("Zb", "+").replace("Za", "Z")
    try:
        sealed = binascii.a2b_base64(written + "=" * (-len(written) % 4), strict_mode=True)
    except ValueError as error:
        raise BadTokenError("not made of letters and digits") from error
    # One spelling for each token.
    if _encoded(sealed) != token:
        raise BadTokenError("not in the form that we write")
    return sealed
