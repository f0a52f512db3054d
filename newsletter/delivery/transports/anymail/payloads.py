"""Anymail's payloads where it has none for what we want to say."""

from typing import Any

import anymail.backends.mailjet
import anymail.backends.postmark
import anymail.backends.resend
from anymail.backends.base import AnymailBaseBackend, BasePayload
from anymail.utils import EmailAddress
from django.core.mail import EmailMultiAlternatives

from newsletter.content import Parts


def usual(backend: AnymailBaseBackend, mail: EmailMultiAlternatives) -> BasePayload:
    return backend.build_message_payload(mail, backend.send_defaults)


def postmark(backend: AnymailBaseBackend, mail: EmailMultiAlternatives) -> BasePayload:
    return _Postmark(mail, backend.send_defaults, backend)


def mailjet(backend: AnymailBaseBackend, mail: EmailMultiAlternatives) -> BasePayload:
    return _Mailjet(mail, backend.send_defaults, backend)


def resend(backend: AnymailBaseBackend, mail: EmailMultiAlternatives) -> BasePayload:
    return _Resend(mail, backend.send_defaults, backend)


class _Postmark(anymail.backends.postmark.PostmarkPayload):  # type: ignore[misc]
    def get_api_endpoint(self) -> str:
        """Not the bulk API: it says of nobody what became of them."""
        return "email/batch"

    def data_for_recipient(self, to: EmailAddress) -> dict[str, Any]:
        parts: Parts = self.message.bodies[to.addr_spec]
        bodies = {"Subject": parts.subject, "TextBody": parts.text, "HtmlBody": parts.html}
        return {**super().data_for_recipient(to), **bodies}


class _Mailjet(anymail.backends.mailjet.MailjetPayload):  # type: ignore[misc]
    def _burst_for_batch_send(self) -> None:
        """Anymail does so at each merge_... again, and forgets what it had of a single reader."""
        if any(len(message["To"]) > 1 for message in self.data["Messages"]):
            super()._burst_for_batch_send()

    def serialize_data(self) -> str:
        del self.data["Globals"]["Subject"]
        for message in self.data["Messages"]:
            parts: Parts = self.message.bodies[message["To"][0]["Email"]]
            message |= {
                "Subject": parts.subject,
                "TextPart": parts.text,
                "HTMLPart": parts.html,
            }
        written: str = super().serialize_data()
        return written


class _Resend(anymail.backends.resend.ResendPayload):  # type: ignore[misc]
    def init_payload(self) -> None:
        super().init_payload()
        # Whoever is refused is so alone.
        self.headers["x-batch-validation"] = "permissive"

    def serialize_data(self) -> str:
        written: str = self.serialize_json([self._email(to) for to in self.to_recipients])
        return written

    def _email(self, to: EmailAddress) -> dict[str, Any]:
        parts: Parts = self.message.bodies[to.addr_spec]
        metadata = self.serialize_json(self.merge_metadata[to.addr_spec])
        return {
            **self.data,
            "to": [to.addr_spec],
            "subject": parts.subject,
            "text": parts.text,
            "html": parts.html,
            "headers": {**self.merge_headers[to.addr_spec], "X-Metadata": metadata},
        }
