"""Transports that hand over one message after the other, in a thread of their own."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from queue import SimpleQueue
from typing import Protocol

from django.db import connections

from newsletter.delivery.outcomes import Message, Outbox, Outcome, TransportError, returned


class OneByOne(Protocol):
    """The conversation itself: blocking, with one message at a time."""

    in_hand: int

    def hand_over(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """An outcome for each message, in their order.

        It takes the next message only when it is about to hand it over, so that whoever provides
        them can stop. Raises TransportError when it can go on with none of the rest; whatever
        has no outcome then was not handed over.
        """
        ...

    def close(self) -> None: ...


class InTurn:
    """Such a one as a Transport."""

    call = 1

    def __init__(self, transport: OneByOne, outbox: Outbox) -> None:
        self.in_hand = transport.in_hand
        self._transport = transport
        self._outbox = outbox
        self._taken: SimpleQueue[_Taken | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="transport", daemon=True)
        self._thread.start()

    def take(self, messages: list[Message], is_ours: Callable[[], bool]) -> None:
        self._taken.put((messages, is_ours))

    def close(self) -> None:
        self._taken.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while taken := self._taken.get():
                self._hand_over(*taken)
        except BaseException as crash:  # The worker's to die of, not this thread's.
            self._outbox.put(crash)
        finally:
            self._transport.close()
            connections.close_all()

    def _hand_over(self, messages: list[Message], is_ours: Callable[[], bool]) -> None:
        left = deque(messages)
        try:
            for outcome in self._transport.hand_over(takewhile(lambda _: is_ours(), messages)):
                left.popleft()
                self._outbox.put(outcome)
        except TransportError as error:
            self._outbox.put(error)
        for message in left:
            self._outbox.put(returned(message.reader))


type _Taken = tuple[list[Message], Callable[[], bool]]
