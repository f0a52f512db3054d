"""The connections to one server, and the letters that wait for one."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from newsletter import stopping
from newsletter.delivery.outcomes import (
    Message,
    Outbox,
    Outcome,
    TransportError,
    judged,
    returned,
)
from newsletter.delivery.transports.smtp import login
from newsletter.delivery.transports.smtp.conversation import Conversation
from newsletter.delivery.transports.smtp.letters import Letter
from newsletter.delivery.transports.smtp.login import Server
from newsletter.faults import Fault

# So many letters waiting are worth a connection more.
_WORTH = 4
# Seconds that letters wait for busy connections while others rest.
_SLOW = 0.005
# After a connection was refused, others being open, we make do with them for so many seconds.
_MAKE_DO = 30
# Seconds between looks at the clock, at most; and for goodbyes.
_TICK = 1.0
_GOODBYE = 1.0


class Connections:
    """Everything in here happens on the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        server: Server,
        outbox: Outbox,
        most: int,
        signers: Executor,
    ) -> None:
        self._loop = loop
        self._signers = signers
        self._server = server
        self._outbox = outbox
        self._most = most
        self._waiting: deque[Letter] = deque()
        # For fresh connections only: another was lost over each of these.
        self._again: deque[Letter] = deque()
        self._open: set[Conversation] = set()
        # With an end: what rested last is the first to be asked.
        self._resting: dict[Conversation, None] = {}
        self._hanging_up: set[Conversation] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._make_do_until = 0.0
        # How many were taken and have no outcome yet.
        self._unanswered = 0
        # Who was first in line at the last look, and whether they still are.
        self._first: Letter | None = None
        self._is_stuck = False
        self._is_told = False
        self._is_closing = False
        self._is_broken = False
        self._stopping_since: float | None = None

    def watch(self) -> None:
        """Look at the clock now and then: the one timer for all connections."""
        now = time.monotonic()
        if not stopping.is_stopping():
            self._stopping_since = None
        elif self._stopping_since is None:
            self._stopping_since = now
        for conversation in list(self._open):
            conversation.look_at_clock(now, self._stopping_since)
        self._is_stuck = bool(self._waiting) and self._waiting[0] is self._first
        self._first = self._waiting[0] if self._waiting else None
        self._open_more()
        self._loop.call_later(min(_TICK, self._server.timeout / 4), self.watch)

    def take(self, messages: list[Message], is_ours: Callable[[], bool]) -> None:
        self._is_told = False
        self._unanswered += len(messages)
        letters = [Letter(message, is_ours) for message in messages]
        self._fill([letter for letter in letters if letter.takes_long])
        self._line_up([letter for letter in letters if not letter.takes_long])

    def _fill(self, letters: list[Letter]) -> None:
        """In threads of their own, some at a time; each lot joins the line when it is done."""
        for start in range(0, len(letters), _WORTH):
            lot = letters[start : start + _WORTH]
            filling = self._loop.run_in_executor(self._signers, _filled, lot)
            filling.add_done_callback(lambda filled: self._line_up(filled.result()))

    def _line_up(self, letters: list[Letter]) -> None:
        self._waiting.extend(letters)
        # Few connections with much to say cost less than many with little each: an envelope then
        # travels with the body before it. If they turn out to be slow, the others help.
        self._hand_out(math.ceil(len(self._waiting) / _WORTH))
        self._loop.call_later(_SLOW, self._hand_out)
        self._open_more()

    def close(self) -> None:
        """Say goodbye, and stop the loop."""
        self._is_closing = self._is_broken = True
        for task in self._opening:
            task.cancel()
        for conversation in list(self._open):
            conversation.quit()
        self._loop.call_later(_GOODBYE, self._loop.stop)
        self._stop_when_all_is_over()

    def break_off(self, crash: BaseException) -> None:
        """After a crash nothing more is begun; the worker is about to die of it."""
        self._is_broken = True
        self._outbox.put(crash)

    # What conversations ask for.

    def next(self, conversation: Conversation, *, is_first: bool) -> Letter | None:
        self._resting.pop(conversation, None)
        if self._is_broken:
            return None
        if is_first and self._again:
            return self._again.popleft()
        return self._waiting.popleft() if self._waiting else None

    def settle(self, outcome: Outcome) -> None:
        self._unanswered -= 1
        self._outbox.put(outcome)

    def judge(self, letter: Letter, fault: Fault, code: str, words: str) -> None:
        try:
            self.settle(judged(fault, letter.reader, code, words))
        except TransportError as error:
            self._waiting.appendleft(letter)
            self._give_up(error)

    def disown(self, letter: Letter) -> None:
        """It is not ours to hand over any more, nor are others of its batch."""
        self.settle(returned(letter.reader))
        waiting, self._waiting = self._waiting, deque()
        for other in waiting:
            if other.is_ours():
                self._waiting.append(other)
            else:
                self.settle(returned(other.reader))

    def take_back(self, letter: Letter) -> None:
        self._waiting.appendleft(letter)

    def say_again(self, letter: Letter) -> None:
        self._again.append(letter)

    def makes_do_without(self, conversation: Conversation) -> bool:
        """Whether others are open: then one that was turned away was only one too many."""
        if self._open <= {conversation}:
            return False
        self._make_do_until = time.monotonic() + _MAKE_DO
        return True

    def rest(self, conversation: Conversation) -> None:
        self._resting[conversation] = None

    def leave(self, conversation: Conversation) -> None:
        self._open.discard(conversation)
        self._resting.pop(conversation, None)
        self._hanging_up.add(conversation)
        self._hand_out()
        self._open_more()

    def forget(self, conversation: Conversation) -> None:
        self._hanging_up.discard(conversation)
        if self._is_closing:
            self._stop_when_all_is_over()

    def _hand_out(self, most: int | None = None) -> None:
        for _ in range(len(self._resting) if most is None else most):
            if not self._waiting or not self._resting:
                return
            conversation, _none = self._resting.popitem()
            conversation.go_on()

    def _give_up(self, error: TransportError) -> None:
        if not self._again and not self._waiting:
            # Nobody is concerned; whoever comes next is told what happens then.
            return
        if not self._is_told:
            self._outbox.put(error)
            self._is_told = True
        for letter in [*self._again, *self._waiting]:
            self.settle(returned(letter.reader))
        self._again.clear()
        self._waiting.clear()

    # Opening.

    def _open_more(self) -> None:
        if (self._open or self._opening) and time.monotonic() < self._make_do_until:
            self._make_do()
            return
        free = self._most - len(self._open) - len(self._opening)
        for _connection in range(0 if self._is_broken else min(self._wanted(), free)):
            task = self._loop.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._connected)

    def _wanted(self) -> int:
        """As many more as there is work for; one at least while nobody comes for the first."""
        worth = math.ceil(self._unanswered / _WORTH) - len(self._open)
        needed = max(worth, len(self._again), self._is_stuck) - len(self._opening)
        return min(needed, len(self._again) + len(self._waiting))

    def _make_do(self) -> None:
        self._waiting.extendleft(self._again)
        self._again.clear()
        self._hand_out()

    async def _connect(self) -> None:
        transport, offers = await login.connect(self._server)
        conversation = Conversation(self, offers, self._server.timeout)
        transport.set_protocol(conversation)
        conversation.connection_made(transport)
        self._open.add(conversation)
        conversation.go_on()

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, TransportError):
            self._not_connected(error)
        elif error:
            self.break_off(error)
        if self._is_closing:
            self._stop_when_all_is_over()

    def _not_connected(self, error: TransportError) -> None:
        self._make_do_until = time.monotonic() + _MAKE_DO
        if self._open:
            self._make_do()
        elif not self._opening:
            self._give_up(error)

    def _stop_when_all_is_over(self) -> None:
        if not self._open and not self._hanging_up and not self._opening:
            self._loop.stop()


def _filled(letters: list[Letter]) -> list[Letter]:
    for letter in letters:
        letter.fill_already()
    return letters
