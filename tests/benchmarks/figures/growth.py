"""Ten times the readers."""

from collections.abc import Iterator

from tests.benchmarks.report import Row, compared
from tests.benchmarks.workbench import Run, Workbench, on_postgres

_READERS = 1_000_000


def measure(bench: Workbench) -> Iterator[Row]:
    """Time for one message and a worker's peak memory, against a tenth of the readers"""
    many = bench.readers(_READERS)
    large = bench.newsrooms.on_postgres(many)
    small = bench.newsrooms.on_postgres(many // 10)
    pairs = [(on_postgres(small), on_postgres(large)) for _run in range(bench.runs)]
    times = [(_microseconds(few), _microseconds(many)) for few, many in pairs]
    yield compared("growth: time", "µs a message", times, "ratio <= 1.15")
    peaks = [(few.peak_megabytes, many.peak_megabytes) for few, many in pairs]
    yield compared("growth: a worker's peak memory", "MB", peaks, "ratio <= 1.1")
    yield Row("growth: peak memory", max(max(pair) for pair in peaks), "MB", must="value <= 150")


def _microseconds(run: Run) -> float:
    return 1e6 / run.per_second
