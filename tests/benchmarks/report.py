"""What was measured, and whether it is what it must be: as a table and as JSON."""

import json
import operator
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median

from tests.benchmarks import machine

_COMPARISONS = {"<=": operator.le, ">=": operator.ge}
_COLUMNS = ["name", "value", "unit", "baseline", "ratio", "must", "ok"]


@dataclass(frozen=True)
class Row:
    """One figure. `must` is nothing, or like "ratio <= 0.5" or "value <= 150"."""

    name: str
    # None: it could not be measured.
    value: float | None
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    must: str = ""

    @property
    def ok(self) -> bool:
        if self.value is None or not self.must:
            return self.value is not None
        what, sign, limit = self.must.split()
        return bool(_COMPARISONS[sign](getattr(self, what), float(limit)))


def compared(name: str, unit: str, pairs: Iterable[tuple[float, float]], must: str) -> Row:
    """Medians over (baseline, value) of runs that took turns."""
    baselines, values = zip(*pairs, strict=True)
    ratios = [value / baseline for baseline, value in zip(baselines, values, strict=True)]
    return Row(name, median(values), unit, median(baselines), median(ratios), must)


def as_json(rows: list[Row]) -> str:
    return json.dumps(
        {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine.described(),
            "versions": machine.versions(),
            "figures": [asdict(row) | {"ok": row.ok} for row in rows],
        },
        indent=2,
    )


def as_table(rows: list[Row]) -> str:
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    about = machine.described() | machine.versions()
    return "\n".join([", ".join(f"{name} {what}" for name, what in about.items()), "", *lines])


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        _number(row.value),
        row.unit,
        _number(row.baseline),
        _number(row.ratio),
        row.must,
        "ok" if row.ok else "MISSED",
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
