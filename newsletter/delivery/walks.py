"""Working off a batch: window by window, until its readers are accounted for or we must stop."""

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from django.utils import timezone

from newsletter import stopping
from newsletter.content import Reader
from newsletter.delivery import pauses, windows
from newsletter.delivery.course import Course
from newsletter.delivery.leases import Lease
from newsletter.delivery.outcomes import (
    LockedOutError,
    SendersFaultError,
    TransportError,
    UnreachableError,
)
from newsletter.delivery.verdicts import Answer, Verdicts
from newsletter.delivery.windows import StoppedError, Window, ask, insist
from newsletter.models import Batch, Deferral, Delivery
from newsletter.models.deliveries import LedgerRow

if TYPE_CHECKING:
    from newsletter.delivery.workers import Worker

# How many are looked at in one window where nobody of the last could be mailed.
_PIECE = 500
# Three quarters of a hand make a window, or what came in so many seconds: the larger it is, the
# less the database has to do, and the smaller, the sooner slow servers have more to do.
_ROUND = 0.01
_DRAINING = 0.1
# A mailer that is used up for longer than this many seconds gives its batch back.
_LONGEST_WAIT = 1.0
# And so many are given at once that a window is worth its while.
_SIP = 0.05
_FIRST_REST = timedelta(seconds=5)
_LONGEST_REST = timedelta(minutes=5)
_FIRST_TURN = timedelta(seconds=1)
_LONGEST_TURN = timedelta(minutes=1)


class Walk:
    """A batch's readers in their order, those first whose deferral is due."""

    def __init__(self, batch: Batch, worker: "Worker", lease: Lease) -> None:
        self._batch = batch
        self._worker = worker
        self._lease = lease
        self._course = Course(batch, worker)
        self._deferred: dict[int, Deferral] = {}
        self._verdicts = Verdicts(batch, {}, self._is_parked)
        self._left: deque[int] = deque()
        # Whom the transports have now, with the row that the ledger will get.
        self._hand: dict[int, LedgerRow] = {}
        self._position = batch.position
        self._left_aside = 0
        self._again_at: datetime | None = None
        # When the mailer, used up by its limit, takes more; by our own clock.
        self._open_at = 0.0
        self._piece = 0
        # The worst of each mailer.
        self._troubles: dict[str, TransportError] = {}
        self._unwritten: list[Answer] = []

    def go(self) -> None:
        self._deferred, left = ask(self._course.readers)
        self._verdicts = Verdicts(self._batch, self._deferred, self._is_parked)
        self._left.extend([*self._deferred, *left])
        while True:
            window = self._window(self._collect())
            taken = self._try_to_take(window)
            if not taken and not self._hand and not self._has_more():
                return self._leave(window)
            if not window.says_nothing:
                taken = self._write(window, taken)
            self._hand_over(taken)

    def settle(self) -> None:
        """The batch is another's: what we know of those in our hand, the ledger shall know."""
        answers = self._unwritten
        while self._hand:
            answers = answers + self._arrived(len(self._hand), _DRAINING)
        learnt = self._verdicts.learnt(answers)
        insist(lambda: self._batch.learn(learnt))

    def _may_take(self) -> bool:
        """Whether more may be taken in hand; what is in hand is finished and written down."""
        if not self._left or self._troubles or stopping.is_stopping() or not self._lease.is_ours():
            return False
        with suppress(StoppedError):
            return ask(self._course.goes_on)
        return False

    def _has_more(self) -> bool:
        """Where it is only a matter of moments, as nobody else could do more."""
        return self._wait() <= _LONGEST_WAIT and self._may_take()

    def _wait(self) -> float:
        """Seconds until the mailer takes more."""
        return max(0.0, self._open_at - time.monotonic())

    def _collect(self) -> list[Answer]:
        if not self._hand:
            time.sleep(self._wait())
            return []
        if self._may_take():
            return self._arrived(max(1, len(self._hand) * 3 // 4), _ROUND)
        return self._arrived(len(self._hand), _DRAINING)

    def _arrived(self, enough: int, within: float) -> list[Answer]:
        answers = []
        for item in self._worker.transports.outbox.collect(enough, within):
            if isinstance(item, TransportError):
                self._note(item)
            elif isinstance(item, BaseException):
                raise item
            else:
                row = self._hand.pop(item.reader.subscriber_id)
                answers.append((item, row, self._course.mailer(item.reader)))
        return answers

    def _note(self, trouble: TransportError) -> None:
        """What somebody must look at outweighs what passes."""
        if trouble.mailer not in self._troubles or isinstance(trouble, SendersFaultError):
            self._troubles[trouble.mailer] = trouble

    def _is_parked(self, reader: Reader, mailer: str) -> bool:
        with suppress(StoppedError):
            return ask(lambda: self._course.is_parked(reader, mailer))
        # Who cannot look blames nobody.
        return True

    def _window(self, answers: list[Answer]) -> Window:
        self._unwritten = [*self._unwritten, *answers]
        window = Window(self._position)
        if answers:
            if returned := self._verdicts.enter(answers, window):
                self._leave_aside(returned, timezone.now())
            self._learn_from(answers)
        window.left_aside = self._left_aside
        return window

    def _learn_from(self, answers: list[Answer]) -> None:
        with suppress(StoppedError):
            ask(lambda: self._course.give_back(answers))
            if words := self._course.look_at(answers):
                self._note(SendersFaultError(words))
        for silence in self._course.silences(answers):
            self._note(silence)

    def _try_to_take(self, window: Window) -> list[Reader]:
        """Told to stop while the database is away, we take nobody, and still have to write."""
        with suppress(StoppedError):
            return self._take(window) if self._may_take() else []
        return []

    def _take(self, window: Window) -> list[Reader]:
        """The next who may be mailed now, as many as make whole calls: a provider takes a call
        for one reader as slowly as for a thousand, and counts it as one."""
        call = self._course.call
        room = (self._course.in_hand - len(self._hand)) // call * call
        if room <= 0 or self._wait():
            return []
        taken = self._next(room, window)
        # Told to stop meanwhile, we have these in our books already, and finish with them.
        with suppress(StoppedError):
            while len(taken) % call and self._left and not self._wait():
                taken += self._next(room - len(taken), window)
        return taken

    def _next(self, room: int, window: Window) -> list[Reader]:
        """Those of the next who may be mailed; those before them who may not are passed over."""
        piece = list(islice(self._left, max(room, self._piece)))
        chosen = self._chosen(piece, room)
        if chosen.passed:
            rows = ask(lambda: self._course.skipped(chosen.passed))
            self._verdicts.skip(rows.values(), window)
        self._go_past(chosen.seen)
        # Where nobody can be mailed, look further ahead at once.
        self._piece = 0 if chosen.taken else _PIECE
        window.position, window.left_aside = self._position, self._left_aside
        window.takes_more |= chosen.seen > 0
        return chosen.taken

    def _chosen(self, piece: list[int], room: int) -> "_Chosen":
        mailable = ask(lambda: self._course.mailable(piece))
        chosen = _Chosen([], [], 0)
        for subscriber in piece:
            reader = mailable.get(subscriber)
            if reader is None:
                chosen.passed.append(subscriber)
            elif len(chosen.taken) == room:
                break
            elif later := ask(partial(self._course.later, reader)):
                self._leave_aside(1, later)
            else:
                chosen.taken.append(reader)
            chosen.seen += 1
        return self._within_limits(chosen, piece)

    def _within_limits(self, chosen: "_Chosen", piece: list[int]) -> "_Chosen":
        """Of whom could be taken, those whom the rate limits allow."""
        rates = ask(lambda: self._course.rates(chosen.taken))
        if rates is None:
            return chosen
        allowed = []
        for reader in chosen.taken:
            if rates.allow(reader):
                allowed.append(reader)
            elif (seconds := rates.again_in(reader)) is not None:
                self._leave_aside(1, timezone.now() + self._turn(seconds))
            else:
                self._open_at = time.monotonic() + max(rates.wait, _SIP)
                self._stay_before(reader, chosen, piece)
                break
        rates.give_back()
        for reader in set(chosen.taken) - set(allowed):
            self._course.drop(reader)
        chosen.taken = allowed
        return chosen

    def _stay_before(self, reader: Reader, chosen: "_Chosen", piece: list[int]) -> None:
        """The mailer is used up: this one and all behind are looked at when it takes more."""
        chosen.seen = piece.index(reader.subscriber_id)
        seen = set(piece[: chosen.seen])
        chosen.passed = [subscriber for subscriber in chosen.passed if subscriber in seen]

    def _turn(self, seconds: float) -> timedelta:
        """The more often we came in vain, the later we come again: others are in line too."""
        pause = pauses.growing(_FIRST_TURN, self._batch.attempts, _LONGEST_TURN)
        return max(pause, timedelta(seconds=seconds))

    def _leave_aside(self, count: int, until: datetime) -> None:
        """These are passed over in this walk, and the next one begins again for them."""
        self._left_aside += count
        self._again_at = min(self._again_at or until, until)

    def _go_past(self, count: int) -> None:
        for _ in range(count):
            subscriber = self._left.popleft()
            # The deferred come first, wherever their place is: those before it are still to come.
            if subscriber not in self._deferred:
                self._position = subscriber

    def _write(self, window: Window, taken: list[Reader]) -> list[Reader]:
        """Write the window; whom this returns may be handed over then."""
        rows = {reader.subscriber_id: self._course.row(reader) for reader in taken}
        window.hand = [row[:3] for row in (*self._hand.values(), *rows.values())]
        asked_at = time.monotonic()
        if not insist(lambda: windows.move(self._batch, window)):
            # It was told to stop this moment, and nothing was written.
            self._course.stop()
            self._leave_aside(len(taken), timezone.now())
            for reader in taken:
                self._course.drop(reader)
            window.takes_more, window.left_aside = False, self._left_aside
            return self._write(window, [])
        self._lease.renewed(asked_at)
        self._unwritten = []
        self._hand |= rows
        return taken

    def _hand_over(self, taken: list[Reader]) -> None:
        for mailer, messages in self._course.messages(taken).items():
            self._worker.transports[mailer].take(messages, self._lease.is_ours)

    def _leave(self, window: Window) -> None:
        with suppress(StoppedError):
            self._course.part(self._troubles.values())
        window.held_by = self._course.held_by
        if self._course.is_late:
            insist(lambda: windows.write_off(self._batch, window, Delivery.Reason.EXPIRED))
        elif self._left or self._troubles:
            self._release(window)
        else:
            seen_until = max((row.due_at for row in self._deferred.values()), default=None)
            insist(lambda: windows.finish(self._batch, window, self._again_at, seen_until))

    def _release(self, window: Window) -> None:
        if self._course.gives_way and not self._troubles:
            insist(lambda: windows.give_way(self._batch, window))
            return
        rest, words = self._rest(), " ".join(map(str, self._troubles.values()))
        insist(lambda: windows.release(self._batch, window, rest, words))
        if reason := self._reason_to_pause():
            insist(lambda: self._batch.campaign.pause(reason))

    def _rest(self) -> timedelta:
        """How long the batch lies: as they asked who did not take our mail, else ever longer; not
        at all if another mailer does."""
        if self._course.held_by:
            return self._course.rest()
        asked = [
            trouble.rest or pauses.NONE
            for trouble in self._troubles.values()
            if isinstance(trouble, UnreachableError) and not self._course.is_down(trouble.mailer)
        ]
        if not asked:
            return timedelta(seconds=self._wait())
        rest = pauses.growing(_FIRST_REST, self._batch.attempts, _LONGEST_REST)
        return min(max(rest, *asked), pauses.LONGEST)

    def _reason_to_pause(self) -> str:
        """What somebody must look at, in words; not where a standby takes over meanwhile."""
        ours = [
            str(trouble)
            for trouble in self._troubles.values()
            if isinstance(trouble, SendersFaultError) and not isinstance(trouble, LockedOutError)
        ]
        return " ".join(filter(None, [*ours, self._course.locked_out]))


@dataclass
class _Chosen:
    """Of a piece: whom to take, whom to skip, and how many of it are dealt with."""

    taken: list[Reader]
    passed: list[int]
    seen: int
