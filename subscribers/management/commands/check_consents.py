"""Whether the evidence is what it was when it was sealed."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from subscribers.examination import Examination

# In JSON; the count says how many there are.
_MOST_LISTED = 1000


class Command(BaseCommand):
    help = (
        "Compare every consent with its seal: what was changed, removed or put in later is named, "
        "by number and field. Ends with 1 if anything is wrong. The hash of the last seal stands "
        "for all before it: note it elsewhere, and give it to a later check with --known."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")
        parser.add_argument(
            "--known",
            type=_seal,
            action="append",
            default=[],
            metavar="NUMBER:HASH",
            help="a seal as an earlier check named it; may be given several times",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        examination = Examination(dict(options["known"]))
        if options["json"]:
            self._write_json(examination)
        else:
            self._write(examination)
        if examination.findings:
            raise SystemExit(1)

    def _write(self, examination: Examination) -> None:
        for finding in examination.run():
            self.stdout.write(self.style.ERROR(finding.words))
        for line in _told(examination):
            self.stdout.write(line)

    def _write_json(self, examination: Examination) -> None:
        listed: list[dict[str, Any]] = []
        for finding in examination.run():
            if len(listed) < _MOST_LISTED:
                listed.append(finding._asdict())
        told = {
            "seals": examination.seals,
            "consents": examination.consents,
            "waiting": examination.waiting,
            "removed": dict(examination.removed),
            "last_seal": {"number": examination.head.number, "hash": examination.head.hash},
            "wrong": examination.findings,
            "findings": listed,
        }
        self.stdout.write(json.dumps(told, indent=2))


def _told(examination: Examination) -> Iterator[str]:
    yield (
        f"{examination.consents:,} consents under {examination.seals:,} seals; "
        f"{examination.waiting:,} wait for the next one."
    )
    for what, count in sorted(examination.removed.items()):
        yield f"Gone by the rules: {count:,} ({what})."
    if examination.seals:
        yield f"The last seal is {examination.head.number}:{examination.head.hash}"
    yield f"{examination.findings:,} wrong." if examination.findings else "Nothing is wrong."


def _seal(text: str) -> tuple[int, str]:
    number, _colon, known = text.partition(":")
    if not (number.isdecimal() and known):
        raise ArgumentTypeError(f"{text!r} is not like 12:0123abcd…")
    return int(number), known
