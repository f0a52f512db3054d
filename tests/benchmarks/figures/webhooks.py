"""A provider that reports, while the next campaign goes out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.newsroom import Newsroom
from tests.benchmarks.processes import FailedError, Program, say, wait_until
from tests.benchmarks.report import Row
from tests.benchmarks.signups import percentile
from tests.benchmarks.sink import sink
from tests.benchmarks.workbench import Workbench

_READERS = 500_000
# As many at once as the web server has threads.
_CONNECTIONS = 8
# Of the readers, how many are reported on: it must be over before the campaign is.
_REPORTED = 0.04
# The first make the server load what all need.
_FIRST = 50
_KEY = "key-of-the-benchmark"
_PATIENCE = 60


@dataclass(frozen=True)
class _Run:
    per_second: float
    milliseconds: list[float]
    cpu_microseconds: float


def measure(bench: Workbench) -> Iterator[Row]:
    """Reports verified, stored and applied a second on PostgreSQL, while a campaign runs"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    run = _run(newsroom)
    yield Row("webhooks", run.per_second, "reports/s", must="value >= 500")
    yield Row("webhooks: p50", percentile(run.milliseconds, 50), "ms")
    yield Row("webhooks: p99", percentile(run.milliseconds, 99), "ms", must="value <= 100")
    yield Row("webhooks: CPU of the web server", run.cpu_microseconds, "µs/report")


def _run(newsroom: Newsroom) -> _Run:
    numbers = range(_FIRST, _FIRST + max(int(newsroom.readers * _REPORTED), 1000))
    campaign = int(newsroom.desk("hand-over"))
    with (
        sink() as mail,
        newsroom.web_server(ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY=_KEY) as server,
        newsroom.bulk_workers(mail),
    ):
        _reported(newsroom, server, range(1, _FIRST), campaign)
        booked = newsroom.book()
        wait_until(lambda: newsroom.is_sending(booked.campaign), _PATIENCE, "it goes out")
        run = _reported(newsroom, server, numbers, campaign)
        if not newsroom.is_sending(booked.campaign):
            raise FailedError("The campaign was over before the reports: take more readers.")
        newsroom.stop_sending(booked.campaign)
    _check(newsroom, campaign, numbers[-1])
    return run


def _reported(newsroom: Newsroom, server: Program, numbers: range, campaign: int) -> _Run:
    with newsroom.reporter(_CONNECTIONS, numbers, campaign, _KEY) as reporter:
        reporter.wait_until_it_says("ready")
        cpu = server.cpu_seconds()
        reporter.tell("go")
        said = json.loads(reporter.result(newsroom.patience).splitlines()[-1])
        cpu = server.cpu_seconds() - cpu
    run = _Run(
        len(numbers) / said["seconds"],
        [wait * 1000 for wait in said["waits"]],
        cpu / len(numbers) * 1e6,
    )
    say(
        f"  {run.per_second:,.0f} reports/s, {run.cpu_microseconds:.0f} µs of the server's CPU each"
    )
    return run


def _check(newsroom: Newsroom, campaign: int, reports: int) -> None:
    """Each is stored once, and what follows from it was done."""
    applied = f"newsletter_event WHERE campaign_id = {campaign} AND applied_at IS NOT NULL"
    (found,) = newsroom.ask(f"SELECT count(*) FROM {applied}")
    complained = "subscribers_suppression WHERE reason = 'complained'"
    (suppressed,) = newsroom.ask(f"SELECT count(*) FROM {complained}")
    complaints = reports // 1000 + (reports % 1000 >= 1)
    if (found, suppressed) != (reports, complaints):
        raise FailedError(f"{found} of {reports} are applied, {suppressed} of {complaints} heeded.")
