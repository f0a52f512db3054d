"""A letter that somebody waits for, while a campaign goes out."""

import time
from collections.abc import Iterator

from tests.benchmarks.newsroom import Newsroom
from tests.benchmarks.processes import FailedError, wait_until
from tests.benchmarks.report import Row
from tests.benchmarks.signups import SignUp, percentile, sign_up
from tests.benchmarks.sink import Sink, sink
from tests.benchmarks.workbench import Workbench

_READERS = 500_000
_SIGN_UPS = 32
_BETWEEN = 0.5
_PATIENCE = 60


def measure(bench: Workbench) -> Iterator[Row]:
    """Seconds from a sign-up to its confirmation mail at the sink, while a campaign runs"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    waits = _waits(newsroom)
    yield Row("confirm: p50", percentile(waits, 50), "s")
    yield Row("confirm: p95", percentile(waits, 95), "s", must="value <= 2")


def _waits(newsroom: Newsroom) -> list[float]:
    with (
        sink() as mail,
        newsroom.web_server(),
        newsroom.urgent_worker(mail),
        newsroom.bulk_workers(mail),
    ):
        sign_up(newsroom.port)
        booked = newsroom.book()
        wait_until(lambda: newsroom.is_sending(booked.campaign), _PATIENCE, "it goes out")
        signed_up = list(_sign_ups(newsroom, booked.campaign))
        _wait_for_letters(mail, signed_up)
        newsroom.stop_sending(booked.campaign)
        at = mail.finish().at
    return [at[one.address] - one.began for one in signed_up]


def _sign_ups(newsroom: Newsroom, campaign: int) -> Iterator[SignUp]:
    """As long as the campaign runs."""
    for number in range(_SIGN_UPS):
        if not newsroom.is_sending(campaign):
            raise FailedError(f"The campaign was over after {number} sign-ups: take more readers.")
        yield sign_up(newsroom.port)
        time.sleep(_BETWEEN)


def _wait_for_letters(mail: Sink, signed_up: list[SignUp]) -> None:
    awaited = {one.address for one in signed_up}
    wait_until(
        lambda: awaited <= mail.arrived().at.keys(), _PATIENCE, "all confirmations come", pause=1
    )
