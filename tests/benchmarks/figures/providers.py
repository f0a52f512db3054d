"""Providers' APIs."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

from tests.benchmarks.newsroom import Newsroom
from tests.benchmarks.processes import FailedError, running, say
from tests.benchmarks.report import Row, compared
from tests.benchmarks.workbench import Workbench
from tests.providers import APIS

_READERS = 10_000
# One by one, so many are enough to see how long one takes.
_ALONE = 300
# How many readers a call takes, by the providers' documentation.
_LIMITS = {
    "mailgun": 1000,
    "postmark": 500,
    "brevo": 1000,
    "sendgrid": 1000,
    "mailjet": 50,
    "sparkpost": 1000,
    "resend": 100,
    "amazon-ses": 50,
}


class _Sent(NamedTuple):
    per_second: float
    cpu_microseconds: float
    calls: int


def measure(bench: Workbench) -> Iterator[Row]:
    """Readers a second of one worker, and its calls, for each provider, against one by one"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    for name, limit in _LIMITS.items():
        pairs = []
        calls = []
        for _run in range(bench.runs):
            baseline = _sent(newsroom, name, "alone", _ALONE)
            run = _sent(newsroom, name, "engine", newsroom.readers)
            say(
                f"  {name}: {run.per_second:,.0f}/s in {run.calls} calls,"
                f" {run.cpu_microseconds:.0f} µs of CPU each, with planning"
            )
            pairs.append((baseline.per_second, run.per_second))
            calls.append(run.calls)
        fewest = -(-newsroom.readers // limit)
        yield compared(f"providers: {name}", "readers/s", pairs, "value >= 3000")
        yield Row(f"providers: {name}: calls", max(calls), "calls", must=f"value <= {fewest}")


def _sent(newsroom: Newsroom, name: str, way: str, readers: int) -> _Sent:
    """To a provider in a process of its own, which counts. Raises FailedError if one is missing."""
    with running([sys.executable, "-m", "tests.providers", name]) as provider:
        told = json.loads(provider.wait_until_it_says("}\n"))
        backend = f"anymail.backends.{APIS[name]().backend}.EmailBackend"
        said = newsroom.callers(way, backend, json.dumps(told["options"]), readers)
        with urllib.request.urlopen(f"{told['url']}/counts") as answer:
            counted = json.load(answer)
    if not said["readers"] == counted["readers"] == readers:
        raise FailedError(f"{name}: {counted['readers']} of {said['readers']} readers arrived.")
    cpu_microseconds = said["cpu_seconds"] / readers * 1e6
    return _Sent(readers / said["seconds"], cpu_microseconds, counted["calls"])
