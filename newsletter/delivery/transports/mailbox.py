"""A mailbox on this machine, for a laptop: mail that leaves lands in a folder one can open."""

import mailbox
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from newsletter.delivery.outcomes import Message, Outcome, UnreachableError, sent, unwritable


class EmailBackend(BaseEmailBackend):
    """A mailer of Django's that keeps letters in a Maildir."""

    def __init__(self, folder: str | Path, **options: Any) -> None:
        super().__init__(**options)
        self.folder = Path(folder)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        maildir = opened(self.folder)
        for message in email_messages:
            maildir.add(message.message().as_bytes())
        return len(email_messages)


class MailboxTransport:
    """The same folder, for compiled bytes."""

    in_hand = 20

    def __init__(self, backend: EmailBackend) -> None:
        self._folder = backend.folder

    def hand_over(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        try:
            maildir = opened(self._folder)
            for message in messages:
                yield _kept(maildir, message)
        except OSError as error:
            raise UnreachableError(str(error)) from error

    def close(self) -> None:
        """Nothing is kept open."""


def _kept(maildir: mailbox.Maildir, message: Message) -> Outcome:
    try:
        raw = message.mailing.message(message.reader, timezone.now())
    except Exception as error:  # One bad row must not stop those behind it.
        return unwritable(message.reader, error)
    return sent(message.reader, provider_id=maildir.add(raw))


def opened(folder: Path) -> mailbox.Maildir:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return mailbox.Maildir(folder, create=True)
