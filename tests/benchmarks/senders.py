"""What the engine is measured against, each in a process of its own.

`python -m tests.benchmarks.senders PORT CONNECTIONS FIRST COUNT` says "ready", waits for a line,
and sends the campaign's message, filled for each, to so many made-up readers, the numbers
beginning with FIRST. The database is asked for the wording at the beginning, and for nothing else.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from typing import cast

import django
import uvloop

django.setup()

from django.utils import timezone  # noqa: E402

from newsletter.content import Mailing, Reader  # noqa: E402
from tests.benchmarks import desk  # noqa: E402


class Conversation(asyncio.Protocol):
    """One connection: each body travels with the envelope of the next message (RFC 2920).

    All that a sender owes to each message is done: it is filled for its reader, who has links and
    an envelope sender of their own, and every answer is read and is the one that is due.
    """

    def __init__(self, readers: Iterator[Reader], mailing: Mailing) -> None:
        self._readers = readers
        self._mailing = mailing
        self._current: Reader | None = None
        self._next: Reader | None = None
        self._rest = b""
        self._awaited: deque[bytes] = deque([b"220"])
        self._transport = asyncio.WriteTransport()
        self.is_open = asyncio.Event()
        self.is_over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(b"EHLO bench.example\r\n")
        self._awaited.append(b"250")

    def begin(self) -> None:
        self._next = next(self._readers, None)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self._answered(line)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_over.done():
            self.is_over.set_exception(error or RuntimeError("The server hung up."))

    def _answered(self, line: bytes) -> None:
        expected = self._awaited.popleft()
        if not line.startswith(expected):
            self.is_over.set_exception(RuntimeError(f"{line!r}, not {expected!r}"))
            self._transport.close()
        elif expected == b"354":
            self._current, self._next = self._next, next(self._readers, None)
            self._awaited.append(b"250")
            self._go_on(self._mailing.smtp_message(self._current, timezone.now()))
        elif not self._awaited:
            self._rested()

    def _go_on(self, body: bytes = b"") -> None:
        envelope = b""
        if self._next:
            envelope = self._envelope(self._next)
            self._awaited += (b"250", b"250", b"354")
        if body or envelope:
            self._transport.write(body + envelope)
        else:
            self._rested()

    def _envelope(self, reader: Reader) -> bytes:
        sender = self._mailing.envelope_sender(reader)
        return f"MAIL FROM:<{sender}>\r\nRCPT TO:<{reader.address}>\r\nDATA\r\n".encode()

    def _rested(self) -> None:
        """Nothing is awaited: it was the greeting, or there is nobody left."""
        if not self.is_open.is_set():
            self.is_open.set()
            return
        if not self.is_over.done():
            self.is_over.set_result(None)
        self._transport.close()


async def bare(port: int, connections: int, readers: Iterator[Reader], mailing: Mailing) -> None:
    loop = asyncio.get_running_loop()
    conversations = []
    for _number in range(connections):
        _transport, conversation = await loop.create_connection(
            lambda: Conversation(readers, mailing), "127.0.0.1", port
        )
        conversations.append(conversation)
        await conversation.is_open.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    for conversation in conversations:
        conversation.begin()
    await asyncio.gather(*(conversation.is_over for conversation in conversations))


def _readers(first: int, count: int, mailing_list: int) -> Iterator[Reader]:
    for number in range(first, first + count):
        yield Reader(number, f"reader{number:09}@example.org", "", mailing_list)


if __name__ == "__main__":
    port, connections, first, count = map(int, sys.argv[1:5])
    (version,) = desk.wordings()
    readers = _readers(first, count, version.mailing_list_id)
    uvloop.run(bare(port, connections, readers, Mailing(version)))
