"""A mailbox on an IMAP server (RFC 3501): unseen mail is looked at, what was taken in is seen."""

import imaplib
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from itertools import batched
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from newsletter.receivers.mail.parts import LARGEST

# Fetched by one command: they are in memory together, and a round trip takes its time.
_TOGETHER = 10
_SEARCHED = 50_000
_UID = re.compile(rb"\bUID (\d+)", re.IGNORECASE)
_NOT_ASCII = re.compile(r"[^\x20-\x7e]+")
_SECONDS = 60
_PORT, _TLS_PORT = 143, 993


class ImapError(RuntimeError):
    """The mailbox cannot be used; the message says why."""


class ImapMailbox:
    """Spoken to over TLS only, with a certificate that is checked."""

    def __init__(self, url: str, password: str) -> None:
        """`imaps://user@host:993/Mailbox`; with `imap://`, TLS begins by STARTTLS.

        Raises ImapError.
        """
        try:
            self._connection = _connected(url)
            self._open(url, password)
        except (imaplib.IMAP4.error, OSError, ValueError) as error:
            raise ImapError(f"{_without_password(url)} cannot be read: {_words(error)}") from error

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """What nobody has seen yet: its number for as long as it is there, and its beginning."""
        for some in batched(self._unseen(), _TOGETHER):
            # PEEK: what we do not take in stays unseen.
            fetched = self._ask("FETCH", ",".join(some), f"(UID BODY.PEEK[]<0.{LARGEST}>)")
            yield from _messages(fetched)

    def mark_read(self, numbers: list[str]) -> None:
        if numbers:
            self._ask("STORE", ",".join(numbers), "+FLAGS.SILENT", r"(\Seen)")

    def close(self) -> None:
        for end in [self._connection.logout, self._connection.shutdown]:
            # Whoever hung up on us is not to be told goodbye.
            with suppress(imaplib.IMAP4.error, OSError):
                end()

    def _open(self, url: str, password: str) -> None:
        try:
            self._sign_in(urlsplit(url), password)
        except BaseException:
            self.close()
            raise

    def _sign_in(self, parts: SplitResult, password: str) -> None:
        if parts.scheme == "imap":
            self._connection.starttls(ssl.create_default_context())
        self._connection.login(unquote(parts.username or ""), password)
        name = unquote(parts.path.removeprefix("/")) or "INBOX"
        status, answer = self._connection.select(_written(name))
        if status != "OK":
            raise ValueError(_words(answer[0]))
        self._count = int(answer[0] or 0)

    def _unseen(self) -> Iterator[str]:
        """Asked for in pieces: Python takes no answer of a million bytes."""
        for first in range(1, self._count + 1, _SEARCHED):
            last = first + _SEARCHED - 1
            span = f"{first}:{last if last < self._count else '*'}"
            found = self._ask("SEARCH", f"({span} UNSEEN UNDELETED)")
            yield from b" ".join(line for line in found if line).decode().split()

    def _ask(self, command: str, *words: str) -> list[Any]:
        try:
            status, answer = self._connection.uid(command, *words)
        except (imaplib.IMAP4.error, OSError) as error:
            raise ImapError(f"{command} failed: {_words(error)}") from error
        if status != "OK":
            raise ImapError(f"{command} was refused: {answer!r}")
        return answer


def _connected(url: str) -> imaplib.IMAP4:
    parts = urlsplit(url)
    host = parts.hostname or ""
    match parts.scheme:
        case "imaps":
            context = ssl.create_default_context()
            port = parts.port or _TLS_PORT
            return imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=_SECONDS)
        case "imap":
            return imaplib.IMAP4(host, parts.port or _PORT, timeout=_SECONDS)
    raise ValueError("it should be like imaps://user@mail.example.org/INBOX.")


def _messages(fetched: list[Any]) -> Iterator[tuple[str, bytes]]:
    """A literal comes as a pair: what stands before it, and itself."""
    for place, item in enumerate(fetched):
        if not isinstance(item, tuple):
            continue
        # Servers may name the number before the literal or behind it.
        behind = fetched[place + 1] if place + 1 < len(fetched) else b""
        around = item[0] + (behind if isinstance(behind, bytes) else b"")
        if number := _UID.search(around):
            yield number[1].decode(), item[1]


def _written(name: str) -> str:
    """A mailbox's name in its own UTF-7 (RFC 3501, 5.1.3), quoted."""
    in_ascii = _NOT_ASCII.sub(lambda run: f"&{_base64(run[0])}-", name.replace("&", "&-"))
    escaped = in_ascii.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _base64(text: str) -> str:
    return b64encode(text.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")


def _without_password(url: str) -> str:
    return re.sub(r":[^:@/]*@", "@", url)


def _words(error: object) -> str:
    told = error.args[0] if isinstance(error, imaplib.IMAP4.error) and error.args else error
    return told.decode(errors="replace") if isinstance(told, bytes) else str(told)
