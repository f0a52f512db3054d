"""The mailbox of a laptop, read: mail that the mailbox transport kept instead of sending."""

import mailbox
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from functools import cached_property
from typing import Self, overload

from django.conf import settings

_BACKEND = "newsletter.delivery.transports.mailbox.EmailBackend"
# Names of the standard library's files begin with when they were written.
_WRITTEN = re.compile(r"(\d+)\.M(\d+)P\d+Q(\d+)")
_TO = re.compile(rb"^To:(.*(?:\r?\n[ \t].*)*)", re.I | re.M)
# No header block of ours is longer; a whole mail need not be read to see whom it is for.
_HEADERS = 16 * 1024
_LINKS = re.compile(r"<([^<>]+)>")


def is_here() -> bool:
    """Only a laptop that sends nothing shows its mail: it holds everybody's personal links."""
    return bool(settings.LAPTOP and settings.MAILERS["default"]["BACKEND"] == _BACKEND)


@dataclass(frozen=True)
class Mail:
    """One message as it would have left."""

    key: str
    message: EmailMessage

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(_written(self.key)[0], UTC)

    @property
    def sender(self) -> str:
        return self.header("From")

    @property
    def recipient(self) -> str:
        return self.header("To")

    @property
    def subject(self) -> str:
        return self.header("Subject")

    @property
    def list_id(self) -> str:
        return self.header("List-Id")

    @property
    def reply_to(self) -> str:
        return self.header("Reply-To")

    @property
    def message_id(self) -> str:
        return self.header("Message-ID")

    @property
    def unsubscribe_url(self) -> str:
        """Where List-Unsubscribe leads on the web; blank if it leads nowhere."""
        links = _LINKS.findall(self.header("List-Unsubscribe"))
        return next((link for link in links if link.startswith(("http://", "https://"))), "")

    @property
    def is_one_click(self) -> bool:
        """A mail program would show its own button and post to that address (RFC 8058)."""
        return self.header("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"

    @cached_property
    def html(self) -> str:
        return self._body("html")

    @cached_property
    def text(self) -> str:
        return self._body("plain")

    def header(self, name: str) -> str:
        return str(self.message.get(name, "")).strip()

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()) if part else ""


class Mailbox(Sequence[Mail]):
    """Messages, the newest first, each read only when it is shown: a slice is a page."""

    def __init__(self, folder: mailbox.Maildir | None, keys: list[str]) -> None:
        self._folder = folder
        self._keys = keys

    @classmethod
    def opened(cls) -> Self:
        """All there is; nothing if nothing was sent yet."""
        try:
            folder = mailbox.Maildir(settings.LOCAL_MAILBOX, create=False)
        except mailbox.NoSuchMailboxError:
            return cls(None, [])
        return cls(folder, sorted(folder.keys(), key=_written, reverse=True))

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, place: int) -> Mail: ...
    @overload
    def __getitem__(self, place: slice) -> list[Mail]: ...
    def __getitem__(self, place: int | slice) -> Mail | list[Mail]:
        """With their headers only."""
        if isinstance(place, int):
            return self._mail(self._keys[place], _headers)
        return [self._mail(key, _headers) for key in self._keys[place]]

    def to(self, words: str) -> "Mailbox":
        """Only what is for a recipient whose name or address holds these words."""
        wanted = words.casefold()
        keys = [key for key in self._keys if wanted in self._recipient(key).casefold()]
        return Mailbox(self._folder, keys)

    def mail(self, key: str) -> Mail | None:
        """The whole message; None if there is no such."""
        return self._mail(key, _whole) if key in self._keys else None

    def source(self, key: str) -> str:
        return self._bytes(key).decode("utf-8", "replace")

    def _mail(self, key: str, parse: Callable[[bytes], EmailMessage]) -> Mail:
        return Mail(key, parse(self._bytes(key)))

    def _bytes(self, key: str) -> bytes:
        return self._folder.get_bytes(key) if self._folder is not None else b""

    def _recipient(self, key: str) -> str:
        found = _TO.search(self._bytes(key)[:_HEADERS])
        written = found[1].decode("utf-8", "replace") if found else ""
        return str(make_header(decode_header(written))) if "=?" in written else written


def _headers(raw: bytes) -> EmailMessage:
    return BytesHeaderParser(policy=policy.default).parsebytes(raw)


def _whole(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def _written(key: str) -> tuple[int, int, int]:
    """When a message was kept; those of one moment in their order."""
    found = _WRITTEN.match(key)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)
