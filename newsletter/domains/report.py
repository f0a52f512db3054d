"""Findings, for a person to read, and for a program."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from newsletter.domains.findings import Finding, Level, Record
from newsletter.domains.sendings import Sending

_TITLES = {
    "DOM-01": "SPF: who may send in the name of the envelope",
    "DOM-02": "DKIM: the keys that signatures are verified with",
    "DOM-03": "DMARC: the policy",
    "DOM-04": "Alignment: what was proved is what readers see",
    "DOM-05": "The mail server, and Gmail",
    "DOM-06": "Yahoo, Microsoft, Apple",
    "DOM-07": "Replies, bounces, unsubscribing",
    "DOM-08": "The message as it arrived",
    "DOM-09": "Besides",
    "DOM-10": "Forwarding",
    "UNS-05": "One-click unsubscribing, signed",
}
# What a string of a TXT record holds (RFC 1035 section 3.3).
_STRING = 255
# Grows when something is renamed or taken out, not when something is added.
_VERSION = 1


def as_text(sending: Sending, findings: list[Finding]) -> Iterator[str]:
    """Line by line."""
    by = sending.provider.name if sending.provider else sending.host
    yield f"{sending.domain}, bounces to {sending.envelope_domain}, mailer “{sending.mailer}”" + (
        f" ({by})" if by else ""
    )
    for requirement, found in groupby(findings, key=lambda finding: finding.requirement):
        yield ""
        yield f"{requirement}  {_TITLES[requirement]}"
        for finding in found:
            yield from _lines(finding)
    yield ""
    yield _total(findings)


def as_json(sending: Sending, findings: list[Finding]) -> dict[str, Any]:
    return {
        "domain": sending.domain,
        "envelope_domain": sending.envelope_domain,
        "mailer": sending.mailer,
        "host": sending.host,
        "provider": sending.provider.name if sending.provider else "",
        "counts": _counts(findings),
        "findings": [_finding(finding) for finding in findings],
    }


def document(reports: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": _VERSION, "sendings": reports}


def zone_line(record: Record) -> str:
    """As it stands in a zone file; a long text in as many strings as it needs."""
    value = record.value
    if record.kind == "TXT":
        pieces = [value[start : start + _STRING] for start in range(0, len(value), _STRING)]
        value = " ".join(f'"{piece}"' for piece in pieces)
    return f"{record.name}. {record.kind} {value}"


def _lines(finding: Finding) -> Iterator[str]:
    level = finding.level.upper() if finding.level is Level.ERROR else finding.level
    yield f"  {level:<8} {finding.found}"
    if finding.remedy:
        yield f"           → {finding.remedy}"
    if finding.record:
        yield f"             {zone_line(finding.record)}"


def _total(findings: list[Finding]) -> str:
    counts = _counts(findings)
    words = [f"{counts[level]} {level}" for level in [Level.ERROR, Level.WARNING, Level.UNKNOWN]]
    return f"{', '.join(words)}."


def _counts(findings: list[Finding]) -> dict[str, int]:
    levels = [finding.level for finding in findings]
    return {str(level): levels.count(level) for level in Level}


def _finding(finding: Finding) -> dict[str, Any]:
    record = finding.record
    return {
        "requirement": finding.requirement,
        "check": finding.check,
        "level": str(finding.level),
        "found": finding.found,
        "remedy": finding.remedy,
        "record": {**record._asdict(), "zone_line": zone_line(record)} if record else None,
    }
