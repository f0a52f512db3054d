"""A message on its way to a server."""

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

    def fill(self) -> None:
        """Raises AddressError where no header can hold the address."""
        mailing, reader = self._message.mailing, self.reader
        self.sender = mailing.envelope_sender(reader)
        self.body = mailing.smtp_message(reader, timezone.now())
