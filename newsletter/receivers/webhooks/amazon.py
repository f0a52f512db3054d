"""Amazon's notifications (SNS): signed with a certificate that is fetched from Amazon alone.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from anymail.webhooks.amazon_ses import AmazonSESTrackingWebhookView
from anymail.webhooks.base import AnymailBasicAuthMixin
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest

from newsletter.receivers.webhooks.freshness import refuse_stale

_HOST = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-zA-Z]+\.pem")
_KEPT_FOR = 24 * 60 * 60
_PATIENCE = 5
# In this order, each with its name; a Subject only if there is one.
_SIGNED = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": [
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ],
}
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]
_HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}


class View(AmazonSESTrackingWebhookView):  # type: ignore[misc]  # Anymail has no types.
    """The shared secret says that it is our topic, the signature that it is Amazon who speaks:
    anybody may have topics of his own."""

    def validate_request(self, request: HttpRequest) -> None:
        # Before anything is fetched.
        AnymailBasicAuthMixin.validate_request(self, request)
        notification = self._parse_sns_message(request)
        signed_at = datetime.fromisoformat(notification["Timestamp"])
        refuse_stale("amazon_ses", signed_at.timestamp())
        _verify(notification)

    def parse_events(self, request: HttpRequest) -> list[Any]:
        notification = self._parse_sns_message(request)
        if notification["Type"] == "SubscriptionConfirmation":
            _confirm(notification)
        if notification["Type"] != "Notification":
            return []
        try:
            told = json.loads(notification["Message"])
        except ValueError:
            # "Successfully validated SNS topic ...": a person's words, not a report.
            return []
        return list(self.esp_to_anymail_events(told, notification))


def _verify(notification: dict[str, Any]) -> None:
    signature = base64.b64decode(notification["Signature"], validate=True)
    hashed = _HASHES[notification["SignatureVersion"]]()
    names = [name for name in _SIGNED[notification["Type"]] if name in notification]
    signed = "".join(f"{name}\n{notification[name]}\n" for name in names).encode()
    try:
        _key(notification["SigningCertURL"]).verify(signature, signed, padding.PKCS1v15(), hashed)
    except InvalidSignature as error:
        raise SuspiciousOperation("Amazon's signature is wrong") from error


def _key(url: str) -> rsa.RSAPublicKey:
    """Of the certificate at this address, which is Amazon's or is not asked (BNC-14)."""
    _refuse_stranger(url, _CERTIFICATE)
    kept = f"amazon-certificate:{url}"
    certificate = cache.get(kept)
    if certificate is None:
        certificate = _fetched(url)
        cache.set(kept, certificate, _KEPT_FOR)
    key = x509.load_pem_x509_certificate(certificate).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise SuspiciousOperation("Amazon signs with RSA keys")
    return key


def _confirm(notification: dict[str, Any]) -> None:
    """Say that we want the topic's messages, unless the operator wants to say it himself."""
    if settings.ANYMAIL.get("AMAZON_SES_AUTO_CONFIRM_SNS_SUBSCRIPTIONS", True):
        _refuse_stranger(notification["SubscribeURL"], re.compile("/?"))
        _fetched(notification["SubscribeURL"])


def _refuse_stranger(url: str, path: re.Pattern[str]) -> None:
    parts = urlsplit(url)
    is_amazon = parts.scheme == "https" and _HOST.fullmatch(parts.netloc)
    if not (is_amazon and path.fullmatch(parts.path)):
        raise SuspiciousOperation("The address in Amazon's notification is not one of Amazon's")


def _fetched(url: str) -> bytes:
    answer = requests.get(url, timeout=_PATIENCE, allow_redirects=False)
    answer.raise_for_status()
    return answer.content
