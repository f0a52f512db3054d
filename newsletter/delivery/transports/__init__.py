"""How mail leaves: a transport takes readers and gives outcomes."""

from types import TracebackType
from typing import Self

from anymail.backends.base import AnymailBaseBackend
from django.core.mail import mailers
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from newsletter.delivery.outcomes import Outbox, Pigeonhole, Transport
from newsletter.delivery.transports.anymail import anymail_transport
from newsletter.delivery.transports.in_turn import InTurn
from newsletter.delivery.transports.mailbox import EmailBackend as MailboxBackend
from newsletter.delivery.transports.mailbox import MailboxTransport
from newsletter.delivery.transports.smtp import SmtpTransport
from newsletter.delivery.transports.stock import StockTransport


class Transports:
    """One transport for each mailer, opened when it is first needed, kept from batch to batch.

    The outcomes of all of them come into its one outbox.
    """

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._kept: dict[str, Transport] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for transport in self._kept.values():
            transport.close()

    def __getitem__(self, mailer: str) -> Transport:
        if mailer not in self._kept:
            self._kept[mailer] = _transport(mailer, Pigeonhole(self.outbox, mailer))
        return self._kept[mailer]


def _transport(mailer: str, outbox: Outbox) -> Transport:
    backend = mailers[mailer]
    match backend:
        case SmtpBackend():
            return SmtpTransport(backend, outbox)
        case MailboxBackend():
            return InTurn(MailboxTransport(backend), outbox)
        case AnymailBaseBackend():
            return anymail_transport(backend, lambda: mailers[mailer], outbox)
        case _:
            return InTurn(StockTransport(backend), outbox)
