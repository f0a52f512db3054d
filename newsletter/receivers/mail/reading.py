"""What a mail that came back is, and which message of ours it is about."""

import enum
import hashlib
import logging
from datetime import UTC, datetime
from email.utils import parseaddr, parsedate_to_datetime
from typing import NamedTuple

from newsletter.receivers.mail import answers, arf, automatic, dsn, improper, ours
from newsletter.receivers.mail.dsn import Action
from newsletter.receivers.mail.ours import Ours
from newsletter.receivers.mail.parts import LARGEST, Part, in_lines, part_of, parts

logger = logging.getLogger(__name__)

# Where servers write whom they delivered to, the surest first.
_RECIPIENTS = [
    *["X-Original-To", "Delivered-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To"],
    *["X-Real-To", "X-Rcpt-To", "X-Forwarded-To", "Apparently-To", "To", "Cc"],
]
_ORIGINALS = {
    *["message/rfc822", "message/global", "text/rfc822-headers"],
    *["message/rfc822-headers", "message/global-headers"],
}


class Kind(enum.StrEnum):
    BOUNCE = "bounce"  # It could not be delivered, for good or after a long time.
    DELAY = "delay"  # It is late, and still tried.
    RECEIPT = "receipt"  # It was delivered.
    PASSED_ON = "passed-on"  # Nobody will tell us more of it.
    COMPLAINT = "complaint"  # A reader called it spam.
    OPT_OUT = "opt-out"  # A reader told the mailbox provider that they want no more.
    FEEDBACK = "feedback"  # Anything else a mailbox provider tells, "not spam" first of all.
    UNSUBSCRIBE = "unsubscribe"  # A reader's mail program wrote to the way out.
    AUTO_REPLY = "auto-reply"  # A machine answered for a person.
    OTHER = "other"  # A person wrote, or it is junk.
    UNREADABLE = "unreadable"  # Our own mistake: it should have been read.

    @property
    def is_report(self) -> bool:
        """Whether it is about a message that somebody sent."""
        return self not in {Kind.AUTO_REPLY, Kind.OTHER, Kind.UNREADABLE}


_OF_ACTION = {
    Action.FAILED: Kind.BOUNCE,
    Action.DELAYED: Kind.DELAY,
    Action.RELAYED: Kind.PASSED_ON,
    Action.EXPANDED: Kind.PASSED_ON,
    Action.DELIVERED: Kind.RECEIPT,
}


class Reading(NamedTuple):
    kind: Kind
    # Which message it is about; None if nothing in it proves that it is one of ours.
    ours: Ours | None = None
    # Whom that was sent to, as the message that came back says; blank if it does not.
    address: str = ""
    # What the mail server said, as in the ledger.
    code: str = ""
    text: str = ""
    # When, as the report says.
    at: datetime | None = None
    # The same for the same mail, however often it comes.
    digest: str = ""

    @property
    def is_report(self) -> bool:
        """Whether it tells us something of a message that we sent; all else is left alone."""
        return self.kind.is_report and self.ours is not None


def read(raw: bytes, recipient: str = "") -> Reading:
    """Never fails. `recipient`: whom the mail server took it for, if it told.

    Of what is longer than LARGEST, the beginning is enough.
    """
    try:
        return _read(in_lines(raw[:LARGEST]), recipient)
    # One mail that we cannot read must not hold up those behind it; it stays where it is.
    except Exception:
        logger.exception("A mail of %d bytes could not be read", len(raw))
        return Reading(Kind.UNREADABLE)


def _read(raw: bytes, recipient: str) -> Reading:
    found = parts(raw)
    recipients = [recipient, *found[0].fields(*_RECIPIENTS)]
    reading = _way_out(recipients) or _report(found) or _notice(raw, found)
    if reading.kind.is_report and reading.ours is None:
        # The envelope that it came back to goes before whatever else stands in it.
        envelope = " ".join(recipients).encode("ascii", "replace")
        reading = reading._replace(ours=ours.message(envelope + b"\n" + raw))
    return reading._replace(at=_date(found[0]), digest=_digest(found[0]))


def _way_out(recipients: list[str]) -> Reading | None:
    """Whatever else it is: the token alone decides (UNS-15)."""
    theirs = ours.way_out(recipients)
    return Reading(Kind.UNSUBSCRIBE, theirs) if theirs else None


def _report(found: list[Part]) -> Reading | None:
    """In one of the forms that machines write for machines."""
    if statuses := dsn.statuses(found):
        address = _original_recipient(found)
        status = dsn.of(address, statuses)
        kind = _OF_ACTION[status.action]
        return Reading(kind, address=address, code=status.code, text=status.text)
    feedback = arf.feedback(found)
    if feedback in arf.COMPLAINTS:
        return Reading(Kind.COMPLAINT, text=feedback)
    if feedback in arf.OPT_OUTS:
        return Reading(Kind.OPT_OUT, text=feedback)
    return Reading(Kind.FEEDBACK, text=feedback) if feedback else None


def _notice(raw: bytes, found: list[Part]) -> Reading:
    """In the form that people read, or none of these at all."""
    if improper.is_of_a_server(found[0]):
        late, failed = improper.failures(raw)
        if late or failed:
            code, text = answers.in_text(_words(found))
            return Reading(Kind.BOUNCE if failed else Kind.DELAY, code=code, text=text)
    return Reading(Kind.AUTO_REPLY if automatic.is_automatic(found) else Kind.OTHER)


def _words(found: list[Part]) -> str:
    """The first text in it: what comes later is what came back."""
    return next((part.text() for part in found if part.kind == "text/plain"), "")


def _original_recipient(found: list[Part]) -> str:
    """Whom the message that came back was sent to; blank if it is not there."""
    for part in found:
        if part.kind in _ORIGINALS:
            return _address(part_of(part.decoded().lstrip(b"\n")).field("To"))
    return ""


def _address(field: str) -> str:
    """Blank if there is none in it; comments within comments exhaust Python's parser."""
    try:
        address = parseaddr(field)[1]
    except RecursionError:
        return ""
    return address.lower() if "@" in address else ""


def _date(message: Part) -> datetime | None:
    try:
        written = parsedate_to_datetime(message.field("Date"))
    except (ValueError, OverflowError):
        return None
    return written if written.tzinfo else written.replace(tzinfo=UTC)


def _digest(message: Part) -> str:
    """By what no server on its way adds or changes."""
    known = message.field("Message-ID").encode() or message.body
    return hashlib.sha256(known).hexdigest()[:32]
