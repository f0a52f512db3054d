"""Which of our messages a mail is about: by the tokens in it, which nobody else can make.

Addresses prove nothing: anybody could report somebody else's as gone.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from subscribers import tokens
from subscribers.tokens import Purpose

# What stands before a token says what it may be. Relays rewrite addresses around it (SRS, BATV),
# and some encode the plus sign.
_MARKED = re.compile(
    rb"(?:\b([bu])(?:\+|%2B|=2B)|(<)|(/u/))([A-Za-z0-9]{22,120})(?![A-Za-z0-9])", re.ASCII
)
_PURPOSES = {
    b"b": [Purpose.BOUNCE],
    b"u": [Purpose.UNSUBSCRIBE],
    b"<": [Purpose.MESSAGE, Purpose.LETTER],
    b"/u/": [Purpose.UNSUBSCRIBE],
}
# One message of ours holds a dozen; a forger's ten thousand are not all tried.
_MOST_TRIED = 40


class Ours(NamedTuple):
    """A message that we sent, as its tokens tell. 0: not known, or there is none."""

    subscriber: int = 0
    campaign: int = 0
    mailing_list: int = 0
    letter: int = 0
    # Known by the link to leave alone, which stands in every copy that is forwarded.
    is_by_way_out: bool = False


def message(raw: bytes) -> Ours | None:
    """The one that these bytes are about; None if they hold no token of ours."""
    found = list(_tokens(raw))
    if not found:
        return None
    first = min(found, key=lambda one: one.is_by_way_out)
    # Only the way out names the list.
    of_list = [one for one in found if one.mailing_list and one.subscriber == first.subscriber]
    return first._replace(mailing_list=of_list[0].mailing_list) if of_list else first


def way_out(recipients: list[str]) -> Ours | None:
    """Whose subscription a mail to these addresses ends: they hold an unsubscribe token."""
    written = " ".join(recipients).encode("ascii", "replace")
    ways = [one for one in _tokens(written) if one.mailing_list]
    return ways[0] if ways else None


def _tokens(raw: bytes) -> Iterator[Ours]:
    """Of the message itself first: a Message-ID or an envelope, before links in the text."""
    whole = raw.replace(b"=\n", b"")
    marked = list(_MARKED.finditer(whole))[:_MOST_TRIED]
    for match in sorted(marked, key=lambda one: one[3] is not None):
        yield from _read(match[1] or match[2] or match[3], match[4].decode())


def _read(mark: bytes, token: str) -> Iterator[Ours]:
    for purpose in _PURPOSES[mark]:
        try:
            numbers = tokens.read(purpose, token)
        except tokens.BadTokenError:
            continue
        yield _ours(purpose, numbers)


def _ours(purpose: Purpose, numbers: tuple[int, ...]) -> Ours:
    match purpose, numbers:
        case ((Purpose.BOUNCE | Purpose.LETTER), (letter,)):
            return Ours(letter=letter)
        case ((Purpose.BOUNCE | Purpose.MESSAGE), (subscriber, campaign)):
            return Ours(subscriber, campaign)
        case Purpose.UNSUBSCRIBE, (subscriber, mailing_list, campaign):
            return Ours(subscriber, campaign, mailing_list, is_by_way_out=True)
    raise ValueError(f"{numbers} are not the numbers of a {purpose} token")
