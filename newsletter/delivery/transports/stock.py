"""Any other mailer of Django's (console, file, memory): one message for each reader."""

from collections.abc import Iterable, Iterator

from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from newsletter.delivery.outcomes import Message, Outcome, sent, unwritable


class StockTransport:
    in_hand = 4

    def __init__(self, backend: BaseEmailBackend) -> None:
        self._backend = backend

    def hand_over(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        for message in messages:
            yield self._hand_over(message)

    def close(self) -> None:
        self._backend.close()

    def _hand_over(self, message: Message) -> Outcome:
        try:
            mail = composed(message)
        except Exception as error:  # One bad row must not stop those behind it.
            return unwritable(message.reader, error)
        self._backend.send_messages([mail])
        return sent(message.reader)


def composed(message: Message) -> EmailMultiAlternatives:
    """A reader's message as Django's mailers, and Anymail's, take it."""
    parts = message.mailing.parts(message.reader, timezone.now())
    mail = EmailMultiAlternatives(
        parts.subject, parts.text, parts.sender, [message.reader.address], headers=parts.headers
    )
    mail.attach_alternative(parts.html, "text/html")
    return mail
