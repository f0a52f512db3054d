"""A mail server that takes its time."""

from collections.abc import Iterator

from tests.benchmarks.report import Row, compared
from tests.benchmarks.workbench import Workbench, on_postgres

_READERS = 40_000
_DELAY = 20
_WORKERS = 2
_CONNECTIONS = 20


def measure(bench: Workbench) -> Iterator[Row]:
    """Messages a second to a server that answers after 20 ms, against connections / delay"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    at_best = _WORKERS * _CONNECTIONS / _DELAY * 1000
    runs = (on_postgres(newsroom, _CONNECTIONS, _DELAY) for _run in range(bench.runs))
    pairs = [(at_best, run.per_second) for run in runs]
    yield compared("latency", "messages/s", pairs, "ratio >= 0.85")
