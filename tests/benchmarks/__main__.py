"""`bin/bench NAME [--readers N] [--runs N] [--json]`: measure, and say whether it is enough."""

import argparse
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from tests import services
from tests.benchmarks import report
from tests.benchmarks.figures import FIGURES
from tests.benchmarks.newsroom import Newsrooms
from tests.benchmarks.processes import FailedError, say
from tests.benchmarks.report import Row
from tests.benchmarks.workbench import Workbench

MISSED, FAILED = 1, 2


def main() -> int:
    options = _options()
    if not options.name:
        print(_listed())
        return 0
    # So that whatever was started is ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED))
    try:
        rows = list(_measured(options))
    except services.MissingProgramError as missing:
        say(str(missing))
        return FAILED
    print(report.as_json(rows) if options.json else report.as_table(rows))
    return 0 if all(row.ok for row in rows) else MISSED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench", description="Measure the delivery engine.")
    parser.add_argument("name", nargs="?", choices=[*FIGURES, "all"], help="without one: the list")
    parser.add_argument("--readers", type=int, help="instead of as many as the figure is about")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turns (3)")
    parser.add_argument("--json", action="store_true", help="for programs, on standard output")
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> Iterable[Row]:
    names = FIGURES if options.name == "all" else [options.name]
    with ExitStack() as stack:
        bench = Workbench(Newsrooms(stack), options.readers, options.runs)
        for name in names:
            say(f"{name}: {_about(name)}")
            yield from _rows(name, bench)


def _rows(name: str, bench: Workbench) -> Iterator[Row]:
    """What came before an error counts, and what comes after is measured as well."""
    try:
        yield from FIGURES[name](bench)
    except FailedError as error:
        say(f"{name} could not be measured. {error}")
        yield Row(name, None, "")


def _listed() -> str:
    return "\n".join(
        [
            *(f"{name:12}{_about(name)}" for name in FIGURES),
            f"{'all':12}One after the other",
        ]
    )


def _about(name: str) -> str:
    return (FIGURES[name].__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
