"""How fast it goes out."""

from collections.abc import Iterator

from tests.benchmarks.report import Row, compared
from tests.benchmarks.workbench import Workbench, bare, on_postgres

_READERS = 200_000


def measure(bench: Workbench) -> Iterator[Row]:
    """Messages a second, PostgreSQL, two workers of 16 connections, against bare senders"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    pairs = []
    shares = []
    for _run in range(bench.runs):
        baseline = bare(newsroom)
        run = on_postgres(newsroom)
        pairs.append((baseline, run.per_second))
        shares.append(run.sink_share * 100)
    yield compared("throughput", "messages/s", pairs, "ratio >= 0.38")
    yield Row("throughput: the sink's CPU", max(shares), "% of a core")
