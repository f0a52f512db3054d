"""A mailbox of what came back, taken in."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.newsroom import Newsroom
from tests.benchmarks.processes import FailedError, say
from tests.benchmarks.report import Row
from tests.benchmarks.workbench import Workbench

_MESSAGES = 10_000


class _Run(NamedTuple):
    per_second: float
    peak_megabytes: float


def measure(bench: Workbench) -> Iterator[Row]:
    """Messages a second that `receive_bounces` takes in from a Maildir, on PostgreSQL"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_MESSAGES))
    runs = [_received(newsroom) for _run in range(bench.runs)]
    speed = median(run.per_second for run in runs)
    yield Row("bounces", speed, "messages/s", must="value >= 200")
    peak = max(run.peak_megabytes for run in runs)
    yield Row("bounces: memory", peak, "MB", must="value <= 150")


def _received(newsroom: Newsroom) -> _Run:
    """From the start of the program to its end."""
    with tempfile.TemporaryDirectory(prefix="broadsheet-bench-") as folder:
        path = Path(folder) / "mail"
        taken = json.loads(newsroom.returned("fill", str(path), str(newsroom.readers)))
        before = json.loads(newsroom.returned("count"))
        began = time.monotonic()
        with newsroom.receiving(path) as program:
            peak = 0.0
            while not program.has_ended:
                peak = max(peak, program.peak_megabytes())
                time.sleep(0.02)
            seconds = time.monotonic() - began
            said = json.loads(program.said().splitlines()[-1])
        _check(path, said, taken, newsroom.readers)
        learnt = json.loads(newsroom.returned("count"))
    per_second = newsroom.readers / seconds
    say(f"  received: {per_second:,.0f}/s, {peak:.0f} MB at most, {said}")
    # Who left in an earlier run cannot leave again.
    grown = [name for name, count in learnt.items() if count > before[name]]
    if not {"events", "bounces"} <= set(grown) or not learnt["left"]:
        raise FailedError(f"Nothing was learnt: {learnt}")
    return _Run(per_second, peak)


def _check(folder: Path, said: dict[str, int], taken: int, messages: int) -> None:
    """Each was looked at once, and is where it belongs."""
    if sum(said.values()) != messages:
        raise FailedError(f"It says {said}, of {messages} messages.")
    read = len(list((folder / "cur").iterdir()))
    left = len(list((folder / "new").iterdir()))
    if (read, left) != (taken, messages - taken):
        raise FailedError(f"{read} are marked read and {left} are not; it should be {taken}.")
