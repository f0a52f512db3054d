"""What figures are made of: a campaign sent from first to last, and what it is compared with."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.newsroom import Newsroom, Newsrooms
from tests.benchmarks.processes import Program, say
from tests.benchmarks.sink import Arrived, PostfixSink, Sink, postfix_sink, sink

_BARE_SENDERS = 2
# Some seconds' worth: with fewer it would be over before both are at it.
_BARE_MESSAGES = 200_000
CONNECTIONS = 16
# Readers for each connection: what a crash leaves uncertain, at most.
_IN_HAND = 4


@dataclass(frozen=True)
class Workbench:
    """What was asked for, and the newsrooms that are open."""

    newsrooms: Newsrooms
    # Instead of as many as the figure says.
    asked: int | None = None
    # How often each is measured, in turns with what it is compared with.
    runs: int = 3

    def readers(self, usual: int) -> int:
        return self.asked or usual


@dataclass(frozen=True)
class Run:
    """One campaign that everybody got exactly once."""

    arrived: Arrived
    # Of all processes of the workers, from before it was booked until it was sent.
    cpu_seconds: float
    peak_megabytes: float
    # Of one core, while mail came.
    sink_share: float

    @property
    def per_second(self) -> float:
        return self.arrived.per_second

    @property
    def cpu_microseconds(self) -> float:
        """For each message."""
        return self.cpu_seconds / len(self.arrived.moments) * 1e6


def on_postgres(newsroom: Newsroom, connections: int = CONNECTIONS, delay: float = 0) -> Run:
    """A campaign to all readers, sent by two worker processes."""
    with sink(delay) as mail, newsroom.bulk_workers(mail, connections) as workers:
        return sent(newsroom, mail, workers, connections)


def sent(newsroom: Newsroom, mail: Sink, workers: Program, connections: int) -> Run:
    """A campaign to all readers, by workers that run already with so many connections each."""
    cpu = workers.cpu_seconds()
    booked = newsroom.book()
    newsroom.wait_until_sent(booked.campaign, connections * _IN_HAND)
    cpu = workers.cpu_seconds() - cpu
    peak = workers.peak_megabytes()
    sink_cpu = mail.cpu_seconds()
    arrived = mail.finish().to("reader")
    arrived.check(newsroom.readers)
    run = Run(arrived, cpu, peak, sink_cpu / arrived.seconds)
    say(
        f"  sent: {run.per_second:,.0f}/s, {run.cpu_microseconds:.0f} µs of CPU each,"
        f" {peak:.0f} MB at most, the sink {run.sink_share:.0%} of a core"
    )
    return run


def bare(newsroom: Newsroom) -> float:
    """Messages a second of two pipelined senders that ask no database."""
    with sink() as mail:
        _send_bare(newsroom, mail)
        sink_cpu = mail.cpu_seconds()
        arrived = mail.finish()
        arrived.check(_BARE_MESSAGES)
        sink_share = sink_cpu / arrived.seconds
        say(f"  bare: {arrived.per_second:,.0f}/s, the sink {sink_share:.0%} of a core")
        return arrived.per_second


def bare_to_postfix(newsroom: Newsroom) -> float:
    """The same to Postfix's smtp-sink."""
    with postfix_sink() as mail:
        per_second = _BARE_MESSAGES / _send_bare(newsroom, mail)
        sink_share = mail.cpu_seconds() * per_second / _BARE_MESSAGES
    say(f"  bare to smtp-sink: {per_second:,.0f}/s, the sink {sink_share:.0%} of a core")
    return per_second


def sent_to_postfix(newsroom: Newsroom) -> float:
    """Messages a second of two worker processes to Postfix's smtp-sink, by the ledger."""
    with postfix_sink() as mail, newsroom.bulk_workers(mail, CONNECTIONS):
        return booked_to_postfix(newsroom)


def booked_to_postfix(newsroom: Newsroom) -> float:
    """The same by workers that run already."""
    booked = newsroom.book()
    newsroom.wait_until_sent(booked.campaign, CONNECTIONS * _IN_HAND)
    per_second = newsroom.per_second(booked.campaign)
    say(f"  sent to smtp-sink: {per_second:,.0f}/s")
    return per_second


def _send_bare(newsroom: Newsroom, mail: Sink | PostfixSink) -> float:
    """How many seconds it took."""
    with ExitStack() as stack:
        share = _BARE_MESSAGES // _BARE_SENDERS
        senders = [
            stack.enter_context(newsroom.bare_sender(mail, CONNECTIONS, number * share, share))
            for number in range(_BARE_SENDERS)
        ]
        for sender in senders:
            sender.wait_until_it_says("ready")
        began = time.monotonic()
        for sender in senders:
            sender.tell("go")
        for sender in senders:
            sender.result(newsroom.patience)
        return time.monotonic() - began


@contextlib.contextmanager
def sample(newsroom: Newsroom) -> Iterator[Path]:
    """A file with one reader's message."""
    with tempfile.NamedTemporaryFile() as file:
        newsroom.desk("sample", file.name)
        yield Path(file.name)
