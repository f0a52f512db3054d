"""What a transport is given, and what it answers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from newsletter.content import Mailing, Reader
from newsletter.delivery.faults import Fault
from newsletter.models import Delivery
from subscribers.addresses import AddressError


class TransportError(Exception):
    """Nothing can be handed over; the message says why, in words for the newsroom."""


class SendersFaultError(TransportError):
    """Our credentials, our quota, our reputation: no reader is to blame, a human must look."""


class UnreachableError(TransportError):
    """Whoever takes our mail does not at the moment, from nobody. `rest`: how long they asked."""

    def __init__(self, words: str, rest: timedelta | None = None) -> None:
        super().__init__(words)
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Message:
    """A wording, and the reader it is to be filled for."""

    mailing: Mailing
    reader: Reader
    campaign_id: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message: `status` None is a deferral."""

    reader: Reader
    status: Delivery.Status | None
    code: str = ""
    text: str = ""
    provider_id: str = ""
    rest: timedelta | None = None


class Transport(Protocol):
    """How mail leaves. One belongs to one thread, and keeps its connection until closed."""

    # How many readers are with it at once: what a crash leaves uncertain, at most.
    in_hand: int

    def hand_over(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """An outcome for each message, in any order.

        It takes the next message only when it is about to hand it over, so that whoever
        provides them can stop. Raises TransportError when it can go on with none of the rest;
        whatever has no outcome then was not handed over.
        """
        ...

    def close(self) -> None: ...


def sent(reader: Reader, provider_id: str = "") -> Outcome:
    return Outcome(reader, Delivery.Status.SENT, provider_id=provider_id)


def unwritable(reader: Reader, error: AddressError) -> Outcome:
    """An address that no header can hold is that reader's failure, and stops nobody else."""
    return Outcome(reader, Delivery.Status.FAILED, "address", str(error))


def judged(
    fault: Fault, reader: Reader, code: str, text: str, rest: timedelta | None = None
) -> Outcome:
    """What an answer comes to for this reader. Raises TransportError where it is about all."""
    words = f"{code} {text}".strip()
    match fault:
        case Fault.SENDER:
            raise SendersFaultError(words)
        case Fault.EVERYBODY:
            raise UnreachableError(words, rest)
        case Fault.RECIPIENT:
            return Outcome(reader, Delivery.Status.FAILED, code, text)
        case Fault.PROVIDER:
            return Outcome(reader, None, code, text, rest=rest)
        case Fault.UNKNOWN:
            return Outcome(reader, Delivery.Status.UNCERTAIN, code, text)
