"""A newsroom on SQLite."""

from collections.abc import Iterator

from tests.benchmarks.newsroom import Newsroom
from tests.benchmarks.report import Row, compared
from tests.benchmarks.signups import percentile, stream
from tests.benchmarks.sink import postfix_sink, sink
from tests.benchmarks.workbench import (
    CONNECTIONS,
    Run,
    Workbench,
    bare,
    bare_to_postfix,
    booked_to_postfix,
    sent,
)

_READERS = 200_000
_BETWEEN_SIGN_UPS = 0.1


def measure(bench: Workbench) -> Iterator[Row]:
    """Messages a second on SQLite with one worker, and how long a sign-up takes meanwhile"""
    newsroom = bench.newsrooms.on_sqlite(bench.readers(_READERS))
    pairs = [
        (bare_to_postfix(newsroom), _sent_to_postfix_meanwhile(newsroom))
        for _run in range(bench.runs)
    ]
    yield compared("embedded", "messages/s", pairs, "ratio >= 0.35")
    pairs = []
    waits: list[float] = []
    for _run in range(bench.runs):
        baseline = bare(newsroom)
        run, waited = _sent_meanwhile(newsroom)
        pairs.append((baseline, run.per_second))
        waits += waited
    yield compared("embedded: to our own sink", "messages/s", pairs, "value >= 8000")
    yield Row("embedded: sign-up p50", percentile(waits, 50), "ms")
    yield Row("embedded: sign-up p99", percentile(waits, 99), "ms", must="value <= 50")


def _sent_to_postfix_meanwhile(newsroom: Newsroom) -> float:
    with (
        postfix_sink() as mail,
        newsroom.web_server(),
        newsroom.embedded_worker(mail),
        stream(newsroom.port, _BETWEEN_SIGN_UPS),
    ):
        return booked_to_postfix(newsroom)


def _sent_meanwhile(newsroom: Newsroom) -> tuple[Run, list[float]]:
    with (
        sink() as mail,
        newsroom.web_server(),
        newsroom.embedded_worker(mail) as worker,
        stream(newsroom.port, _BETWEEN_SIGN_UPS) as flowing,
    ):
        run = sent(newsroom, mail, worker, CONNECTIONS)
    began, ended = run.arrived.first, run.arrived.first + run.arrived.seconds
    meanwhile = [one for one in flowing.signed_up if began <= one.began <= ended]
    return run, [one.milliseconds for one in meanwhile]
