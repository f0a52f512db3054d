"""The figures by name, in the order in which `all` measures them."""

from collections.abc import Callable, Iterable

from tests.benchmarks.figures import (
    bounces,
    confirm,
    cpu,
    embedded,
    faults,
    fill,
    growth,
    latency,
    providers,
    signup,
    start,
    throughput,
    webhooks,
)
from tests.benchmarks.report import Row
from tests.benchmarks.workbench import Workbench

type Figure = Callable[[Workbench], Iterable[Row]]

# The first line of each one's docstring says what it is.
FIGURES: dict[str, Figure] = {
    "fill": fill.measure,
    "cpu": cpu.measure,
    "throughput": throughput.measure,
    "embedded": embedded.measure,
    "latency": latency.measure,
    "confirm": confirm.measure,
    "signup": signup.measure,
    "start": start.measure,
    "growth": growth.measure,
    "providers": providers.measure,
    "bounces": bounces.measure,
    "webhooks": webhooks.measure,
    "faults": faults.measure,
}
