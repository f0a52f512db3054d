"""A provider that reports what became of a campaign, as fast as it is answered.

`python -m tests.benchmarks.reporters PORT CONNECTIONS FIRST COUNT CAMPAIGN KEY` writes and signs as
Mailgun does a report on each of so many readers, their numbers beginning with FIRST; says "ready",
waits for a line, and posts them, one after the other over each of the connections, which are kept.
Then it says how long each waited for its answer.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Iterator
from typing import cast

import uvloop

# Of a thousand reports: most tell that the message was delivered.
_OTHERS = {1: "complained", 2: "unsubscribed", 3: "gone", 4: "gone"} | dict.fromkeys(
    range(5, 25), "full"
)
_ANSWERS = {"gone": "5.1.1 no such user", "full": "5.2.2 mailbox full"}


class Conversation(asyncio.Protocol):
    """One connection: the next report goes out when the one before is answered."""

    def __init__(self, requests: Iterator[bytes], waits: list[float]) -> None:
        self._requests = requests
        self._waits = waits
        self._asked_at = 0.0
        self._answer = b""
        self._transport = asyncio.WriteTransport()
        self.is_over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def go_on(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.is_over.set_result(None)
            self._transport.close()
        else:
            self._asked_at = time.monotonic()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        # Nothing follows the head: the answer has no body.
        if self._answer.endswith(b"\r\n\r\n"):
            self._waits.append(time.monotonic() - self._asked_at)
            head, self._answer = self._answer, b""
            if head.startswith(b"HTTP/1.1 200 "):
                self.go_on()
            else:
                self._fail(head)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(b"the connection was closed")

    def _fail(self, words: bytes) -> None:
        if not self.is_over.done():
            self.is_over.set_exception(RuntimeError(words.decode(errors="replace")))


def _request(number: int, campaign: int, key: bytes) -> bytes:
    told = _OTHERS.get(number % 1000, "delivered")
    event = {
        "id": f"{number:022}",
        "event": "failed" if told in _ANSWERS else told,
        "severity": "permanent",
        "timestamp": time.time(),
        "recipient": f"reader{number:09}@example.org",
        # Readers of a fresh newsroom have the numbers of their addresses.
        "user-variables": {"campaign": str(campaign), "subscriber": str(number)},
        "message": {
            "headers": {
                "from": "The Harbour Post <news@harbourpost.example>",
                "to": f"reader{number:09}@example.org",
                "message-id": f"{number:022}@harbourpost.example",
                "subject": "The ferry returns to the islands, Ann",
            },
            "attachments": [],
            "size": 11_000,
        },
        "delivery-status": {
            "code": 550 if told in _ANSWERS else 250,
            "message": _ANSWERS.get(told, "OK"),
            "description": "",
            "attempt-no": 1,
            "mx-host": "mx.example.org",
            "session-seconds": 0.4,
            "tls": True,
        },
        "flags": {"is-authenticated": True, "is-routed": False, "is-test-mode": False},
        "tags": [],
        "log-level": "info",
    }
    token, moment = f"{number:050}", str(int(time.time()))
    signature = hmac.digest(key, f"{moment}{token}".encode(), hashlib.sha256).hex()
    signed = {"token": token, "timestamp": moment, "signature": signature}
    body = json.dumps({"signature": signed, "event-data": event}).encode()
    head = (
        "POST /reports/mailgun/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _post(port: int, connections: int, requests: list[bytes]) -> dict[str, object]:
    loop, waits, left = asyncio.get_running_loop(), list[float](), iter(requests)
    conversations = [
        (await loop.create_connection(lambda: Conversation(left, waits), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    began = time.monotonic()
    for conversation in conversations:
        conversation.go_on()
    await asyncio.gather(*(conversation.is_over for conversation in conversations))
    return {"seconds": time.monotonic() - began, "waits": waits}


def main(port: str, connections: str, first: str, count: str, campaign: str, key: str) -> None:
    numbers = range(int(first), int(first) + int(count))
    requests = [_request(number, int(campaign), key.encode()) for number in numbers]
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(uvloop.run(_post(int(port), int(connections), requests))))


if __name__ == "__main__":
    main(*sys.argv[1:])
