"""Providers as they call: each in its own words, and with its own signature."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

SHARED = "desk:a long password"
_MAILGUN_KEY = "key-of-mailgun"
_SVIX_KEY = base64.b64encode(b"a key of Resend's").decode()
CERTIFICATE_URL = (
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
)
BASIC = {"Authorization": f"Basic {base64.b64encode(SHARED.encode()).decode()}"}


def call(client, provider, told, **how):
    """Post it as this provider does; `how` as its signature takes it."""
    body, headers = signed(provider, told, **how)
    return post(client, provider, body, headers)


def post(client, provider, body, headers):
    return client.generic(
        "POST", f"/reports/{provider}/", body, content_type="application/json", headers=headers
    )


def signed(provider, told, at=None, secret=None):
    """Body and headers. `at`: when it was signed; `secret`: another than the right one."""
    at = at or time.time()
    match provider:
        case "mailgun":
            return _signed_by_mailgun(told, at, secret or _MAILGUN_KEY), {}
        case "sendgrid":
            return _signed_by_sendgrid(told, at, secret)
        case "resend":
            return _signed_by_resend(told, at, secret or _SVIX_KEY)
        case "amazon_ses":
            return _signed_by_amazon(told, at, secret)
        case _:
            return json.dumps(told).encode(), _basic(secret or SHARED)


def settings_of(provider):
    """As an operator sets them."""
    return {
        "mailgun": {"MAILGUN_WEBHOOK_SIGNING_KEY": _MAILGUN_KEY},
        "sendgrid": {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": _public(_sendgrid_key())},
        "resend": {"RESEND_SIGNING_SECRET": f"whsec_{_SVIX_KEY}"},
    }.get(provider, {"WEBHOOK_SECRET": SHARED})


def told(provider, kind, campaign, reader, answer="", key=None):
    """What this provider says of a message: "delivered", "bounced" (hard), "complained"."""
    ours = {"campaign": str(getattr(campaign, "pk", campaign)), "subscriber": str(reader.pk)}
    return _TOLD[provider](kind, ours, reader.address, answer, key or secrets.token_hex(8))


def _basic(secret):
    return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


# What they say ---------------------------------------------------------------------------------


def _mailgun(kind, ours, address, answer, key):
    names = {"bounced": "failed"}
    event = {
        "event": names.get(kind, kind),
        "severity": "permanent",
        "id": key,
        "timestamp": time.time(),
        "recipient": address,
        "user-variables": ours,
        "message": {"headers": {"message-id": f"{key}@harbour.example"}},
        "delivery-status": {"code": 550 if answer else "", "message": answer},
    }
    return {"event-data": event}


def _postmark(kind, ours, address, answer, key):
    record, when = {
        "delivered": ("Delivery", "DeliveredAt"),
        "bounced": ("Bounce", "BouncedAt"),
        "complained": ("SpamComplaint", "BouncedAt"),
        "unsubscribed": ("SubscriptionChange", "ChangedAt"),
    }[kind]
    event = {
        "RecordType": record,
        "MessageID": key,
        when: datetime.now(UTC).isoformat(),
        "Metadata": ours,
        "Details": answer,
        "Email" if kind in {"bounced", "complained"} else "Recipient": address,
    }
    if kind in {"bounced", "complained"}:
        event |= {"ID": int(key, 16), "Type": "HardBounce" if kind == "bounced" else record}
    if kind == "unsubscribed":
        event |= {"SuppressSending": True, "SuppressionReason": "ManualSuppression"}
    return event


def _brevo(kind, ours, address, answer, key):
    names = {"bounced": "hard_bounce", "complained": "spam", "unsubscribed": "unsubscribe"}
    return {
        "event": names.get(kind, kind),
        "email": address,
        "ts_epoch": int(time.time() * 1000),
        "message-id": f"<{key}@smtp-relay.example>",
        "X-Mailin-custom": json.dumps(ours),
        "reason": answer,
    }


def _sendgrid(kind, ours, address, answer, key):
    names = {"bounced": "bounce", "complained": "spamreport", "unsubscribed": "unsubscribe"}
    event = {
        "event": names.get(kind, kind),
        "email": address,
        "timestamp": int(time.time()),
        "sg_event_id": key,
        "smtp-id": f"<{key}@harbour.example>",
        "reason": answer,
    }
    return [event | ours]


def _mailjet(kind, ours, address, answer, key):
    names = {
        "delivered": "sent",
        "bounced": "bounce",
        "complained": "spam",
        "unsubscribed": "unsub",
    }
    event = {
        "event": names[kind],
        "time": int(time.time()),
        "MessageID": int(key, 16),
        "email": address,
        "Payload": json.dumps(ours),
        "smtp_reply": answer,
    }
    if kind == "bounced":
        event |= {"hard_bounce": True, "error_related_to": "recipient", "error": "user unknown"}
    return [event]


def _sparkpost(kind, ours, address, answer, key):
    names = {
        "delivered": "delivery",
        "bounced": "bounce",
        "complained": "spam_complaint",
        "unsubscribed": "list_unsubscribe",
    }
    event = {
        "type": names[kind],
        "event_id": key,
        "timestamp": str(int(time.time())),
        "raw_rcpt_to": address,
        "rcpt_meta": ours,
        "raw_reason": answer,
    }
    if kind == "bounced":
        event |= {"bounce_class": "10", "error_code": "550"}
    return [{"msys": {"message_event": event}}]


def _resend(kind, ours, address, answer, key):
    event = {
        "email_id": key,
        "to": [address],
        "headers": [{"name": "X-Metadata", "value": json.dumps(ours)}],
    }
    if kind == "bounced":
        event["bounce"] = {"type": "Permanent", "subType": "General", "message": answer}
    return {
        "type": f"email.{kind}",
        "created_at": datetime.now(UTC).isoformat(),
        "data": event,
        # Not in the body: the number that its header gives it.
        "_key": key,
    }


def _amazon_ses(kind, ours, address, answer, key):
    name = {"delivered": "Delivery", "bounced": "Bounce", "complained": "Complaint"}[kind]
    details = {
        "delivered": {"recipients": [address], "smtpResponse": "250 ok"},
        "bounced": {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": address, "diagnosticCode": answer}],
        },
        "complained": {
            "complaintFeedbackType": "abuse",
            "complainedRecipients": [{"emailAddress": address}],
        },
    }[kind]
    headers = [{"name": "X-Metadata", "value": json.dumps(ours)}]
    mail = {"messageId": key, "destination": [address], "headers": headers}
    return notification({"eventType": name, "mail": mail, name.lower(): details}, key)


def notification(message, key, **fields):
    """One of SNS, not signed yet."""
    return {
        "Type": "Notification",
        "MessageId": key,
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail",
        "Message": json.dumps(message),
        "SigningCertURL": CERTIFICATE_URL,
        "SignatureVersion": "2",
        **fields,
    }


_TOLD = {
    "amazon_ses": _amazon_ses,
    "brevo": _brevo,
    "mailgun": _mailgun,
    "mailjet": _mailjet,
    "postmark": _postmark,
    "resend": _resend,
    "sendgrid": _sendgrid,
    "sparkpost": _sparkpost,
}
PROVIDERS = sorted(_TOLD)
# Whose signature says when it was made.
TIMED = ["amazon_ses", "mailgun", "resend", "sendgrid"]


# How they sign it ------------------------------------------------------------------------------


def _signed_by_mailgun(event, at, secret):
    token, moment = event["event-data"]["id"], str(int(at))
    signature = hmac.digest(secret.encode(), f"{moment}{token}".encode(), hashlib.sha256).hex()
    block = {"timestamp": moment, "token": token, "signature": signature}
    return json.dumps(event | {"signature": block}).encode()


def _signed_by_sendgrid(events, at, secret):
    body, moment = json.dumps(events).encode(), str(int(at))
    key = ec.generate_private_key(ec.SECP256R1()) if secret else _sendgrid_key()
    signature = key.sign(moment.encode() + body, ec.ECDSA(hashes.SHA256()))
    return body, {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": moment,
    }


def _signed_by_resend(event, at, secret):
    key, moment = f"msg_{event.pop('_key', 'none')}", str(int(at))
    body = json.dumps(event).encode()
    named = f"{key}.{moment}.".encode() + body
    signature = hmac.digest(base64.b64decode(secret + "==="), named, "sha256")
    return body, {
        "svix-id": key,
        "svix-timestamp": moment,
        "svix-signature": f"v1,bm9uZQ== v1,{base64.b64encode(signature).decode()}",
    }


def _signed_by_amazon(told, at, secret):
    told = {"Timestamp": datetime.fromtimestamp(at, UTC).isoformat(), **told}
    confirms = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    tells = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    names = tells if told["Type"] == "Notification" else confirms
    text = "".join(f"{name}\n{told[name]}\n" for name in names if name in told)
    key = rsa.generate_private_key(65537, 2048) if secret else amazon_key()
    hashed = {"1": hashes.SHA1, "2": hashes.SHA256}[told["SignatureVersion"]]()
    signature = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashed)).decode()
    headers = {"x-amz-sns-message-type": told["Type"], "x-amz-sns-message-id": told["MessageId"]}
    return json.dumps(told | {"Signature": signature}).encode(), headers | BASIC


@cache
def _sendgrid_key():
    return ec.generate_private_key(ec.SECP256R1())


@cache
def amazon_key():
    return rsa.generate_private_key(65537, 2048)


@cache
def amazon_certificate():
    """As Amazon has it lying at CERTIFICATE_URL."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(amazon_key().public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    certificate = builder.sign(amazon_key(), hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


def _public(key):
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()
