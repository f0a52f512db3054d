"""A provider that takes one message at a time: every one that Anymail knows."""

from collections.abc import Callable, Iterator
from typing import Any

from anymail.backends.base import AnymailBaseBackend
from anymail.exceptions import (
    AnymailAPIError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailUnsupportedFeature,
)

from newsletter.content import Mailing
from newsletter.delivery.outcomes import (
    Message,
    Outcome,
    SendersFaultError,
    judged,
    sent,
    unwritable,
)
from newsletter.delivery.transports.anymail import troubles
from newsletter.delivery.transports.stock import composed
from newsletter.faults import Fault

_REFUSED = {"invalid", "rejected", "failed"}


class OneByOne:
    def __init__(self, backend: AnymailBaseBackend) -> None:
        self._backend = backend
        self._features: list[str] | None = None

    def room(self, _mailing: Mailing) -> int:
        return 1

    def call(self, messages: list[Message], _is_ours: Callable[[], bool]) -> Iterator[Outcome]:
        self._backend.open()
        (message,) = messages
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
        trouble = troubles.failed(error)
        if not trouble.code:
            # A session that broke is not spoken over again.
            self._backend.close()
            self._backend.open()
        return trouble.outcome(message.reader)


def _features(message: Message) -> dict[str, Any]:
    """What we do not show, nobody needs to track."""
    return {
        "metadata": message.metadata,
        "envelope_sender": message.mailing.envelope_sender(message.reader),
        "track_opens": False,
        "track_clicks": False,
    }


def _status(message: Message, mail: Any) -> str:
    """Anymail's word for what the provider did with this address; blank if it did not say."""
    told = mail.anymail_status.recipients.get(message.reader.address)
    return (told.status or "") if told else ""


def _is_refused(message: Message, mail: Any) -> bool:
    answered = getattr(mail.anymail_status.esp_response, "status_code", 200)
    return _status(message, mail) in _REFUSED or answered >= 300


def _refused(message: Message, mail: Any) -> Outcome:
    response = mail.anymail_status.esp_response
    words = " ".join(getattr(response, "text", "").split())
    return judged(Fault.RECIPIENT, message.reader, _status(message, mail), words)
