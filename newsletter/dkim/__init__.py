"""Signing what we send (RFC 6376, 8301, 8463): keys, and the fields they write."""

from newsletter.dkim.keys import SHORT, SHORTEST, Key, KeyFileError, keys_of, load
from newsletter.dkim.signatures import Cover, Signer, covered, signed

__all__ = [
    "SHORT",
    "SHORTEST",
    "Cover",
    "Key",
    "KeyFileError",
    "Signer",
    "covered",
    "keys_of",
    "load",
    "signed",
]
