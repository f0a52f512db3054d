"""A relay: compiled bytes over one kept connection, one conversation for each reader."""

import smtplib
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from django.core.mail.backends.smtp import EmailBackend
from django.utils import timezone
from django.utils.translation import gettext as _

from newsletter.content import Reader
from newsletter.delivery import faults
from newsletter.delivery.faults import Fault
from newsletter.delivery.outcomes import (
    Message,
    Outcome,
    SendersFaultError,
    TransportError,
    UnreachableError,
    judged,
    sent,
    unwritable,
)
from subscribers.addresses import AddressError

# After so many seconds of silence a server may have hung up: it is asked before it is used.
_SILENCE = 20


class SmtpTransport:
    """Django's own connection (its TLS, its login), our own conversation over it."""

    in_hand = 4

    def __init__(self, backend: EmailBackend) -> None:
        self._backend = backend
        self._spoke_at = 0.0
        self._served = False

    def hand_over(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        for message in messages:
            self._open()
            try:
                yield self._hand_over(message)
            except AddressError as error:
                yield unwritable(message.reader, error)
            self._spoke_at = time.monotonic()

    def close(self) -> None:
        try:
            self._backend.close()
        except (smtplib.SMTPException, OSError):
            self._backend.connection = None

    def _open(self) -> None:
        """Have a connection that listens. Raises TransportError, so the message stays ours."""
        if self._backend.connection and time.monotonic() - self._spoke_at > _SILENCE:
            self._ask_whether_it_listens()
        if self._backend.connection:
            return
        self._served = False
        try:
            self._backend.open()
            self._smtp.ehlo_or_helo_if_needed()
        except OSError as error:
            self.close()
            raise _not_open(error) from error

    def _ask_whether_it_listens(self) -> None:
        try:
            listens = self._smtp.noop()[0] == 250
        except (smtplib.SMTPException, OSError):
            listens = False
        if not listens:
            self.close()

    @property
    def _smtp(self) -> smtplib.SMTP:
        """There is one: each message begins with `_open()`."""
        return cast(smtplib.SMTP, self._backend.connection)

    def _hand_over(self, message: Message) -> Outcome:
        """Where a connection that served others hangs up, it is no fault of this message: it is
        said once more, over a new one."""
        has_served = self._served
        try:
            return self._say(message)
        except _HungUpError as hung_up:
            self.close()
            if not has_served:
                return judged(hung_up.fault, message.reader, hung_up.code, hung_up.words)
        self._open()
        return self._hand_over(message)

    def _say(self, message: Message) -> Outcome:
        """The conversation about one message; each step goes on from the answer it expects."""
        reader = message.reader
        if not reader.address.isascii() and not self._smtp.has_extn("smtputf8"):
            words = _("The mail server takes no addresses with special letters (SMTPUTF8).")
            return judged(Fault.RECIPIENT, reader, "553 5.6.7", words)
        words = ""
        for step, expected, say in self._steps(message):
            try:
                code, words = _answer(say())
            except _TooLateError as error:
                self.close()
                return judged(Fault.UNKNOWN, reader, "", str(error))
            except (smtplib.SMTPException, OSError) as error:
                raise _HungUpError(Fault.PROVIDER, "", str(error)) from error
            if not code.startswith(expected):
                return self._refused(reader, step, code, words)
        self._served = True
        return sent(reader, provider_id=words)

    def _steps(self, message: Message) -> "list[_Step]":
        smtp, address = self._smtp, message.reader.address
        envelope = message.mailing.envelope_sender(message.reader)
        body = _stuffed(message.mailing.message(message.reader, timezone.now()))
        options = [f"SIZE={len(body)}"] if smtp.has_extn("size") else []
        options += [] if address.isascii() else ["SMTPUTF8"]
        return [
            ("mail", "250", lambda: smtp.mail(envelope, options)),
            ("rcpt", "25", lambda: smtp.rcpt(address)),
            ("data", "354", lambda: smtp.docmd("DATA")),
            ("data", "250", lambda: self._hand_in(body)),
        ]

    def _hand_in(self, body: bytes) -> tuple[int, bytes]:
        """Before its final dot is out a message cannot be delivered; after it, who knows."""
        self._smtp.send(body)
        try:
            return self._smtp.getreply()
        except (smtplib.SMTPException, OSError) as error:
            raise _TooLateError(str(error)) from error

    def _refused(self, reader: Reader, step: str, code: str, words: str) -> Outcome:
        fault = faults.of_smtp(step, code, words)
        if code.startswith("421"):
            raise _HungUpError(fault, code, words)
        self._start_over()
        return judged(fault, reader, code, words)

    def _start_over(self) -> None:
        """The next message must not meet what is left of this one."""
        try:
            self._smtp.rset()
        except (smtplib.SMTPException, OSError):
            self.close()


class _TooLateError(Exception):
    """The final dot was out when the connection broke."""


class _HungUpError(Exception):
    """The server went away before the message was its own."""

    def __init__(self, fault: Fault, code: str, words: str) -> None:
        super().__init__(words)
        self.fault, self.code, self.words = fault, code, words


type _Step = tuple[str, str, Callable[[], tuple[int, bytes]]]


def _stuffed(message: bytes) -> bytes:
    """With leading dots doubled (MSG-02), and the dot that ends it. Headers begin with no dot."""
    return message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def _answer(reply: tuple[int, bytes]) -> tuple[str, str]:
    """Code and text, the enhanced code with the code: ("550 5.1.1", "No such user")."""
    code, words = str(reply[0]), reply[1].decode("utf-8", "replace").replace("\n", " ")
    enhanced, _space, rest = words.partition(" ")
    if enhanced.count(".") == 2 and enhanced.replace(".", "").isdigit():
        return f"{code} {enhanced}", rest
    return code, words


def _not_open(error: OSError) -> TransportError:
    """Why no connection came about: smtplib's errors are all OSErrors, as are ssl's."""
    if isinstance(error, smtplib.SMTPResponseException):
        code, words = _answer((error.smtp_code, _bytes(error.smtp_error)))
        is_ours = faults.of_smtp("login", code, words) is Fault.SENDER
        return (SendersFaultError if is_ours else UnreachableError)(f"{code} {words}")
    if isinstance(error, (ssl.SSLError, smtplib.SMTPNotSupportedError)):
        return SendersFaultError(str(error))
    return UnreachableError(str(error))


def _bytes(words: bytes | str) -> bytes:
    return words if isinstance(words, bytes) else words.encode()
