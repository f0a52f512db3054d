"""What a check found, and what to do about it."""

import enum
from collections.abc import Iterator
from typing import NamedTuple

from subscribers.name_servers import NoAnswerError


class Level(enum.StrEnum):
    OK = "ok"
    NOTE = "note"  # Worth knowing, nothing to do.
    WARNING = "warning"
    UNKNOWN = "unknown"  # Nobody could say: to be asked again.
    ERROR = "error"


class Record(NamedTuple):
    """What the DNS should say."""

    name: str
    kind: str
    value: str


class Finding(NamedTuple):
    """`check` names what was looked at and never changes: "spf.lookups"."""

    requirement: str
    check: str
    level: Level
    found: str
    remedy: str = ""
    record: Record | None = None


class About:
    """What is found about one requirement."""

    def __init__(self, requirement: str) -> None:
        self._requirement = requirement

    def ok(self, check: str, found: str) -> Finding:
        return Finding(self._requirement, check, Level.OK, found)

    def note(self, check: str, found: str) -> Finding:
        return Finding(self._requirement, check, Level.NOTE, found)

    def unknown(self, check: str, found: str, remedy: str = "Ask again later.") -> Finding:
        return Finding(self._requirement, check, Level.UNKNOWN, found, remedy)

    def warning(self, check: str, found: str, remedy: str, record: Record | None = None) -> Finding:
        return Finding(self._requirement, check, Level.WARNING, found, remedy, record)

    def error(self, check: str, found: str, remedy: str, record: Record | None = None) -> Finding:
        return Finding(self._requirement, check, Level.ERROR, found, remedy, record)

    def as_far_as_known(self, check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
        """These, up to where no name server answers: that is unknown, never wrong (DOM-11)."""
        try:
            yield from findings
        except NoAnswerError as error:
            yield self.unknown(check, f"No name server could say: {error}")


def worst(findings: list[Finding], *checks: str) -> Level | None:
    """Of those whose check begins so; None if there are none."""
    order = list(Level)
    levels = [finding.level for finding in findings if finding.check.startswith(checks)]
    return max(levels, key=order.index) if levels else None
