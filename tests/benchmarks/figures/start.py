"""How soon it begins."""

import time
from collections.abc import Iterator

from tests.benchmarks.newsroom import Newsroom
from tests.benchmarks.processes import say, wait_until
from tests.benchmarks.report import Row
from tests.benchmarks.sink import sink
from tests.benchmarks.workbench import Workbench

_READERS = 1_000_000
# It depends on how long ago the last heartbeat was: the worst of several moments counts.
_MOMENTS = [2.0, 2.2, 2.4, 2.6, 2.8]
_PATIENCE = 120


def measure(bench: Workbench) -> Iterator[Row]:
    """Seconds from due to the first message, and until all of the audience is planned"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    first, planned = zip(*(_started(newsroom, within) for within in _MOMENTS), strict=True)
    yield Row("start: due to first message", max(first), "s", must="value <= 1.5")
    yield Row("start: due to planned", max(planned), "s", must="value <= 5")


def _started(newsroom: Newsroom, within: float) -> tuple[float, float]:
    with sink() as mail, newsroom.urgent_worker(mail), newsroom.bulk_workers(mail):
        booked = newsroom.book(within)
        planned_at = _moment_of_planning(newsroom, booked.campaign)
        wait_until(mail.is_reached, _PATIENCE, "the first message comes")
        newsroom.stop_sending(booked.campaign)
        arrived = mail.finish()
    first, planned = arrived.first - booked.due, planned_at - booked.due
    say(f"  first message after {first:.2f} s, planned after {planned:.2f} s")
    return first, planned


def _moment_of_planning(newsroom: Newsroom, campaign: int) -> float:
    wait_until(lambda: newsroom.is_planned(campaign), _PATIENCE, "it is planned", pause=0.01)
    return time.monotonic()
