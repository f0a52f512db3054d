"""A provider that remembers what it was told, and misbehaves when a test says so."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from tests.providers.conversation import (
    Accounts,
    Answer,
    Api,
    Call,
    Lost,
    Received,
    RefusedError,
    Status,
    Step,
    Taken,
)


@dataclass
class Fake:
    """`inactive` are addresses that the provider knows as bounced, `invalid` those that it takes
    for none; it refuses both in its own way.
    """

    api: Api
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    inactive: set[str] = field(default_factory=set)
    invalid: set[str] = field(default_factory=set)
    _script: list[tuple[set[bytes], Step]] = field(default_factory=list)
    _unread: list[Callable[[], Iterable[Received]]] = field(default_factory=list)
    _received: list[Received] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def options(self) -> dict[str, Any]:
        """OPTIONS of a mailer that sends here."""
        return self.api.options(self.url)

    @property
    def mailer(self) -> dict[str, Any]:
        backend = f"anymail.backends.{self.api.backend}.EmailBackend"
        return {"BACKEND": backend, "OPTIONS": self.options}

    @property
    def received(self) -> list[Received]:
        """All that readers got so far, in the order of the calls."""
        with self._lock:
            while self._unread:
                self._received.extend(self._unread.pop(0)())
            return list(self._received)

    def next(self, *steps: Step, containing: str = "") -> None:
        """What happens to the coming calls, a step for each, in this order; None: nothing special.

        With a text, only to calls whose raw body contains it, urlencoded or not.
        """
        texts = {containing.encode(), quote_plus(containing).encode()}
        with self._lock:
            self._script.extend((texts, step) for step in steps)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | Lost:
        with self._lock:
            call = Call(len(self.calls), method, path, headers, body)
            self.calls.append(call)
            step = self._step(body)
            answer = self._troubled(step) if isinstance(step, Status) else self._taken(call)
            if isinstance(step, Lost):
                return step
            call.status = answer.status
            return answer

    def _step(self, body: bytes) -> Step:
        for scripted in self._script:
            if any(text in body for text in scripted[0]):
                self._script.remove(scripted)
                return scripted[1]
        return None

    def _troubled(self, step: Status) -> Answer:
        answer = self.api.trouble(step.status)
        asked = {} if step.retry_after is None else {"Retry-After": str(step.retry_after)}
        return answer._replace(headers={**answer.headers, **asked})

    def _taken(self, call: Call) -> Answer:
        try:
            taken = self.api.take(call, Accounts(set(self.inactive), set(self.invalid)))
        except RefusedError as refused:
            return refused.answer
        call.readers = taken.readers
        self._unread.append(taken.messages)
        return taken.answer


@dataclass
class Counter:
    """Takes everything, and only counts; GET /counts tells calls and readers so far."""

    api: Api
    calls: int = 0
    readers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path == "/counts":
            return Answer(200, {"calls": self.calls, "readers": self.readers})
        taken = self._counted(Call(0, method, path, headers, body))
        with self._lock:
            self.calls += 1
            self.readers += taken.readers
        return taken.answer

    def _counted(self, call: Call) -> Taken:
        return self.api.count(call)
