"""Readers who sign up meanwhile, at the web server's own form."""

import http.client
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlencode

from tests.benchmarks.passes import worked
from tests.benchmarks.processes import FailedError

_numbers = count(1)
_networks = count(1)


@dataclass(frozen=True)
class SignUp:
    address: str
    # By the machine's monotonic clock.
    began: float
    ended: float

    @property
    def milliseconds(self) -> float:
        return (self.ended - self.began) * 1000


def sign_up(port: int) -> SignUp:
    """Somebody new sends the form off, and has been answered."""
    number = next(_numbers)
    # Many at one domain at once would be held.
    return send(port, f"newcomer{number:06}@d{number}.example.org")


def send(port: int, address: str) -> SignUp:
    """Somebody sends the form off, from a network of their own, and has been answered."""
    form = {"email": address, "lists": "morning-briefing", "agree": "on", "terms": "1"} | worked()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Forwarded-For": f"2001:db8:{next(_networks):x}::1",
    }
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/sign-up/", urlencode(form), headers)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.SEE_OTHER:
        raise FailedError(f"A sign-up was answered with {answer.status}.")
    return SignUp(address, began, time.monotonic())


@dataclass
class Stream:
    """One after the other, from a thread of its own."""

    port: int
    pause: float
    signed_up: list[SignUp] = field(default_factory=list)
    error: Exception | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def flow(self) -> None:
        try:
            while not self.stopping.wait(self.pause):
                self.signed_up.append(sign_up(self.port))
        except (FailedError, OSError, http.client.HTTPException) as error:
            self.error = error


@contextmanager
def stream(port: int, pause: float) -> Iterator[Stream]:
    """Sign-ups with so many seconds between them until the block is left."""
    # The first makes the server load what all need.
    sign_up(port)
    flowing = Stream(port, pause)
    thread = threading.Thread(target=flowing.flow, daemon=True)
    thread.start()
    try:
        yield flowing
    finally:
        flowing.stopping.set()
        thread.join()
    if flowing.error:
        raise flowing.error


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that so many per cent do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]
