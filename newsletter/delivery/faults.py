"""Whose fault a refusal is. Codes mislead, so the rules are data: the first that fits decides."""

import enum
import re
from typing import NamedTuple


class Fault(enum.Enum):
    RECIPIENT = "recipient"  # This reader cannot be reached: failed.
    PROVIDER = "provider"  # Not now, for this reader: tried again.
    EVERYBODY = "everybody"  # Not now, for nobody: the batch rests.
    SENDER = "sender"  # We did something wrong: the campaign pauses.
    UNKNOWN = "unknown"  # It may have gone out: uncertain.


class Rule(NamedTuple):
    """Where in the conversation (blank: anywhere), and what the answer looks like."""

    step: str
    answer: re.Pattern[str]
    fault: Fault


def _rule(step: str, answer: str, fault: Fault) -> Rule:
    return Rule(step, re.compile(answer, re.IGNORECASE), fault)


# An answer of SMTP is "550 5.1.1 No such user". Steps: login (all before the first MAIL), mail,
# rcpt, data.
_SMTP = [
    # 421: the server is going away; whoever it said so to is no more to blame than the next.
    _rule("", r"421\b", Fault.EVERYBODY),
    _rule("login", r"4", Fault.EVERYBODY),
    _rule("login", r"", Fault.SENDER),
    # Asked to log in, or not allowed to relay: every reader would hear the same.
    _rule("", r"53[0458]\b", Fault.SENDER),
    _rule("", r"5.*relay(ing)? (access )?(is )?(denied|not (permitted|allowed))", Fault.SENDER),
    # Too large for the server: the message is the same for everybody.
    _rule("", r"55\d 5\.3\.4\b", Fault.SENDER),
    _rule("mail", r"4", Fault.EVERYBODY),
    _rule("mail", r"", Fault.SENDER),
    _rule("", r"4", Fault.PROVIDER),
    _rule("", r"5", Fault.RECIPIENT),
    _rule("", r"", Fault.PROVIDER),
]

# An answer of a provider's API is "429 Too Many Requests ...": its status, then its words. Amazon
# says its errors by name.
_HTTP = [
    _rule("", r"429\b|\d+ (TooManyRequests|Throttling)", Fault.EVERYBODY),
    _rule("", r"40[1234]\b", Fault.SENDER),
    _rule(
        "",
        r"\d+ (AccountSuspended|SendingPaused|MailFromDomainNotVerified|LimitExceeded)",
        Fault.SENDER,
    ),
    _rule("", r"503\b", Fault.EVERYBODY),
    # A gateway gave up waiting for what may well have happened behind it.
    _rule("", r"50[24]\b", Fault.UNKNOWN),
    _rule("", r"5", Fault.PROVIDER),
    _rule("", r"4", Fault.RECIPIENT),
    # A success that cannot be read.
    _rule("", r"", Fault.UNKNOWN),
]


def of_smtp(step: str, code: str, text: str) -> Fault:
    return _first(_SMTP, step, code, text)


def of_http(code: str, text: str) -> Fault:
    return _first(_HTTP, "", code, text)


def _first(rules: list[Rule], step: str, code: str, text: str) -> Fault:
    answer = f"{code} {text}"
    return next(
        rule.fault for rule in rules if rule.step in {"", step} and rule.answer.match(answer)
    )
