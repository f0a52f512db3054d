"""What a server said, in one form whoever tells it: "550 5.1.1" and words, as in the ledger."""

import re

_REPLY = re.compile(
    r"\s*(?:[A-Za-z][\w.-]*;)?\s*(?P<reply>[245]\d\d)?[ :-]*"
    r"#?(?P<enhanced>[245]\.\d{1,3}\.\d{1,3})?[ :-]*(?P<words>.*)",
    re.DOTALL,
)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
# Somewhere in a text for people: "550 5.1.1 ...", "550-5.1.1", or qmail's "(#5.1.1)".
_IN_TEXT = re.compile(
    r"(?<![\d.])[45]\d\d[ :-]{1,2}#?(?:[45]\.\d{1,3}\.\d{1,3}|(?=[A-Za-z<(]))[^\n]*"
)
_QMAIL = re.compile(r"[^\n]*\(#(?P<enhanced>[45]\.\d{1,3}\.\d{1,3})\)")
_LONGEST = 500


def of_status(status: str, diagnostic: str) -> tuple[str, str]:
    """Code and words of a report's Status and Diagnostic-Code (RFC 3464, 2.3.4 and 2.3.6).

    What the last server said itself goes before what another made of it.
    """
    said = _REPLY.match(" ".join(diagnostic.replace("\0", "").split()))
    reply, enhanced, words = said.groups("") if said else ("", "", diagnostic)
    own = _STATUS.search(status)
    # X.0.0 says no more than its first digit.
    if not enhanced and own and not (reply and own[0].endswith(".0.0")):
        enhanced = own[0]
    return _code(reply, enhanced), words[:_LONGEST]


def in_text(text: str) -> tuple[str, str]:
    """Of a notice written for people; blanks if no server is quoted in it."""
    if found := _IN_TEXT.search(text):
        return of_status("", found[0])
    if found := _QMAIL.search(text):
        return _code("", found["enhanced"]), found[0].strip()[:_LONGEST]
    return "", ""


def _code(reply: str, enhanced: str) -> str:
    """Servers give up on what is 4.x.x with a reply of 550: the finer code is the truer."""
    if enhanced and reply[:1] != enhanced[0]:
        reply = f"{enhanced[0]}50"
    return f"{reply} {enhanced}".strip()
