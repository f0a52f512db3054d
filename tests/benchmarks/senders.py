"""What the engine is measured against, each in a process of its own.

`python -m tests.benchmarks.senders PORT CONNECTIONS FIRST COUNT BODY` says "ready", waits for
a line, and sends the file BODY to so many made-up readers, the numbers beginning with FIRST.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

_WRITTEN_FOR = "reader000000001@example.org"
_SENDER = "b+d9OgU177MuNjOjYz8uznHcwiIcn@harbourpost.example"


class Conversation(asyncio.Protocol):
    """One connection: each body travels with the envelope of the next message (RFC 2920).

    All that a sender owes to each message is done: it is filled with its recipient, its dots are
    doubled, and every answer is read and is the one that is due.
    """

    def __init__(self, recipients: Iterator[str], body: list[str]) -> None:
        self._recipients = recipients
        self._body = body
        self._current = ""
        self._next = ""
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
        self._next = next(self._recipients, "")
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
            self._current, self._next = self._next, next(self._recipients, "")
            self._awaited.append(b"250")
            self._go_on(_stuffed(self._body, self._current))
        elif not self._awaited:
            self._rested()

    def _go_on(self, body: bytes = b"") -> None:
        envelope = b""
        if self._next:
            envelope = _envelope(self._next)
            self._awaited += (b"250", b"250", b"354")
        if body or envelope:
            self._transport.write(body + envelope)
        else:
            self._rested()

    def _rested(self) -> None:
        """Nothing is awaited: it was the greeting, or there is nobody left."""
        if not self.is_open.is_set():
            self.is_open.set()
            return
        if not self.is_over.done():
            self.is_over.set_result(None)
        self._transport.close()


async def bare(port: int, connections: int, first: int, count: int, body: list[str]) -> None:
    recipients = (f"reader{number:09}@example.org" for number in range(first, first + count))
    loop = asyncio.get_running_loop()
    conversations = []
    for _number in range(connections):
        _transport, conversation = await loop.create_connection(
            lambda: Conversation(recipients, body), "127.0.0.1", port
        )
        conversations.append(conversation)
        await conversation.is_open.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    for conversation in conversations:
        conversation.begin()
    await asyncio.gather(*(conversation.is_over for conversation in conversations))


def _envelope(recipient: str) -> bytes:
    return f"MAIL FROM:<{_SENDER}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()


def _stuffed(body: list[str], recipient: str) -> bytes:
    return recipient.join(body).encode().replace(b"\r\n.", b"\r\n..") + b".\r\n"


def _pieces(path: str) -> list[str]:
    """The message without the address of whom it was written for."""
    return Path(path).read_bytes().decode().split(_WRITTEN_FOR)


if __name__ == "__main__":
    port, connections, first, count = map(int, sys.argv[1:5])
    uvloop.run(bare(port, connections, first, count, _pieces(sys.argv[5])))
