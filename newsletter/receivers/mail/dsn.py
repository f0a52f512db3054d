"""Delivery status notifications (RFC 3464): what a mail server says became of a message."""

import enum
from collections.abc import Iterable
from email.message import Message
from typing import NamedTuple

from newsletter.receivers.mail import answers
from newsletter.receivers.mail.parts import Part, groups

_KINDS = {"message/delivery-status", "message/global-delivery-status"}


class Action(enum.StrEnum):
    """RFC 3464, 2.3.3; the better news last."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    DELIVERED = "delivered"


class Status(NamedTuple):
    """Of one recipient."""

    action: Action
    # Whom it names, the address that we wrote to among them.
    addresses: tuple[str, ...]
    code: str
    text: str


def statuses(parts: Iterable[Part]) -> list[Status]:
    """What the notification in a message says, by recipients; empty if there is none in it."""
    for part in parts:
        if part.kind in _KINDS:
            text = part.decoded().decode("utf-8", "replace")
            return [status for group in groups(text) if (status := _status(group))]
    return []


def of(address: str, found: list[Status]) -> Status:
    """What counts for the reader of this address, of one notification.

    Where it went on to several mailboxes, it arrived if one of them has it.
    """
    theirs = [one for one in found if address.lower() in one.addresses]
    order = list(Action)
    return max(theirs or found, key=lambda one: order.index(one.action))


def _status(group: Message) -> Status | None:
    """None for a group that is about no recipient: the first, and what is damaged."""
    action = _action(group)
    if action is None:
        return None
    code, text = answers.of_status(group.get("Status", ""), group.get("Diagnostic-Code", ""))
    return Status(action, _addresses(group), code, text)


def _action(group: Message) -> Action | None:
    """Some write comments behind it, or words of their own; some have only a status."""
    word = group.get("Action", "").strip().lower()
    for action in Action:
        if word.startswith(action):
            return action
    if word.startswith(("fail", "error")):
        return Action.FAILED
    if word or "Final-Recipient" not in group:
        return None
    is_failed = group.get("Status", "").strip().startswith("5")
    return Action.FAILED if is_failed else Action.DELAYED


def _addresses(group: Message) -> tuple[str, ...]:
    names = ["Original-Recipient", "Final-Recipient", "X-Actual-Recipient"]
    written = [group.get(name, "").rpartition(";")[2] for name in names]
    return tuple(text.strip().strip("<>").lower() for text in written if "@" in text)
