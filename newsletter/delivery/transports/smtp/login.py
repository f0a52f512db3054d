"""From a host and a port to a connection that takes mail: greeting, TLS, sign-in."""

import asyncio
import base64
import hmac
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast

from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.utils import DNS_NAME

from newsletter import faults
from newsletter.delivery.outcomes import (
    BusyError,
    LockedOutError,
    TransportError,
    UnreachableError,
)
from newsletter.delivery.transports.smtp.replies import BrokenReplyError, Replies, Reply
from newsletter.faults import Fault

# Where a mailer names no timeout of its own.
_TIMEOUT = 60
# No way of signing in needs more; a server that asks on and on would hold us for ever.
_MOST_CHALLENGES = 5


class Server:
    """Where we send, as Django's mailer was told."""

    def __init__(self, backend: EmailBackend) -> None:
        self.host = str(backend.host)
        self.port = int(backend.port)
        self.timeout = float(backend.timeout or _TIMEOUT)
        self.has_starttls = backend.use_tls
        self.has_tls = backend.use_ssl
        self.sign_in = (backend.username or "", backend.password or "")
        self.our_name = DNS_NAME.get_fqdn()
        self._backend = backend

    @property
    def tls(self) -> ssl.SSLContext:
        """Django's own: certificates are verified, and ours is shown if one is configured."""
        return self._backend.ssl_context


class Offers(NamedTuple):
    """What a server says it can do. `largest` None: it takes no SIZE; 0: it names no limit."""

    pipelining: bool = False
    smtputf8: bool = False
    largest: int | None = None
    starttls: bool = False
    sign_ins: tuple[str, ...] = ()


async def connect(server: Server) -> tuple[asyncio.Transport, Offers]:
    """A connection that waits for mail; its protocol is to be set before anything else happens.

    Raises UnreachableError, or LockedOutError where we are the ones to change something.
    """
    dialogue = _Dialogue(server.timeout)
    try:
        offers = await _introduce(dialogue, server)
    except _RefusedError as error:
        raise _turned_away(error.reply) from error
    except (ssl.SSLError, _NotOfferedError) as error:
        raise LockedOutError(str(error)) from error
    except (OSError, BrokenReplyError) as error:
        raise UnreachableError(str(error) or "timed out") from error
    finally:
        dialogue.is_over = True
        if not dialogue.has_ended_well:
            dialogue.abort()
    return dialogue.transport, offers


async def _introduce(dialogue: "_Dialogue", server: Server) -> Offers:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(server.timeout):
        await loop.create_connection(
            lambda: dialogue,
            server.host,
            server.port,
            ssl=server.tls if server.has_tls else None,
            server_hostname=server.host if server.has_tls else None,
        )
    _expect(await dialogue.reply(), b"2")
    offers = await _greet(dialogue, server)
    if server.has_starttls:
        await _start_tls(dialogue, server, offers)
        offers = await _greet(dialogue, server)
    if all(server.sign_in):
        await _sign_in(dialogue, server, offers)
    dialogue.end()
    return offers


async def _greet(dialogue: "_Dialogue", server: Server) -> Offers:
    reply = await dialogue.say(f"EHLO {server.our_name}")
    if reply.kind == b"5":
        # It knows no extensions, and so not the word that asks for them.
        _expect(await dialogue.say(f"HELO {server.our_name}"), b"2")
        return Offers()
    return _offers(_expect(reply, b"2"))


def _offers(reply: Reply) -> Offers:
    said: dict[str, list[str]] = {}
    for line in reply.words[1:]:
        # Old servers write "AUTH=LOGIN".
        name, *values = line.upper().replace("=", " ").split() or [""]
        said.setdefault(name, []).extend(values)
    size = next(iter(said.get("SIZE", [])), "0")
    return Offers(
        pipelining="PIPELINING" in said,
        smtputf8="SMTPUTF8" in said,
        largest=int(size) if "SIZE" in said and size.isdecimal() else None,
        starttls="STARTTLS" in said,
        sign_ins=tuple(said.get("AUTH", [])),
    )


async def _start_tls(dialogue: "_Dialogue", server: Server, offers: Offers) -> None:
    if not offers.starttls:
        raise _NotOfferedError("STARTTLS extension not supported by server.")
    _expect(await dialogue.say("STARTTLS"), b"2")
    await dialogue.start_tls(server)


async def _sign_in(dialogue: "_Dialogue", server: Server, offers: Offers) -> None:
    """By the first way that both know and the server accepts."""
    if not offers.sign_ins:
        raise _NotOfferedError("SMTP AUTH extension not supported by server.")
    reply: Reply | None = None
    for name in [name for name in _SIGN_INS if name in offers.sign_ins]:
        reply = await _sign_in_by(dialogue, name, *server.sign_in)
        if reply.kind in {b"2", b"4"}:
            break
    if reply is None:
        raise _NotOfferedError("No suitable authentication method found.")
    _expect(reply, b"2")


async def _sign_in_by(dialogue: "_Dialogue", name: str, username: str, password: str) -> Reply:
    respond = _SIGN_INS[name](username.encode(), password.encode())
    # CRAM-MD5 has nothing to say before it is asked.
    first = f" {_coded(respond(b''))}" if name != "CRAM-MD5" else ""
    reply = await dialogue.say(f"AUTH {name}{first}")
    for _turn in range(_MOST_CHALLENGES):
        if reply.kind != b"3":
            return reply
        reply = await dialogue.say(_coded(respond(_challenge(reply))))
    if reply.kind == b"3":
        raise BrokenReplyError("The server's challenges have no end.")
    return reply


def _challenge(reply: Reply) -> bytes:
    try:
        return base64.b64decode(b"".join(reply.lines))
    except ValueError as error:
        raise BrokenReplyError(f"The server's challenge is not base64: {error}") from error


def _coded(response: bytes) -> str:
    return base64.b64encode(response).decode()


type _Respond = Callable[[bytes], bytes]


def _plain(username: bytes, password: bytes) -> _Respond:
    return lambda _challenge: b"\0%b\0%b" % (username, password)


def _login(username: bytes, password: bytes) -> _Respond:
    left = [password, username]
    return lambda _challenge: left.pop() if left else b""


def _cram_md5(username: bytes, password: bytes) -> _Respond:
    def respond(challenge: bytes) -> bytes:
        digest = hmac.new(password, challenge, "md5").hexdigest()
        return b"%b %b" % (username, digest.encode())

    return respond


# The best first.
_SIGN_INS = {"CRAM-MD5": _cram_md5, "PLAIN": _plain, "LOGIN": _login}


class _RefusedError(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


class _NotOfferedError(Exception):
    """What our settings insist on."""


def _expect(reply: Reply, kind: bytes) -> Reply:
    if reply.kind != kind:
        raise _RefusedError(reply)
    return reply


def _turned_away(reply: Reply) -> TransportError:
    code, words = reply.answer()
    if faults.of_smtp("login", code, words) is Fault.SENDER:
        return LockedOutError(f"{code} {words}")
    return BusyError(f"{code} {words}", faults.rest_in(words))


class _Dialogue(asyncio.Protocol):
    """A command, its reply, the next command; each waited for no longer than the timeout."""

    transport: asyncio.Transport

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._replies = Replies()
        self._heard: deque[Reply] = deque()
        self._trouble: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.is_over = False
        self.has_ended_well = False

    async def say(self, command: str) -> Reply:
        self.transport.write(f"{command}\r\n".encode())
        return await self.reply()

    async def reply(self) -> Reply:
        if not self._heard and not self._trouble:
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(self._timeout):
                await self._waiter
        if not self._heard:
            raise self._trouble or ConnectionError("Connection lost")
        return self._heard.popleft()

    async def start_tls(self, server: Server) -> None:
        # What was slipped in before TLS began must not be taken for the server's own words.
        if self._heard or self._replies.has_more:
            raise ssl.SSLError("The server went on in plain text after STARTTLS.")
        async with asyncio.timeout(self._timeout):
            secured = await asyncio.get_running_loop().start_tls(
                self.transport, self, server.tls, server_hostname=server.host
            )
        if secured is None:
            raise ConnectionError("Connection lost")
        self.transport = secured

    def end(self) -> None:
        """Raises what has happened meanwhile, so that who takes over finds a living line."""
        if self._trouble:
            raise self._trouble
        if self._heard or self._replies.has_more:
            raise BrokenReplyError("The server speaks without being asked.")
        self.has_ended_well = True

    def abort(self) -> None:
        if hasattr(self, "transport"):
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.is_over:
            self.transport.abort()

    def data_received(self, chunk: bytes) -> None:
        try:
            self._heard.extend(self._replies.read(chunk))
        except BrokenReplyError as error:
            self._trouble = error
        if self._heard or self._trouble:
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._trouble = self._trouble or error or ConnectionError("Connection unexpectedly closed")
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
