"""Which message of ours an event is about."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from subscribers import tokens
from subscribers.models import Letter
from subscribers.tokens import BadTokenError, Purpose

_MESSAGE_ID = re.compile(r"\s*<?([0-9A-Za-z]+)@[^@\s]+?>?\s*")


class Message(NamedTuple):
    """As Report has it: 0 where it is none of ours, or a letter's campaign."""

    campaign: int = 0
    subscriber: int = 0


def message_of(event: Any) -> Message:
    """By the numbers that we gave along, else by our Message-ID."""
    metadata = event.metadata if isinstance(event.metadata, dict) else {}
    named = Message(_number(metadata.get("campaign")), _number(metadata.get("subscriber")))
    if named.subscriber:
        return named
    found = (_of_message_id(message_id) for message_id in _message_ids(event))
    return next((message for message in found if message), Message())


def _number(value: Any) -> int:
    """Whatever stands there: the metadata may be another application's."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _message_ids(event: Any) -> Iterator[str]:
    """As Anymail has it, and where providers put those that the message had when we gave it."""
    yield str(event.message_id or "")
    told = event.esp_event
    yield str(told.get("smtp-id", ""))
    mail = told.get("mail", {})
    if isinstance(mail, dict):
        for header in mail.get("headers", []):
            if header["name"].lower() == "message-id":
                yield header["value"]


def _of_message_id(message_id: str) -> Message | None:
    found = _MESSAGE_ID.fullmatch(message_id)
    return (_campaigns(found[1]) or _letters(found[1])) if found else None


def _campaigns(token: str) -> Message | None:
    try:
        subscriber, campaign = tokens.read(Purpose.MESSAGE, token)
    except (BadTokenError, ValueError):
        return None
    return Message(campaign, subscriber)


def _letters(token: str) -> Message | None:
    try:
        (pk,) = tokens.read(Purpose.LETTER, token)
    except (BadTokenError, ValueError):
        return None
    subscribers = Letter.objects.filter(pk=pk).values_list("subscriber", flat=True)
    return Message(0, subscribers.first() or 0)
