"""The mailer that EMAIL_URL stands for: Django's, and it signs."""

import email.policy
from collections.abc import Sequence
from typing import Any, cast

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from newsletter import dkim


class EmailBackend(SmtpBackend):
    """Each message is signed with the DKIM keys of whom it is from, if there are any.

    Campaigns go by connections of their own (SmtpTransport) and are signed as they are filled;
    this is for letters.
    """

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        signed = [cast(EmailMessage, _Signed(message)) for message in email_messages]
        return super().send_messages(signed)


class _Signed:
    """As much of a message as Django's mailer asks for, and its bytes when it is about to go."""

    def __init__(self, message: EmailMessage) -> None:
        self._message = message
        self.from_email = message.from_email
        self.recipients = message.recipients

    def message(self, *, policy: Any = email.policy.SMTP) -> "_Bytes":
        return _Bytes(dkim.signed(self._message.message(policy=policy).as_bytes()))


class _Bytes:
    def __init__(self, message: bytes) -> None:
        self._message = message

    def as_bytes(self) -> bytes:
        return self._message
