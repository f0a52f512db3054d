"""Transports that hand over in calls, several of them beside each other."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import batched
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from django.db import connections

from newsletter.content import Mailing
from newsletter.delivery.outcomes import Message, Outbox, Outcome, TransportError, returned


class Line(Protocol):
    """One conversation: blocking, in one thread, a call at a time."""

    def room(self, mailing: Mailing) -> int:
        """How many readers of this mailing one call takes."""
        ...

    def call(self, messages: list[Message], is_ours: Callable[[], bool]) -> Iterable[Outcome]:
        """An outcome for each message, in any order; all of one mailing, as many as there is room.

        `is_ours` is true when it begins, and asked again before whatever it says after that.
        Raises TransportError when it can go on with none of the rest; whatever has no outcome
        then was not handed over.
        """
        ...

    def close(self) -> None: ...


class Crew:
    """Such lines as one Transport, each in a thread of its own."""

    def __init__(self, lines: Sequence[Line], call: int, outbox: Outbox) -> None:
        self.call = call
        self.in_hand = call * len(lines)
        self._lines = lines
        self._outbox = outbox
        self._waiting: SimpleQueue[_Call | None] = SimpleQueue()
        # Counts troubles: what was taken before the last is not handed over.
        self._round = 0
        self._threads = [
            threading.Thread(target=self._work, args=[line], name="transport", daemon=True)
            for line in lines
        ]
        for thread in self._threads:
            thread.start()

    def take(self, messages: list[Message], is_ours: Callable[[], bool]) -> None:
        for call in self._calls(messages):
            self._waiting.put(_Call(call, is_ours, self._round))

    def close(self) -> None:
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _calls(self, messages: Iterable[Message]) -> Iterator[list[Message]]:
        by_mailing = defaultdict(list)
        for message in messages:
            by_mailing[message.mailing].append(message)
        for mailing, its_messages in by_mailing.items():
            yield from map(list, batched(its_messages, self._lines[0].room(mailing)))

    def _work(self, line: Line) -> None:
        try:
            while call := self._waiting.get():
                self._hand_over(call, line)
        except BaseException as crash:  # The worker's to die of, not this thread's.
            self._outbox.put(crash)
        finally:
            line.close()
            connections.close_all()

    def _hand_over(self, call: "_Call", line: Line) -> None:
        outcomes: list[Outcome] = []
        if call.round == self._round and call.is_ours():
            try:
                outcomes.extend(line.call(call.messages, call.is_ours))
            except TransportError as error:
                self._round += 1
                self._outbox.put(error)
        told = {outcome.reader for outcome in outcomes}
        left = [message.reader for message in call.messages if message.reader not in told]
        self._outbox.put_all([*outcomes, *map(returned, left)])


class _Call(NamedTuple):
    messages: list[Message]
    is_ours: Callable[[], bool]
    round: int
