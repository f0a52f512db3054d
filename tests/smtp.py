"""An SMTP server that keeps what it gets and answers what a test tells it to."""

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Answers that are none: the connection is cut, or nothing ever comes back.
HANG_UP = "HANG UP"
SILENCE = "SILENCE"

_Answer = str | None

# It tells every command at INFO; a failing test would drown in them.
logging.getLogger("mail.log").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Received:
    """One message as it arrived: the envelope, and the bytes between DATA and the final dot."""

    mail_from: str
    recipients: list[str]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)


@dataclass
class _Scripted:
    command: str
    answer: str
    containing: str
    times: int | None


@dataclass
class SmtpServer:
    """Listens on a port of its own in a thread of its own.

    `received` holds the accepted messages, `commands` every command line in its order (the
    bodies are not in it).
    """

    tls: ssl.SSLContext | None = None
    credentials: tuple[str, str] | None = None
    extensions: tuple[str, ...] = ("PIPELINING",)
    largest: int = 50 * 1024 * 1024
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    _script: list[_Scripted] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What EMAIL_URL is set to in order to send here."""
        scheme = "smtp+tls" if self.tls else "smtp"
        sign_in = ":".join(quote(word, safe="") for word in self.credentials or ())
        host = "localhost" if self.tls else self.host
        return f"{scheme}://{sign_in}{'@' if sign_in else ''}{host}:{self.port}"

    def answer(
        self, command: str, answer: str, *, containing: str = "", times: int | None = None
    ) -> None:
        """Answer this to a command (EHLO, MAIL, RCPT, DATA: after the final dot, RSET, QUIT).

        Only to those whose argument (DATA: whose raw message) contains the text, and only so
        many times. What was told first is asked first.
        """
        self._script.append(_Scripted(command, answer, containing, times))

    def envelopes(self) -> list[tuple[str, str]]:
        """Sender and recipient of everything accepted."""
        return [(mail.mail_from, to) for mail in self.received for to in mail.recipients]

    async def handle_EHLO(  # noqa: N802  The names of aiosmtpd's hooks.
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if scripted := await self._scripted(server, "EHLO", hostname):
            return [scripted]
        return [responses[0], *(f"250-{word}" for word in self.extensions), *responses[1:]]

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if scripted := await self._scripted(server, "MAIL", address):
            return scripted
        envelope.mail_from, envelope.mail_options = address, [*envelope.mail_options, *options]
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if scripted := await self._scripted(server, "RCPT", address):
            return scripted
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        raw = envelope.original_content
        if scripted := await self._scripted(server, "DATA", raw.decode("latin-1")):
            return scripted
        self.received.append(Received(envelope.mail_from, list(envelope.rcpt_tos), raw))
        return f"250 2.0.0 queued as {len(self.received)}"

    async def handle_RSET(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        return await self._scripted(server, "RSET", "") or "250 2.0.0 OK"

    async def handle_QUIT(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        return await self._scripted(server, "QUIT", "") or "221 2.0.0 Bye"

    async def _scripted(self, server: SMTP, command: str, argument: str) -> _Answer:
        self.commands.append(command if command == "DATA" else f"{command} {argument}".strip())
        answer = self._take(command, argument)
        if answer == SILENCE:
            await asyncio.sleep(3600)
        if answer == HANG_UP:
            server.transport.abort()
            return "421 4.3.2 Gone"
        return answer

    def _take(self, command: str, argument: str) -> _Answer:
        for scripted in self._script:
            if scripted.command != command or scripted.containing not in argument:
                continue
            if scripted.times is None or scripted.times > 0:
                scripted.times = None if scripted.times is None else scripted.times - 1
                return scripted.answer
        return None

    def _authenticate(self, *arguments: Any) -> AuthResult:
        sign_in = arguments[-1]
        given = (sign_in.login.decode(), sign_in.password.decode())
        return AuthResult(success=given == self.credentials, handled=False)

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="sink.example",
            data_size_limit=self.largest,
            enable_SMTPUTF8=False,
            tls_context=self.tls,
            require_starttls=bool(self.tls),
            auth_required=bool(self.credentials),
            auth_require_tls=bool(self.tls),
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )


@contextlib.contextmanager
def serving(server: SmtpServer) -> Iterator[SmtpServer]:
    """The server, listening until the block is left."""
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(loop.create_server(server._protocol, server.host, 0))
    server.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="smtp-server", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_close(listener), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _close(listener: asyncio.Server) -> None:
    listener.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that nobody signed but itself, and the server's side of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(pem) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context
