"""From Anymail's events to our reports."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone

from newsletter.models import Event
from newsletter.models.events import Report
from newsletter.receivers.webhooks.answers import Answer, answer_in
from newsletter.receivers.webhooks.messages import message_of

Kind = Event.Kind

# Anymail's names. What was opened or clicked is not counted here, nor what is only queued.
_KINDS = {
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DEFERRED,
    "bounced": Kind.BOUNCED,
    "rejected": Kind.REJECTED,
    "complained": Kind.COMPLAINED,
    "unsubscribed": Kind.UNSUBSCRIBED,
}
_FAILURES = {Kind.BOUNCED, Kind.REJECTED}
# Feedback of mail programs that is no complaint: what was moved out of the junk folder reverses
# nothing, and what failed DMARC tells us about ourselves (BNC-07).
_NO_COMPLAINTS = {"not-spam", "auth-failure"}


def reports_in(provider: str, events: Iterable[Any]) -> list[Report]:
    """Those of Anymail's tracking events that we understand and want to know."""
    told: Counter[str] = Counter()
    reports = []
    for event in events:
        event_id = _event_id(event)
        if kind := _kind(provider, event):
            reports.append(_report(provider, kind, event, _nth(event_id, told[event_id])))
        told[event_id] += 1
    return reports


def _kind(provider: str, event: Any) -> Kind | None:
    if event.event_type == "failed":
        # Not sent at all; of Postal's, a server refused it.
        return Kind.BOUNCED if provider == "postal" else Kind.REJECTED
    kind = _KINDS.get(event.event_type)
    return None if kind is Kind.COMPLAINED and _is_no_complaint(event) else kind


def _is_no_complaint(event: Any) -> bool:
    told = event.esp_event
    words = [event.description, *(one.get("fbtype") for one in told.get("msys", {}).values())]
    return any(word in _NO_COMPLAINTS for word in words)


def _report(provider: str, kind: Kind, event: Any, event_id: str) -> Report:
    message = message_of(event)
    answer = answer_in(provider, event) if kind in _FAILURES else Answer()
    return Report(
        source=provider,
        event_id=event_id,
        kind=kind,
        at=_moment(event.timestamp),
        campaign=message.campaign,
        subscriber=message.subscriber,
        address=event.recipient or "",
        code=answer.code,
        text=answer.text,
        provider_id=str(event.message_id or ""),
        fault=answer.fault,
    )


def _event_id(event: Any) -> str:
    """The same whenever the same is told: who gives it no number is known by all that he said."""
    if event.event_id:
        return str(event.event_id)
    told = json.dumps(event.esp_event, sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def _nth(event_id: str, before: int) -> str:
    """Amazon tells of several readers under one number."""
    return f"{event_id}/{before}" if before else event_id


def _moment(at: datetime | None) -> datetime:
    if at is None:
        return timezone.now()
    return at if timezone.is_aware(at) else timezone.make_aware(at)
