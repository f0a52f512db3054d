"""A message on its way to a server."""

import contextlib
from collections.abc import Callable

from django.utils import timezone

from newsletter.content import Reader
from newsletter.delivery.outcomes import Message


class Letter:
    """Filled when its envelope is written, so that few bodies are held at a time."""

    __slots__ = ("_message", "body", "is_ours", "is_said_again", "reader", "sender")

    def __init__(self, message: Message, is_ours: Callable[[], bool]) -> None:
        self._message = message
        self.reader: Reader = message.reader
        self.is_ours = is_ours
        # Whether a connection was lost over it before.
        self.is_said_again = False
        self.sender = ""
        self.body = b""

    @property
    def takes_long(self) -> bool:
        return self._message.mailing.takes_long

    def fill_already(self) -> None:
        """In any thread, before it is in the line."""
        # What goes wrong here goes wrong again where the letter is filled, and is told there.
        with contextlib.suppress(Exception):
            self._write()

    def fill(self) -> None:
        """Raises AddressError where no header can hold the address."""
        if not (self.body and self.takes_long):
            self._write()

    def _write(self) -> None:
        mailing, reader = self._message.mailing, self.reader
        self.sender = mailing.envelope_sender(reader)
        self.body = mailing.smtp_message(reader, timezone.now())
