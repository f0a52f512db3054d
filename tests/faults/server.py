"""A mail server in a process of its own that writes down every recipient, and may be ill-tempered.

`python -m tests.faults.server RECORD` prints its port; each line of its input is a Temper in JSON.
A line of the record is "moment what recipient": what is "took", or "dropped" where the message was
taken and the connection broken before the answer. The moment is one of the monotonic clock.
"""

import asyncio
import json
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

# A mailbox provider of some of the readers.
ONE = "one.example"
_FLUSH = 0.01
_OFFERS = b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
_TAKEN = b"250 2.0.0 Ok\r\n"
_UNKNOWN = b"550 5.1.1 No such user here\r\n"
_BUSY = b"451 4.3.0 Try again later\r\n"


@dataclass(frozen=True)
class Temper:
    """How it treats who comes. Whom a share means, the address alone decides."""

    # The answer to RCPT by domain; "" stands for all others.
    answers: dict[str, str] = field(default_factory=dict)
    unknown: float = 0.0
    # Refused once, taken when they come again.
    busy: float = 0.0
    # Taken, and the connection broken instead of an answer.
    dropped: float = 0.0
    # Seconds before each final dot is answered.
    delay: float = 0.0
    is_deaf: bool = False

    def as_line(self) -> str:
        return json.dumps(asdict(self))


def falls_on(what: str, share: float, address: str) -> bool:
    """Whether this befalls this address: the same ones every time."""
    return zlib.crc32(f"{what} {address}".encode()) % 10_000 < share * 10_000


class _Server:
    def __init__(self, record: Path) -> None:
        self._temper = Temper()
        self._record = record.open("ab", buffering=1024 * 1024)
        self._seen: set[str] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0
        self.guests: set[_Guest] = set()

    async def run(self) -> None:
        await self._listen()
        print(self._port, flush=True)
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        flushing = asyncio.create_task(self._flush())
        while line := await lines.readline():
            await self._become(Temper(**json.loads(line)))
            print("done", flush=True)
        flushing.cancel()

    def answer_to(self, recipient: str) -> bytes | None:
        """What RCPT is answered if not 250."""
        temper = self._temper
        answers = temper.answers
        if words := answers.get(recipient.rpartition("@")[2], answers.get("")):
            return f"{words}\r\n".encode()
        if falls_on("unknown", temper.unknown, recipient):
            return _UNKNOWN
        if falls_on("busy", temper.busy, recipient) and recipient not in self._seen:
            self._seen.add(recipient)
            return _BUSY
        return None

    def take(self, recipient: str) -> bool:
        """Write it down; False if the connection is to break now."""
        drops = falls_on("dropped", self._temper.dropped, recipient)
        what = "dropped" if drops else "took"
        self._record.write(f"{time.monotonic_ns()} {what} {recipient}\n".encode())
        return not drops

    @property
    def delay(self) -> float:
        return self._temper.delay

    async def _become(self, temper: Temper) -> None:
        self._temper = temper
        if temper.is_deaf and self._listener:
            self._listener.close()
            self._listener = None
            for guest in list(self.guests):
                guest.hang_up()
        elif not temper.is_deaf and not self._listener:
            await self._listen()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Guest(self), "127.0.0.1", self._port, backlog=256
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH)
            self._record.flush()


class _Guest(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._heard = b""
        self._recipient = ""
        self._is_in_body = False
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.guests.add(self)
        self._transport.write(b"220 sink.example ESMTP\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        self._server.guests.discard(self)

    def hang_up(self) -> None:
        self._transport.abort()

    def data_received(self, chunk: bytes) -> None:
        self._heard += chunk
        self._go_on()

    def _go_on(self) -> None:
        if self._transport.is_closing() or self._is_waiting:
            return
        if answers := b"".join(self._answers()):
            self._transport.write(answers)

    def _answers(self) -> Iterator[bytes]:
        while not self._is_waiting and not self._transport.is_closing():
            end = b"\r\n.\r\n" if self._is_in_body else b"\r\n"
            said, found, rest = self._heard.partition(end)
            if not found:
                return
            self._heard = rest
            yield self._answer_to_body() if self._is_in_body else self._answer_to(said)

    def _answer_to(self, command: bytes) -> bytes:
        verb = command[:4].upper()
        if verb == b"RCPT":
            return self._answer_to_recipient(command)
        if verb == b"DATA":
            self._is_in_body = bool(self._recipient)
            return b"354 Go ahead\r\n" if self._recipient else b"503 5.5.1 Nobody to send to\r\n"
        if verb == b"QUIT":
            self._transport.write(b"221 2.0.0 Bye\r\n")
            self._transport.close()
            return b""
        self._recipient = ""
        return _OFFERS if verb == b"EHLO" else _TAKEN

    def _answer_to_recipient(self, command: bytes) -> bytes:
        recipient = command.partition(b"<")[2].partition(b">")[0].decode()
        if refused := self._server.answer_to(recipient):
            return refused
        self._recipient = recipient
        return _TAKEN

    def _answer_to_body(self) -> bytes:
        self._is_in_body = False
        recipient, self._recipient = self._recipient, ""
        if not self._server.take(recipient):
            self.hang_up()
            return b""
        if not self._server.delay:
            return _TAKEN
        self._is_waiting = True
        asyncio.get_running_loop().call_later(self._server.delay, self._answer_late)
        return b""

    def _answer_late(self) -> None:
        self._is_waiting = False
        if not self._transport.is_closing():
            self._transport.write(_TAKEN)
            self._go_on()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(_Server(Path(sys.argv[1])).run())
