"""Feedback reports (RFC 5965): what a reader told their mailbox provider about our mail."""

from collections.abc import Iterable

from newsletter.receivers.mail.parts import Part, groups

# A reader pressed "spam", or "phishing".
COMPLAINTS = {"abuse", "fraud"}
OPT_OUTS = {"opt-out", "opt-out-list"}


def feedback(parts: Iterable[Part]) -> str | None:
    """The Feedback-Type; None if there is no such report in the message.

    It must be there; what comes without is a complaint like nearly all others.
    """
    for part in parts:
        if part.kind == "message/feedback-report":
            fields = groups(part.decoded().decode("utf-8", "replace"))
            said = [group["Feedback-Type"] for group in fields if "Feedback-Type" in group]
            return said[0].strip().lower() if said else "abuse"
    return None
