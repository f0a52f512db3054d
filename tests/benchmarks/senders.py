"""What the engine is measured against, each in a process of its own.

`python -m tests.benchmarks.senders PORT CONNECTIONS FIRST COUNT BODY` says "ready", waits for
a line, and sends the file BODY to so many made-up readers, the numbers beginning with FIRST.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

_SENDER = "b+d9OgU177MuNjOjYz8uznHcwiIcn@harbourpost.example"


class Conversation(asyncio.Protocol):
    """One connection: each body travels with the envelope of the next message (RFC 2920)."""

    def __init__(self, envelopes: Iterator[bytes], body: bytes) -> None:
        self._envelopes = envelopes
        self._body = body
        self._said = b""
        self._next = b""
        self._transport = asyncio.WriteTransport()
        self.is_open = asyncio.Event()
        self.is_over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(b"EHLO bench.example\r\n")

    def begin(self) -> None:
        self._next = next(self._envelopes, b"")
        if self._next:
            self._transport.write(self._next)
        else:
            self._leave()

    def data_received(self, data: bytes) -> None:
        self._said += data
        if not self._said.endswith(b"\r\n"):
            return
        last = self._said[self._said.rfind(b"\n", 0, -1) + 1 :]
        if last.startswith(b"354"):
            self._hand_over()
        elif last.startswith(b"250 8BITMIME"):
            self.is_open.set()
        elif last.startswith((b"4", b"5")):
            self.is_over.set_exception(RuntimeError(last.decode()))
        elif last.startswith(b"250 2.0.0") and not self._next:
            self._leave()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_over.done():
            self.is_over.set_exception(error or RuntimeError("The server hung up."))

    def _hand_over(self) -> None:
        self._said = b""
        self._next = next(self._envelopes, b"")
        self._transport.write(self._body + self._next)

    def _leave(self) -> None:
        if not self.is_over.done():
            self.is_over.set_result(None)
        self._transport.close()


async def bare(port: int, connections: int, first: int, count: int, body: bytes) -> None:
    envelopes = (_envelope(number) for number in range(first, first + count))
    loop = asyncio.get_running_loop()
    conversations = []
    for _number in range(connections):
        _transport, conversation = await loop.create_connection(
            lambda: Conversation(envelopes, body), "127.0.0.1", port
        )
        conversations.append(conversation)
        await conversation.is_open.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    for conversation in conversations:
        conversation.begin()
    await asyncio.gather(*(conversation.is_over for conversation in conversations))


def _envelope(number: int) -> bytes:
    return f"MAIL FROM:<{_SENDER}>\r\nRCPT TO:<reader{number:09}@example.org>\r\nDATA\r\n".encode()


def _stuffed(path: str) -> bytes:
    body = Path(path).read_bytes()
    return body.replace(b"\r\n.", b"\r\n..") + b".\r\n"


if __name__ == "__main__":
    port, connections, first, count = map(int, sys.argv[1:5])
    uvloop.run(bare(port, connections, first, count, _stuffed(sys.argv[5])))
