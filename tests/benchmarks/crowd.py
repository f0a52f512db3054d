"""People and robots at the sign-up form, in a process of their own; says what they were answered.

`python -m tests.benchmarks.crowd people PORT COUNT AT_ONCE | robots PORT A_SECOND SECONDS`: makes
its forms, says "ready", waits for a line, and begins.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlencode

import uvloop

from tests.benchmarks.passes import unworked, worked

# As many as one server keeps open at once, and more than robots need.
_ROBOT_CONNECTIONS = 32
_A_DOMAIN = 25
_draw = random.Random(6)


def form(address: str, fields: dict[str, str]) -> dict[str, str]:
    filled = {"email": address, "lists": "morning-briefing", "agree": "on", "terms": "1"}
    return filled | {"reference": "", "name": ""} | fields


def request(fields: dict[str, str]) -> bytes:
    """The POST of one form, from a network of its own."""
    network = ".".join(str(_draw.randrange(1, 255)) for _number in range(4))
    body = urlencode(fields).encode()
    head = (
        "POST /sign-up/ HTTP/1.1\r\nHost: localhost\r\n"
        f"X-Forwarded-For: {network}\r\nUser-Agent: Mosaic/1.0\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def readers(count: int) -> Iterator[bytes]:
    for number in range(count):
        address = f"reader{number:07}@d{number // _A_DOMAIN}.example"
        yield request(form(address, worked()))


def robots() -> Iterator[bytes]:
    """As they come: with the trap filled in, without a token, with one used a hundred times, and
    without having worked."""
    used = unworked()
    kinds = [{"reference": "Hello"} | unworked(), {}, used, None]
    for number in itertools.count():
        fields = kinds[number % len(kinds)]
        address = f"victim{number:07}@d{number // _A_DOMAIN}.example"
        yield request(form(address, unworked() if fields is None else fields))


class Client:
    """One connection, opened again whenever the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, message: bytes) -> int:
        for _attempt in range(2):
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                self._writer.write(message)
                return await self._answer()
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
        raise ConnectionError("The web server closes every connection.")

    async def _answer(self) -> int:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        await self._reader.readexactly(length)
        if "connection: close" in head:
            self.close()
        return int(head.split(maxsplit=2)[1])

    def close(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None


async def people(port: int, count: int, at_once: int) -> None:
    """So many at the same time; the next one comes when one has been answered."""
    waiting = list(readers(count))
    waits: list[float] = []
    answers: Counter[int] = Counter()

    async def line() -> None:
        client = Client(port)
        while waiting:
            message, began = waiting.pop(), time.monotonic()
            answers[await client.post(message)] += 1
            waits.append((time.monotonic() - began) * 1000)
        client.close()

    await _go()
    began = time.monotonic()
    await asyncio.gather(*(line() for _number in range(at_once)))
    _tell(time.monotonic() - began, answers, waits)


async def come(port: int, a_second: float, seconds: float) -> None:
    """At their own pace, whatever the server manages; who finds no connection free is late."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for _number in range(_ROBOT_CONNECTIONS):
        free.put_nowait(Client(port))
    answers: Counter[int] = Counter()
    waits: list[float] = []

    async def one(message: bytes, due: float) -> None:
        client = await free.get()
        answers[await client.post(message)] += 1
        waits.append((time.monotonic() - due) * 1000)
        free.put_nowait(client)

    crowd = list(itertools.islice(robots(), int(a_second * seconds)))
    await _go()
    began = time.monotonic()
    tasks = []
    for number, message in enumerate(crowd):
        due = began + number / a_second
        await asyncio.sleep(max(due - time.monotonic(), 0))
        tasks.append(asyncio.create_task(one(message, due)))
    await asyncio.gather(*tasks)
    _tell(time.monotonic() - began, answers, waits)


async def _go() -> None:
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def _tell(seconds: float, answers: Counter[int], waits: list[float]) -> None:
    waits.sort()
    at = {percent: waits[min(len(waits) * percent // 100, len(waits) - 1)] for percent in (50, 99)}
    print(json.dumps({"seconds": seconds, "answers": answers, "p50": at[50], "p99": at[99]}))


if __name__ == "__main__":
    verb, *numbers = sys.argv[1:]
    if verb == "people":
        uvloop.run(people(*map(int, numbers)))
    else:
        uvloop.run(come(int(numbers[0]), float(numbers[1]), float(numbers[2])))
