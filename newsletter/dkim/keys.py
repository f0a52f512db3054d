"""Private keys, read from the files that DKIM_KEYS names."""

from base64 import b64encode
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings

# RFC 8301 section 3.2: receivers need not look at any that is shorter, or longer.
SHORTEST, LONGEST = 1024, 4096
# What it asks of signers.
SHORT = 2048

_PKCS1 = PKCS1v15()
_SHA256 = Prehashed(hashes.SHA256())


class KeyFileError(ValueError):
    """The file holds no key that we can sign with; the message says why, and what to do."""


class Key(NamedTuple):
    """Signs for a domain and all below it; the public half is in the DNS under the selector."""

    domain: str
    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    @property
    def bits(self) -> int:
        return self.private.key_size if isinstance(self.private, RSAPrivateKey) else 256

    @property
    def record(self) -> str:
        """What the DNS must say at `host`."""
        return f"v=DKIM1; k={self.algorithm.partition('-')[0]}; p={self.public}"

    @property
    def host(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def public(self) -> str:
        """For p=: RSA's as it comes in certificates, Ed25519's 32 bytes alone (RFC 8463)."""
        public = self.private.public_key()
        if isinstance(self.private, RSAPrivateKey):
            written = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            written = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return b64encode(written).decode()

    def sign(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 digest. Ed25519 signs the digest itself (RFC 8463, 3)."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(digest, _PKCS1, _SHA256)
        return self.private.sign(digest)


def keys_of(domain: str) -> tuple[Key, ...]:
    """All that sign mail from this domain: its own, else those of the nearest domain above it.

    Receivers call both aligned, unless DMARC says adkim=s. Raises KeyFileError.
    """
    keys = _loaded(tuple(settings.DKIM_KEYS))
    labels = domain.lower().split(".")
    for start in range(len(labels)):
        above = ".".join(labels[start:])
        if found := tuple(key for key in keys if key.domain == above):
            return found
    return ()


@lru_cache(maxsize=4)
def _loaded(named: tuple[tuple[str, str, Path], ...]) -> tuple[Key, ...]:
    return tuple(load(domain, selector, path) for domain, selector, path in named)


def load(domain: str, selector: str, path: Path) -> Key:
    """Raises KeyFileError with words for the operator."""
    try:
        private = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}.") from error
    except TypeError as error:
        raise KeyFileError(f"{path} is locked with a passphrase: write it without one.") from error
    except ValueError as error:
        raise KeyFileError(f"{path} holds no private key in PEM.") from error
    if isinstance(private, RSAPrivateKey):
        _refuse_length(path, private.key_size)
    elif not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is neither an RSA nor an Ed25519 key; DKIM knows no others.")
    return Key(domain, selector, private)


def _refuse_length(path: Path, bits: int) -> None:
    if not SHORTEST <= bits <= LONGEST:
        raise KeyFileError(
            f"{path} is an RSA key of {bits} bits; receivers look at {SHORTEST} to {LONGEST}."
        )
