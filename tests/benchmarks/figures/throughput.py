"""How fast it goes out."""

from collections.abc import Iterator

from tests.benchmarks.report import Row, compared
from tests.benchmarks.workbench import (
    Workbench,
    bare,
    bare_to_postfix,
    on_postgres,
    sent_to_postfix,
)

_READERS = 200_000


def measure(bench: Workbench) -> Iterator[Row]:
    """Messages a second, PostgreSQL, two workers of 16 connections, against bare senders"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    pairs = [(bare_to_postfix(newsroom), sent_to_postfix(newsroom)) for _run in range(bench.runs)]
    yield compared("throughput", "messages/s", pairs, "ratio >= 0.38")
    # To a sink that costs nearly nothing, bare senders gain the most: their all is sending.
    pairs = []
    shares = []
    for _run in range(bench.runs):
        baseline = bare(newsroom)
        run = on_postgres(newsroom)
        pairs.append((baseline, run.per_second))
        shares.append(run.sink_share * 100)
    yield compared("throughput: to our own sink", "messages/s", pairs, "value >= 8500")
    yield Row("throughput: our own sink's CPU", max(shares), "% of a core")
