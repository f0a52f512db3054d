"""The providers that may report: who reads their words, and by which secret we know them."""

from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string

_SHARED = "WEBHOOK_SECRET"


class Provider(NamedTuple):
    # Anymail's tracking view, or ours upon it. Loaded when it first is needed: some bring along
    # more code than all the rest of the site.
    view: str
    # Names of Anymail settings, of which one must be set.
    secrets: tuple[str, ...] = (_SHARED,)
    # How old a signed request may be. Those that come again with the signature of their first
    # attempt need as long as they try: what we have stored counts once anyhow.
    window: timedelta = timedelta(minutes=10)


_ANYMAIL = "anymail.webhooks"
_OURS = "newsletter.receivers.webhooks"

PROVIDERS = {
    "amazon_ses": Provider(f"{_OURS}.amazon.View", window=timedelta(hours=1)),
    "brevo": Provider(f"{_ANYMAIL}.brevo.BrevoTrackingWebhookView"),
    "mailersend": Provider(
        f"{_ANYMAIL}.mailersend.MailerSendTrackingWebhookView", ("MAILERSEND_SIGNING_SECRET",)
    ),
    "mailgun": Provider(
        f"{_OURS}.signed.MailgunView", ("MAILGUN_WEBHOOK_SIGNING_KEY",), timedelta(hours=9)
    ),
    "mailjet": Provider(f"{_ANYMAIL}.mailjet.MailjetTrackingWebhookView"),
    "mailtrap": Provider(
        f"{_ANYMAIL}.mailtrap.MailtrapTrackingWebhookView", ("MAILTRAP_TRACKING_SECRET", _SHARED)
    ),
    "mandrill": Provider(
        f"{_ANYMAIL}.mandrill.MandrillCombinedWebhookView", ("MANDRILL_WEBHOOK_KEY",)
    ),
    "postal": Provider(f"{_ANYMAIL}.postal.PostalTrackingWebhookView", ("POSTAL_WEBHOOK_KEY",)),
    "postmark": Provider(f"{_ANYMAIL}.postmark.PostmarkTrackingWebhookView"),
    "resend": Provider(f"{_OURS}.signed.ResendView", ("RESEND_SIGNING_SECRET", _SHARED)),
    "sendgrid": Provider(
        f"{_OURS}.signed.SendGridView", ("SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY", _SHARED)
    ),
    "sparkpost": Provider(f"{_ANYMAIL}.sparkpost.SparkPostTrackingWebhookView"),
    "unisender_go": Provider(
        f"{_ANYMAIL}.unisender_go.UnisenderGoTrackingWebhookView", ("UNISENDER_GO_API_KEY",)
    ),
}


def missing_secrets(provider: str) -> list[str]:
    """Which settings would let it in, of which one must be set; none if it has one."""
    names = PROVIDERS[provider].secrets if provider in PROVIDERS else ()
    return [] if any(map(_is_set, names)) else list(names)


def view(provider: str) -> Any:
    """What verifies a request of this provider, which has a secret, and reads its words."""
    return import_string(PROVIDERS[provider].view)()


def _is_set(name: str) -> bool:
    secret = settings.ANYMAIL.get(name, "")
    # "name:password", or nobody could ever say it.
    return bool(secret) and (name != _SHARED or ":" in secret)
