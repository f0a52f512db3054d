"""A provider's API through Anymail: one message for each reader, over one kept session."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from anymail.backends.base import AnymailBaseBackend
from anymail.exceptions import (
    AnymailAPIError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailUnsupportedFeature,
)

from newsletter import faults
from newsletter.delivery.outcomes import (
    Message,
    Outcome,
    SendersFaultError,
    judged,
    sent,
    unwritable,
)
from newsletter.delivery.transports.stock import composed
from newsletter.faults import Fault

_REFUSED = {"invalid", "rejected", "failed"}
_NEVER_LEFT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)


class AnymailTransport:
    in_hand = 4

    def __init__(self, backend: AnymailBaseBackend) -> None:
        self._backend = backend
        self._features: list[str] | None = None

    def hand_over(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        self._backend.open()
        for message in messages:
            yield self._hand_over(message)

    def close(self) -> None:
        self._backend.close()

    def _hand_over(self, message: Message) -> Outcome:
        reader = message.reader
        try:
            mail: Any = composed(message)
        except Exception as error:  # One bad row must not stop those behind it.
            return unwritable(reader, error)
        try:
            self._tell(mail, message)
            self._backend.send_messages([mail])
        except AnymailAPIError as error:
            return self._judged(message, error)
        except AnymailRecipientsRefused:
            return _refused(message, mail)
        except AnymailInvalidAddress as error:
            return judged(Fault.RECIPIENT, reader, "", str(error))
        except AnymailUnsupportedFeature as error:
            raise SendersFaultError(str(error)) from error
        if _is_refused(message, mail):
            return _refused(message, mail)
        return sent(reader, provider_id=mail.anymail_status.message_id or "")

    def _tell(self, mail: Any, message: Message) -> None:
        """Our wishes, so far as this provider can be told of them."""
        if self._features is None:
            self._features = self._supported(message)
        for name, value in _features(message).items():
            if name in self._features:
                setattr(mail, name, value)

    def _supported(self, message: Message) -> list[str]:
        """Which of our wishes this provider can be told of; Anymail refuses the others."""
        return [
            name
            for name, value in _features(message).items()
            if self._is_supported(message, name, value)
        ]

    def _is_supported(self, message: Message, name: str, value: Any) -> bool:
        mail = composed(message)
        setattr(mail, name, value)
        try:
            self._backend.build_message_payload(mail, self._backend.send_defaults)
        except AnymailUnsupportedFeature:
            return False
        return True

    def _judged(self, message: Message, error: AnymailAPIError) -> Outcome:
        code, words = _answer(error)
        fault = faults.of_http(code, words) if code else _fault_of_connection(error)
        if not code:
            # A session that broke is not spoken over again.
            self._backend.close()
            self._backend.open()
        return judged(fault, message.reader, code, words, _rest(error.response))


def _features(message: Message) -> dict[str, Any]:
    """Our own ids come back with every event; what we do not show, nobody needs to track."""
    metadata = {
        "campaign": str(message.campaign_id),
        "subscriber": str(message.reader.subscriber_id),
    }
    return {
        "metadata": metadata,
        "envelope_sender": message.mailing.envelope_sender(message.reader),
        "track_opens": False,
        "track_clicks": False,
    }


def _status(message: Message, mail: Any) -> str:
    """Anymail's word for what the provider did with this address; blank if it did not say."""
    told = mail.anymail_status.recipients.get(message.reader.address)
    return (told.status or "") if told else ""


def _is_refused(message: Message, mail: Any) -> bool:
    """Postmark's refusals, where Anymail does not know their words, look like nothing at all."""
    answered = getattr(mail.anymail_status.esp_response, "status_code", 200)
    return _status(message, mail) in _REFUSED or answered >= 300


def _refused(message: Message, mail: Any) -> Outcome:
    response = mail.anymail_status.esp_response
    words = " ".join(getattr(response, "text", "").split())
    return judged(Fault.RECIPIENT, message.reader, _status(message, mail), words)


def _answer(error: AnymailAPIError) -> tuple[str, str]:
    """Status and words of the provider; no status if it gave no answer at all."""
    if error.response is not None:
        return str(error.response.status_code), " ".join(error.response.text.split())
    answer = getattr(error.__cause__, "response", None)
    if isinstance(answer, dict) and "Error" in answer:
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        named = answer["Error"]
        return str(status), f"{named.get('Code', '')} {named.get('Message', '')}"
    return "", str(error.__cause__ or error)


def _fault_of_connection(error: AnymailAPIError) -> Fault:
    """What broke before the request was out has sent nothing; after it, who knows."""
    cause = error.__cause__
    if isinstance(cause, requests.exceptions.SSLError):
        return Fault.SENDER
    if isinstance(cause, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return Fault.EVERYBODY
    reason = getattr(cause.args[0], "reason", None) if cause and cause.args else None
    never_left = isinstance(reason, _NEVER_LEFT)
    # botocore's own names for the same, known by name as only Amazon's backend brings it along.
    never_left |= type(cause).__name__ in {"EndpointConnectionError", "ConnectTimeoutError"}
    return Fault.EVERYBODY if never_left else Fault.UNKNOWN


def _rest(response: Any) -> timedelta | None:
    """The provider's Retry-After: seconds, or a date."""
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.isdigit():
        return timedelta(seconds=int(asked))
    try:
        return max(parsedate_to_datetime(asked) - datetime.now(UTC), timedelta(0))
    except (TypeError, ValueError):
        return None
