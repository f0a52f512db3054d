"""What a message costs."""

from collections.abc import Iterator

from tests.benchmarks.processes import say
from tests.benchmarks.report import Row, compared
from tests.benchmarks.sink import sink
from tests.benchmarks.workbench import Workbench, on_postgres

_READERS = 200_000
_BY_DJANGO = 500


def measure(bench: Workbench) -> Iterator[Row]:
    """CPU of the workers for one message, against Django's way over one SMTP connection"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    pairs = []
    for _run in range(bench.runs):
        with sink() as mail:
            by_django = newsroom.cost(mail, "django", _BY_DJANGO)
        say(f"  Django's way: {by_django:.0f} µs of CPU each")
        pairs.append((by_django, on_postgres(newsroom).cpu_microseconds))
    yield compared("cpu", "µs a message", pairs, f"ratio <= {1 / 30:.4f}")
