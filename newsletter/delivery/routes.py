"""By which mailer readers go now: their sender's own, or its standby while that one is down."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from newsletter.content import Reader
from newsletter.delivery.outcomes import (
    BusyError,
    LockedOutError,
    SendersFaultError,
    TransportError,
    UnreachableError,
)
from newsletter.delivery.wordings import ways
from newsletter.models import Batch
from subscribers.models import Breaker, Failure

# So few readers find out whether a mailer is back: if it swallows them, no more are uncertain.
_PROBE = 4
# Who waits for what another finds out, or was passed over by a walk that goes on, looks again soon.
_SOON = timedelta(seconds=5)
_AT_LATEST = timedelta(seconds=30)


class Routes:
    """Of one batch. Everything here raises OperationalError while the database is away, and may
    then be called again with the same."""

    def __init__(self) -> None:
        self._ways: dict[int, list[str]] = {}
        self._known: dict[str, Breaker] = {}
        # How many more may try each mailer that is down, and that we are to try.
        self._probes: dict[str, int] = {}
        self._taken: dict[int, str] = {}
        self._probing: set[int] = set()

    def look(self, mailing_lists: Iterable[int]) -> None:
        """Ask again which mailers are down, and try one whose time has come."""
        self._ways = ways(mailing_lists)
        self._read()
        for mailer in self._wanted():
            if self._is_due(mailer) and Breaker.objects.probe(mailer):
                self._probes[mailer] = _PROBE

    def take(self, reader: Reader) -> datetime | None:
        """Choose the reader's mailer; when it is worth asking again, if there is none."""
        if reader.subscriber_id in self._probing:
            self.drop(reader)
        mailer = self._of(reader.mailing_list_id)
        if mailer is None:
            return self._rests_until(reader.mailing_list_id)
        self._taken[reader.subscriber_id] = mailer
        if self.is_down(mailer):
            self._probes[mailer] -= 1
            self._probing.add(reader.subscriber_id)
        return None

    def drop(self, reader: Reader) -> None:
        """Chosen a moment ago, and not handed over."""
        mailer = self._taken[reader.subscriber_id]
        if reader.subscriber_id in self._probing and mailer in self._probes:
            self._probes[mailer] += 1
        self._probing.discard(reader.subscriber_id)

    def mailer(self, reader: Reader) -> str:
        """By which this one, once chosen, goes; whatever has become of the mailer since."""
        return self._taken[reader.subscriber_id]

    def succeeded(self, mailer: str, readers: Iterable[Reader]) -> None:
        """It took these: all may go by it again, at once, and what waits for it is brought forward.

        While it is down only those who were to try it count: what others had on the way, or over
        connections from before, says nothing new.
        """
        row = self._known.get(mailer)
        tried = self._probing & {reader.subscriber_id for reader in readers}
        if row is None or (row.is_down and not tried):
            return
        if row.is_down:
            Breaker.objects.close(mailer)
            Batch.objects.bring_forward([mailer])
        else:
            Breaker.objects.forgive(mailer)
        del self._known[mailer]
        self._probes.pop(mailer, None)

    def failed(self, trouble: TransportError) -> None:
        """A hand could not be given to it."""
        if (failure := _failure(trouble)) is None:
            return
        Breaker.objects.fail(trouble.mailer, failure)
        self._probes.pop(trouble.mailer, None)
        self._read()

    def leave(self) -> None:
        """The walk is over: what it was to try and had nobody for, others may."""
        for mailer, left in self._probes.items():
            if left == _PROBE:
                Breaker.objects.leave(mailer)
        self._probes.clear()

    def is_down(self, mailer: str) -> bool:
        row = self._known.get(mailer)
        return row is not None and row.is_down

    @property
    def mailers(self) -> set[str]:
        """Those that may be used now."""
        return {mailer for mailer in map(self._of, self._ways) if mailer}

    @property
    def holding(self) -> Breaker | None:
        """What all readers wait for, as they can go by no mailer now; None if some can."""
        if not self._ways or self.mailers:
            return None
        rows = [self._known[mailer] for way in self._ways.values() for mailer in way]
        return min(rows, key=lambda row: row.rests_until or row.clock)

    @property
    def locked_out(self) -> Breaker | None:
        """What lets nobody in, has no standby, and is not just being tried again."""
        for way in self._ways.values():
            rows = [self._known[mailer] for mailer in way if self.is_down(mailer)]
            if len(rows) == len(way) and rows[0].is_locked_out and not _is_hopeful(rows[0]):
                return rows[0]
        return None

    def rest(self) -> timedelta:
        """How long to leave all alone; only where something holds them all."""
        row = self.holding
        until = row.rests_until if row else None
        if row is None or until is None:
            return timedelta(0)
        return min(until - row.clock, _SOON) if row.is_being_tried else until - row.clock

    def _read(self) -> None:
        self._known = Breaker.objects.known()

    def _wanted(self) -> list[str]:
        """Of each way those that are down before the first that is not."""
        wanted = []
        for way in self._ways.values():
            for mailer in way:
                if not self.is_down(mailer):
                    break
                wanted.append(mailer)
        return wanted

    def _is_due(self, mailer: str) -> bool:
        return mailer not in self._probes and self._known[mailer].rests_until is None

    def _of(self, mailing_list: int) -> str | None:
        for mailer in self._ways[mailing_list]:
            if not self.is_down(mailer) or self._probes.get(mailer):
                return mailer
        return None

    def _rests_until(self, mailing_list: int) -> datetime:
        rows = [self._known[mailer] for mailer in self._ways[mailing_list]]
        clock = rows[0].clock
        first = min(row.rests_until or clock for row in rows)
        return min(max(first, clock + timedelta(seconds=1)), clock + _AT_LATEST)


def _is_hopeful(row: Breaker) -> bool:
    """It is due to be tried, or is being tried."""
    return row.rests_until is None or row.is_being_tried


def _failure(trouble: TransportError) -> Failure | None:
    """None where it is not the mailer that is to blame, but what we send by it."""
    match trouble:
        case LockedOutError():
            return Failure(Breaker.Kind.LOCKED_OUT, str(trouble))
        case SendersFaultError():
            return None
        case BusyError():
            return Failure(Breaker.Kind.BUSY, str(trouble), trouble.rest)
        case UnreachableError():
            return Failure(Breaker.Kind.UNREACHABLE, str(trouble), trouble.rest)
        case _:
            return None
