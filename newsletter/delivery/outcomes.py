"""What a transport is given, and what it answers."""

import enum
import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, Protocol

from newsletter import faults
from newsletter.content import Mailing, Reader
from newsletter.faults import Fault
from subscribers.addresses import AddressError

logger = logging.getLogger(__name__)


class TransportError(Exception):
    """Nothing can be handed over; the message says why, in words for the newsroom."""

    # Whose trouble it is; blank: of none in particular.
    mailer = ""


class SendersFaultError(TransportError):
    """Our credentials, our quota, our reputation: no reader is to blame, a human must look."""


class LockedOutError(SendersFaultError):
    """It lets us not even in: sign-in, key, account, TLS. By another mailer all may be well."""


class UnreachableError(TransportError):
    """Whoever takes our mail does not at the moment, from nobody. `rest`: how long they asked."""

    def __init__(self, words: str, rest: timedelta | None = None) -> None:
        super().__init__(words)
        self.rest = rest


class BusyError(UnreachableError):
    """It is there, and says: later."""


class Message(NamedTuple):
    """A wording, and the reader it is to be filled for."""

    mailing: Mailing
    reader: Reader
    campaign_id: int

    @property
    def metadata(self) -> dict[str, str]:
        """Our own ids, which come back with every event."""
        subscriber = str(self.reader.subscriber_id)
        return {"campaign": str(self.campaign_id), "subscriber": subscriber}


class Fate(enum.Enum):
    """What became of one message, as its answer tells."""

    SENT = "sent"
    NO_MAILBOX = "no mailbox"  # The recipient's: failed for good, a hard bounce.
    FAILED = "failed"  # The recipient's, this time: failed, and nothing is held against them.
    REFUSED = "refused"  # Policy (5.7.x): tried once more; many of these are the sender's fault.
    DEFERRED = "deferred"  # The provider's: not now.
    UNCERTAIN = "uncertain"  # It may have gone out.
    RETURNED = "returned"  # Never handed over: back to the batch, as if never taken.


class Outcome(NamedTuple):
    reader: Reader
    fate: Fate
    # The raw answer: "550 5.1.1", and its words.
    code: str = ""
    text: str = ""
    provider_id: str = ""
    # How long they asked us to wait.
    rest: timedelta | None = None


class Outbox:
    """Where transports put outcomes, from threads of their own; one for all of a worker."""

    def __init__(self) -> None:
        self._items: deque[Outcome | BaseException] = deque()
        self._ready = threading.Event()
        self._enough = 1

    def put(self, item: Outcome | BaseException) -> None:
        """An outcome; a TransportError, about all; or a crash, for whoever waits to die of."""
        self._items.append(item)
        if len(self._items) >= self._enough:
            self._ready.set()

    def put_all(self, outcomes: list[Outcome]) -> None:
        """All of one call: whoever collects gets all of them or none."""
        self._items.extend(outcomes)
        if len(self._items) >= self._enough:
            self._ready.set()

    def collect(self, enough: int, within: float) -> list[Outcome | BaseException]:
        """What came: so many as are enough, or as came within these seconds."""
        self._ready.clear()
        self._enough = enough
        if len(self._items) < enough:
            self._ready.wait(within)
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items


class Pigeonhole(Outbox):
    """One mailer's way into an outbox: trouble is known by its name."""

    def __init__(self, outbox: Outbox, mailer: str) -> None:
        super().__init__()
        self._outbox = outbox
        self._mailer = mailer

    def put(self, item: Outcome | BaseException) -> None:
        if isinstance(item, TransportError):
            item.mailer = self._mailer
        self._outbox.put(item)

    def put_all(self, outcomes: list[Outcome]) -> None:
        self._outbox.put_all(outcomes)


class Transport(Protocol):
    """How mail leaves: takes messages, and puts exactly one outcome for each into its outbox.

    One belongs to one worker thread, works in a thread of its own, and keeps its connections
    until closed.
    """

    # How many readers are with it at once: what a crash leaves uncertain, at most.
    in_hand: int
    # How many of them it best takes together.
    call: int

    def take(self, messages: list[Message], is_ours: Callable[[], bool]) -> None:
        """Begin to hand these over, and return at once.

        `is_ours` is asked from the transport's thread before each final dot or call: once it
        says no, messages are RETURNED. Where it can go on with none, the TransportError goes into
        the outbox first, then RETURNED for all that it still has; the next `take` tries anew.
        """
        ...

    def close(self) -> None:
        """Hang up. The worker has waited for all outcomes before."""
        ...


_FATES = {
    Fault.NO_MAILBOX: Fate.NO_MAILBOX,
    Fault.RECIPIENT: Fate.FAILED,
    Fault.POLICY: Fate.REFUSED,
    Fault.PROVIDER: Fate.DEFERRED,
    Fault.UNKNOWN: Fate.UNCERTAIN,
}


def sent(reader: Reader, provider_id: str = "") -> Outcome:
    return Outcome(reader, Fate.SENT, provider_id=provider_id[:200])


def returned(reader: Reader) -> Outcome:
    return Outcome(reader, Fate.RETURNED)


def unwritable(reader: Reader, error: Exception) -> Outcome:
    """A message that cannot be filled is that reader's failure, and stops nobody else."""
    if isinstance(error, AddressError):
        return Outcome(reader, Fate.FAILED, "address", str(error))
    logger.error("Nothing could be written to reader %s.", reader.subscriber_id, exc_info=error)
    return Outcome(reader, Fate.FAILED, "content", f"{type(error).__name__}: {error}")


def judged(
    fault: Fault, reader: Reader, code: str, text: str, rest: timedelta | None = None
) -> Outcome:
    """What an answer comes to for this reader. Raises TransportError where it is about all."""
    words = f"{code} {text}".strip()
    rest = rest or faults.rest_in(text)
    match fault:
        case Fault.SENDER:
            is_lockout = not code or faults.is_lockout(code, text)
            raise LockedOutError(words) if is_lockout else SendersFaultError(words)
        case Fault.EVERYBODY:
            # Without an answer nobody was there to give one.
            raise BusyError(words, rest) if code else UnreachableError(words, rest)
        case _:
            return Outcome(reader, _FATES[fault], code, text, rest=rest)
