"""SMTP servers that keep what they get and answer what a test tells them to."""

import asyncio
import contextlib
import logging
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Answers that are none: the connection is cut, or nothing ever comes back.
HANG_UP = "HANG UP"
SILENCE = "SILENCE"
# It has the message, and cuts the connection.
TAKEN = "TAKEN"

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

    async def listen(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self._protocol, self.host, 0)


class Said(NamedTuple):
    """What a RawServer heard: on which connection, in which step, how often this step came."""

    connection: int
    step: str
    argument: str
    recipient: str
    times: int


@dataclass
class RawServer:
    """No library between: any answer at any step, cut anywhere.

    Steps: GREETING, EHLO, HELO, STARTTLS, AUTH, RESPONSE, MAIL, RCPT, DATA, DOT, RSET, QUIT.
    `answer` is asked at each; None is the usual answer. Whatever begins with 421 ends the
    connection. `said` is all that was heard, `early` how many bytes at most came before an answer
    was out.
    """

    extensions: tuple[str, ...] = ("PIPELINING",)
    answer: Callable[[Said], str | None] = lambda said: None
    # Written so many bytes at a time.
    piece: int = 0
    tls: ssl.SSLContext | None = None
    tls_at_once: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    early: int = 0
    connections: int = 0
    open: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _talks: set[asyncio.Task[None]] = field(default_factory=set)
    _times: Counter[str] = field(default_factory=Counter)

    async def listen(self) -> asyncio.Server:
        tls = self.tls if self.tls_at_once else None
        return await asyncio.start_server(self._connected, self.host, 0, ssl=tls)

    def steps(self, step: str) -> list[Said]:
        return [said for said in self.said if said.step == step]

    def recipients(self) -> list[str]:
        return [to for mail in self.received for to in mail.recipients]

    def hang_up(self) -> None:
        """On everybody."""
        for writer in self.writers:
            writer.transport.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.writers.append(writer)
        talk = _RawTalk(self, self.connections, reader, writer)
        self._talks.add(asyncio.create_task(self._talk(talk, writer)))

    async def _talk(self, talk: "_RawTalk", writer: asyncio.StreamWriter) -> None:
        try:
            await talk.go_on()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()


class _OverError(ConnectionError):
    """This connection is."""


class _RawTalk:
    def __init__(
        self,
        server: RawServer,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server, self._number = server, number
        self._reader, self._writer = reader, writer
        self._sender: str | None = None
        self._recipients: list[str] = []

    async def go_on(self) -> None:
        await self._answer("GREETING", "", "220 raw.example ESMTP")
        while line := (await self._reader.readline()).decode().rstrip("\r\n"):
            step, _space, argument = line.partition(" ")
            await getattr(self, f"_{step.lower()}")(argument)

    async def _ehlo(self, argument: str) -> None:
        words = ["raw.example", *self._server.extensions, "HELP"]
        lines = [f"250-{word}" for word in words[:-1]]
        await self._answer("EHLO", argument, "\r\n".join([*lines, f"250 {words[-1]}"]))

    async def _helo(self, argument: str) -> None:
        await self._answer("HELO", argument, "250 raw.example")

    async def _starttls(self, argument: str) -> None:
        answer = await self._answer("STARTTLS", argument, "220 2.0.0 Go on")
        if answer.startswith("220"):
            await self._writer.start_tls(self._server.tls)

    async def _auth(self, argument: str) -> None:
        answer = await self._answer("AUTH", argument, "235 2.7.0 Welcome")
        while answer.startswith("334"):
            line = (await self._reader.readline()).decode().rstrip("\r\n")
            answer = await self._answer("RESPONSE", line, "235 2.7.0 Welcome")

    async def _mail(self, argument: str) -> None:
        usual = "250 2.1.0 OK" if self._sender is None else "503 5.5.1 Nested MAIL"
        if (await self._answer("MAIL", argument, usual)).startswith("2"):
            self._sender, self._recipients = argument.split("<")[1].split(">")[0], []

    async def _rcpt(self, argument: str) -> None:
        recipient = argument.split("<")[1].split(">")[0]
        usual = "503 5.5.1 No MAIL" if self._sender is None else "250 2.1.5 OK"
        if (await self._answer("RCPT", argument, usual)).startswith("2"):
            self._recipients.append(recipient)

    async def _data(self, argument: str) -> None:
        usual = "354 Go on" if self._recipients else "554 5.5.1 No valid recipients"
        if (await self._answer("DATA", argument, usual)).startswith("3"):
            await self._body()

    async def _body(self) -> None:
        lines = []
        while (line := await self._reader.readline()) != b".\r\n":
            if not line:
                raise _OverError
            lines.append(line)
        raw = b"".join(line.removeprefix(b".") for line in lines)
        got = Received(self._sender or "", self._recipients, raw)
        usual = "250 2.0.0 Queued" if self._recipients else "554 5.5.1 No valid recipients"
        await self._answer("DOT", "", usual, got)
        self._sender, self._recipients = None, []

    async def _rset(self, argument: str) -> None:
        await self._answer("RSET", argument, "250 2.0.0 OK")
        self._sender, self._recipients = None, []

    async def _quit(self, argument: str) -> None:
        await self._answer("QUIT", argument, "221 2.0.0 Bye")
        raise _OverError

    async def _answer(
        self, step: str, argument: str, usual: str, got: Received | None = None
    ) -> str:
        server = self._server
        server._times[step] += 1
        recipient = self._recipients[0] if self._recipients else ""
        said = Said(self._number, step, argument, recipient, server._times[step])
        server.said.append(said)
        server.early = max(server.early, len(self._reader._buffer))
        scripted = server.answer(said)
        answer = usual if scripted is None else scripted
        if answer == SILENCE:
            await asyncio.sleep(3600)
        if got and (answer == TAKEN or answer.startswith("2")):
            server.received.append(got)
        if answer in {HANG_UP, TAKEN}:
            raise _OverError
        await self._write(f"{answer}\r\n".encode())
        if answer.startswith("421"):
            # What was pipelined is read, or the reset would swallow our word.
            self._writer.write_eof()
            await self._reader.read()
            raise _OverError
        return answer

    async def _write(self, answer: bytes) -> None:
        step = self._server.piece or len(answer)
        for start in range(0, len(answer), step):
            self._writer.write(answer[start : start + step])
            await self._writer.drain()
            await asyncio.sleep(0)


@contextlib.contextmanager
def serving[Server: (SmtpServer, RawServer)](server: Server) -> Iterator[Server]:
    """The server, listening until the block is left."""
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(server.listen())
    server.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="smtp-server", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_close(listener, server), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _close(listener: asyncio.Server, server: SmtpServer | RawServer) -> None:
    listener.close()
    # Whoever was let in this moment begins some rounds later, and sockets close in the next.
    for _round in range(4):
        await asyncio.sleep(0)
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)
    if isinstance(server, RawServer):
        server.hang_up()
        await asyncio.sleep(0)


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
