"""What became of everybody after each thing that may break."""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.benchmarks.processes import FailedError, say
from tests.benchmarks.report import Row
from tests.benchmarks.workbench import Workbench
from tests.faults.office import BrokenPromiseError, Ground
from tests.faults.scenarios import SCENARIOS, Scale, Scenario

_READERS = 50_000


def measure(bench: Workbench) -> Iterator[Row]:
    """Who is lost, mailed twice or uncertain after each thing that may break"""
    scale = Scale(
        readers=bench.readers(_READERS), seconds=40, kills=20, outage=30, cuts=100, clicks=1000
    )
    with ExitStack() as stack:
        ground = Ground(scale.readers, stack)
        for name, scenario in SCENARIOS.items():
            say(f"  {name}: {scenario.__doc__}")
            yield from _rows(name, scenario, ground, scale)


def _rows(name: str, scenario: Scenario, ground: Ground, scale: Scale) -> Iterator[Row]:
    """All are tried, though one fails."""
    try:
        account = scenario(ground, scale)
        account.check_sum()
    except (BrokenPromiseError, FailedError) as error:
        say(f"  {name}: {error}")
        yield Row(name, None, "")
        return
    yield Row(f"{name}: lost", len(account.lost), "readers", must="value <= 0")
    yield Row(f"{name}: twice", len(account.twice), "readers", must="value <= 0")
    yield Row(f"{name}: unlisted", len(account.unlisted), "readers", must="value <= 0")
    allowed = f"value <= {account.allowed}"
    yield Row(f"{name}: uncertain", len(account.uncertain), "readers", must=allowed)
