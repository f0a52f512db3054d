"""What the large mailbox providers ask of whoever sends much, summed up from the other findings."""

from collections.abc import Iterator
from typing import NamedTuple

from newsletter.domains.findings import About, Finding, Level, worst


class _House(NamedTuple):
    requirement: str
    check: str
    name: str
    # What is asked for: in words, and the checks that show it.
    wishes: dict[str, tuple[str, ...]]
    besides: str


_SPF = {"SPF": ("spf.",)}
_DKIM = {"DKIM": ("dkim.",)}
_DMARC = {"DMARC": ("dmarc.",), "alignment": ("alignment",)}
_ONE_CLICK = {"one-click unsubscribing": ("unsubscribe", "received.one-click")}

_HOUSES = [
    _House(
        "DOM-05",
        "mailboxes.gmail",
        "Gmail",
        {**_SPF, **_DKIM, **_DMARC, "PTR": ("ptr",), "TLS": ("tls",), **_ONE_CLICK},
        "Besides: complaints below 0.1 %, never 0.3 %; whoever once sent 5,000 a day stays bulk.",
    ),
    _House(
        "DOM-06",
        "mailboxes.yahoo",
        "Yahoo",
        {**_SPF, **_DKIM, **_DMARC, **_ONE_CLICK},
        "Besides: who unsubscribes is out within two days (here: at once); complaints below 0.3 %.",
    ),
    _House(
        "DOM-06",
        "mailboxes.microsoft",
        "Microsoft (outlook.com, hotmail.com)",
        {**_SPF, **_DKIM, **_DMARC},
        "From 5,000 a day on; else 550 5.7.515. Besides: a Reply-To that works.",
    ),
    _House(
        "DOM-06",
        "mailboxes.apple",
        "Apple (iCloud)",
        {**_SPF, **_DKIM, **_DMARC},
        "Besides: explicit consent, unsubscribing at once. It names no numbers.",
    ),
]
_WORDS = {Level.ERROR: "no", Level.UNKNOWN: "unknown", None: "unknown"}


def summaries(findings: list[Finding]) -> Iterator[Finding]:
    """DOM-05 and DOM-06: by house, which of its wishes are met."""
    for house in _HOUSES:
        met = {wish: worst(findings, *checks) for wish, checks in house.wishes.items()}
        words = ", ".join(f"{wish} {_WORDS.get(level, 'yes')}" for wish, level in met.items())
        yield _summary(house, list(met.values()), f"{house.name}: {words}. {house.besides}")


def _summary(house: _House, levels: list[Level | None], found: str) -> Finding:
    about = About(house.requirement)
    if Level.ERROR in levels:
        return about.error(house.check, found, "Mend what is named above.")
    if Level.UNKNOWN in levels or None in levels:
        return about.unknown(house.check, found, "See above for what is not known.")
    return about.ok(house.check, found)
