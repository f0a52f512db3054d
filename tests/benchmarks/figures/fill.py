"""Filling a compiled message."""

from collections.abc import Iterator
from statistics import median

from tests.benchmarks.report import Row
from tests.benchmarks.sink import sink
from tests.benchmarks.workbench import Workbench, sample

_READERS = 20_000


def measure(bench: Workbench) -> Iterator[Row]:
    """CPU for filling one message, ten personal links in each of its parts"""
    readers = bench.readers(_READERS)
    newsroom = bench.newsrooms.on_postgres(readers)
    with sink() as unused:
        costs = [newsroom.cost(unused, "fill", readers) for _run in range(bench.runs)]
    yield Row("fill", median(costs), "µs a message")
    with sample(newsroom) as message:
        yield Row("fill: size of a message", message.stat().st_size, "bytes")
