"""DKIM-Signature fields: what they cover, and how they are written.

Header fields are canonicalised "relaxed", as relays fold them anew; the body "simple", as it is:
no relay has a reason to touch 7-bit lines of 76 characters that end with no white space.
"""

import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from email.utils import parseaddr
from typing import NamedTuple

from newsletter.dkim.keys import Key, keys_of

# These may stand once in a message, or not at all. They are listed once more than they stand: a
# second one, put on top by somebody else, breaks the signature (RFC 6376 sections 5.4.2, 8.15).
_ONCE = [
    *["From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID"],
    *["MIME-Version", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post"],
]
# Others, and every List-*, are covered as they stand.
_SIGNED = {name.lower() for name in [*_ONCE, "Sender", "Feedback-ID", "Content-Transfer-Encoding"]}
_WHITE = re.compile(r"[ \t]+")
_END = "\r\n\r\n"
_LINE = 72


class Cover(NamedTuple):
    """What a signature covers of a header: the names for h=, and the fields, canonicalised."""

    names: list[str]
    fields: str


def covered(head: str) -> Cover:
    """Of a header with its last line end, or without."""
    # Receivers look for a name from the bottom up, once for each time it is listed.
    fields = [pair for pair in reversed(list(_fields(head))) if _is_signed(pair[0])]
    return Cover(
        [*(name for name, _value in fields), *_ONCE],
        "".join([_relaxed(name, value) for name, value in fields]),
    )


class Signer:
    """Signs messages whose header fields are the same by name and whose body begins alike.

    What is the same for all is hashed once.
    """

    def __init__(self, keys: Sequence[Key], names: list[str], beginning: bytes = b"") -> None:
        self.takes_long = any(key.algorithm == "rsa-sha256" for key in keys)
        self._forms = [_Form(key, names) for key in keys]
        self._hash = hashlib.sha256(beginning)
        self._length = len(beginning)

    def sign(self, fields: bytes, message: bytes, at: int) -> bytes:
        """The DKIM-Signature fields for the top of the message.

        `fields` are those covered, canonicalised; `message` ends with one line end, and `at` is
        the second since the epoch.
        """
        digest = self._hash.copy()
        digest.update(memoryview(message)[message.index(b"\r\n\r\n") + 4 + self._length :])
        body_hash = b64encode(digest.digest()).decode()
        return b"".join([form.filled(fields, body_hash, at) for form in self._forms])


def signed(message: bytes) -> bytes:
    """Any message with CRLFs, signed with the keys of whom it is from; as it is, if none are."""
    head = message.partition(_END.encode())[0].decode()
    author = next((value for name, value in _fields(head) if name.lower() == "from"), "")
    keys = keys_of(parseaddr(author)[1].rpartition("@")[2])
    if not keys:
        return message
    start, end, body = message.partition(_END.encode())
    message = start + end + body.rstrip(b"\r\n") + b"\r\n"
    names, fields = covered(head)
    return Signer(keys, names).sign(fields.encode(), message, int(time.time())) + message


class _Form:
    """One key's field, with the hash, the time and the signature left open."""

    def __init__(self, key: Key, names: list[str]) -> None:
        self._key = key
        tags = [
            f"v=1; a={key.algorithm}; c=relaxed/simple;",
            f"d={key.domain}; s={key.selector};",
            *_listed(names),
            "t={at}; bh={body_hash};",
            "b=",
        ]
        self._written = "DKIM-Signature: " + "\r\n ".join(tags)
        self._canonical = f"dkim-signature:{' '.join(tags)}"

    def filled(self, fields: bytes, body_hash: str, at: int) -> bytes:
        covered = self._canonical.format(at=at, body_hash=body_hash)
        digest = hashlib.sha256(fields + covered.encode()).digest()
        signature = b64encode(self._key.sign(digest)).decode()
        lines = [signature[start : start + _LINE] for start in range(0, len(signature), _LINE)]
        written = self._written.format(at=at, body_hash=body_hash)
        return f"{written}{'\r\n '.join(lines)}\r\n".encode()


def _fields(head: str) -> Iterator[tuple[str, str]]:
    unfolded = re.sub(r"\r\n(?=[ \t])", "", head)
    for line in unfolded.split("\r\n"):
        name, _colon, value = line.partition(":")
        yield name.strip(" \t"), value


def _is_signed(name: str) -> bool:
    return name.lower() in _SIGNED or name.lower().startswith("list-")


def _relaxed(name: str, value: str) -> str:
    """RFC 6376 section 3.4.2; white space within a slot's value is whoever's who fills it."""
    written = _WHITE.sub(" ", value).strip(" ")
    return f"{name.lower()}:{written}\r\n"


def _listed(names: list[str]) -> list[str]:
    """The tag h= on lines of its own; white space may stand beside its colons."""
    lines = ["h="]
    for place, name in enumerate(names):
        written = f"{name}{':' if place + 1 < len(names) else ';'}"
        if len(lines[-1]) + len(written) > _LINE:
            lines.append("")
        lines[-1] += written
    return lines
