"""Providers whose signatures Anymail does not verify as we need it."""

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

from anymail.webhooks.base import AnymailBaseWebhookView
from anymail.webhooks.mailgun import MailgunTrackingWebhookView
from anymail.webhooks.resend import ResendTrackingWebhookView
from anymail.webhooks.sendgrid import SendGridTrackingWebhookView
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from newsletter.receivers.webhooks.freshness import refuse_stale

# All that Anymail's classes in a view's line verify is verified, and this besides.


class MailgunView(MailgunTrackingWebhookView):  # type: ignore[misc]  # Anymail has no types.
    """Its signature covers a time and a token, not the body: each token counts once."""

    def validate_request(self, request: HttpRequest) -> None:
        is_json = request.content_type == "application/json"
        signed = json.loads(request.body)["signature"] if is_json else request.POST
        refuse_stale("mailgun", signed["timestamp"])


class SendGridView(SendGridTrackingWebhookView):  # type: ignore[misc]
    warn_if_no_basic_auth = False

    def __init__(self) -> None:
        # Past Anymail's own, which warns at every request that it supports SendGrid no more.
        AnymailBaseWebhookView.__init__(self)
        key = settings.ANYMAIL.get("SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY")
        self.webhook_verification_key = _public_key(key) if key else None

    def validate_request(self, request: HttpRequest) -> None:
        if self.webhook_verification_key:
            refuse_stale("sendgrid", request.headers["X-Twilio-Email-Event-Webhook-Timestamp"])


class ResendView(ResendTrackingWebhookView):  # type: ignore[misc]
    """Signed as Svix does it: an HMAC over id, time and body; several may stand side by side."""

    warn_if_no_basic_auth = False

    def __init__(self) -> None:
        # Past Anymail's own, which wants a package for what is a few lines here.
        self._svix_webhook = None
        AnymailBaseWebhookView.__init__(self)

    def validate_request(self, request: HttpRequest) -> None:
        if secret := settings.ANYMAIL.get("RESEND_SIGNING_SECRET"):
            refuse_stale("resend", request.headers["svix-timestamp"])
            expected = _svix_signature(secret, request)
            offered = request.headers["svix-signature"].split()
            if not any(constant_time_compare(one, expected) for one in offered):
                raise SuspiciousOperation("Resend's signature is wrong (RESEND_SIGNING_SECRET)")


def _svix_signature(secret: str, request: HttpRequest) -> str:
    named = f"{request.headers['svix-id']}.{request.headers['svix-timestamp']}."
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.digest(key, named.encode() + request.body, hashlib.sha256)
    return f"v1,{base64.b64encode(signature).decode()}"


@cache
def _public_key(key: str) -> Any:
    return serialization.load_der_public_key(base64.b64decode(key))
