"""What a server answered, in the words of each provider; and whose fault they take it for.

Looked up in `esp_event`, the provider's own report, where Anymail's normal form says less.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from newsletter.faults import Fault


class Answer(NamedTuple):
    """As Report has it."""

    code: str = ""
    text: str = ""
    fault: Fault = Fault.UNKNOWN


def answer_in(provider: str, event: Any) -> Answer:
    """Of an AnymailTrackingEvent that says that something did not arrive."""
    found = _ANSWERS[provider](event.esp_event) if provider in _ANSWERS else Answer()
    text = event.mta_response or found.text or event.description or ""
    fault = found.fault if found.fault is not Fault.UNKNOWN else _REASONS.get(event.reject_reason)
    return Answer(found.code, text, fault or Fault.UNKNOWN)


_POSTMARK = {
    "HardBounce": Fault.NO_MAILBOX,
    "BadEmailAddress": Fault.RECIPIENT,
    "SoftBounce": Fault.PROVIDER,
    "VirusNotification": Fault.POLICY,
}
_BREVO = {
    "hard_bounce": Fault.NO_MAILBOX,
    "invalid_email": Fault.NO_MAILBOX,
    "soft_bounce": Fault.PROVIDER,
}
_MAILJET_GONE = {"user unknown", "mailbox inactive"}
_MAILJET_OURS = {"content", "spam", "mailjet", "system", "policy"}
# By its classes of bounces.
_SPARKPOST = (
    dict.fromkeys(["10", "30"], Fault.NO_MAILBOX)
    | dict.fromkeys(["20", "21", "22", "23", "24", "40", "70"], Fault.RECIPIENT)
    | dict.fromkeys(["25", "50", "51", "52", "53", "54"], Fault.POLICY)
)
_AMAZON_OURS = {"MessageTooLarge", "ContentRejected", "AttachmentRejected"}
_AMAZON_GONE = {"General", "NoEmail"}
# Anymail's reasons. Its "bounced" may be anything; on a list of what bounced before, the address
# is taken for one that cannot be reached at the moment.
_REASONS = {
    "blocked": Fault.POLICY,
    "spam": Fault.POLICY,
    "unsubscribed": Fault.POLICY,
    "timed_out": Fault.PROVIDER,
    "bounced": Fault.RECIPIENT,
    "invalid": Fault.RECIPIENT,
}


def _mailgun(told: dict[str, Any]) -> Answer:
    event = told.get("event-data", {})
    status = event.get("delivery-status") or {}
    code = f"{status.get('code', '')} {status.get('enhanced-code', '')}".strip()
    # It did not even try, as it had bounced, complained or left before.
    is_suppressed = str(event.get("reason", "")).startswith("suppress-")
    if not is_suppressed:
        return Answer(code)
    fault = Fault.RECIPIENT if event["reason"] == "suppress-bounce" else Fault.POLICY
    return Answer(fault=fault)


def _postmark(told: dict[str, Any]) -> Answer:
    if told.get("RecordType") == "SubscriptionChange":
        # Says that it will not be tried again; the bounce itself says why.
        return Answer(fault=Fault.POLICY)
    return Answer(fault=_POSTMARK.get(told.get("Type", ""), Fault.UNKNOWN))


def _brevo(told: dict[str, Any]) -> Answer:
    return Answer(fault=_BREVO.get(told.get("event", ""), Fault.UNKNOWN))


def _sendgrid(told: dict[str, Any]) -> Answer:
    if told.get("event") == "dropped":
        had_bounced = "bounced" in str(told.get("reason", "")).lower()
        return Answer(fault=Fault.RECIPIENT if had_bounced else Fault.POLICY)
    fault = Fault.POLICY if told.get("type") == "blocked" else Fault.RECIPIENT
    return Answer(str(told.get("status", "")), fault=fault)


def _mailjet(told: dict[str, Any]) -> Answer:
    error = str(told.get("error", ""))
    text = f"{error} {told.get('comment', '')}".strip()
    if told.get("error_related_to") in _MAILJET_OURS:
        return Answer(text=text, fault=Fault.POLICY)
    is_gone = told.get("hard_bounce") and error in _MAILJET_GONE
    return Answer(text=text, fault=Fault.NO_MAILBOX if is_gone else Fault.RECIPIENT)


def _sparkpost(told: dict[str, Any]) -> Answer:
    event = next(iter(told["msys"].values()))
    fault = _SPARKPOST.get(event.get("bounce_class"), Fault.UNKNOWN)
    return Answer(str(event.get("error_code") or ""), fault=fault)


def _amazon_ses(told: dict[str, Any]) -> Answer:
    bounce = told.get("bounce", {})
    recipients = bounce.get("bouncedRecipients") or [{}]
    kind = bounce.get("bounceType", ""), bounce.get("bounceSubType", "")
    return Answer(recipients[0].get("status", ""), fault=_amazon_fault(*kind))


def _resend(told: dict[str, Any]) -> Answer:
    # Resend sends by Amazon, and has its words.
    bounce = told["data"].get("bounce") or {}
    return Answer(fault=_amazon_fault(bounce.get("type", ""), bounce.get("subType", "")))


def _amazon_fault(kind: str, detail: str) -> Fault:
    if detail in _AMAZON_OURS:
        return Fault.POLICY
    if kind == "Permanent" and detail in _AMAZON_GONE:
        return Fault.NO_MAILBOX
    return Fault.RECIPIENT if kind else Fault.UNKNOWN


_ANSWERS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "amazon_ses": _amazon_ses,
    "brevo": _brevo,
    "mailgun": _mailgun,
    "mailjet": _mailjet,
    "postmark": _postmark,
    "resend": _resend,
    "sendgrid": _sendgrid,
    "sparkpost": _sparkpost,
}
