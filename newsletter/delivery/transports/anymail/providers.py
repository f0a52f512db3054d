"""The providers that take many readers in one call: how many, and how each is spoken to.

As their documentation says in November 2026; a rule that proves wrong is one line here.
"""

import re
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from anymail.backends.base import AnymailBaseBackend, BasePayload
from django.core.mail import EmailMultiAlternatives

from newsletter.content import Mailing, Syntax
from newsletter.delivery.transports.anymail import answers, payloads
from newsletter.delivery.transports.anymail.answers import Asked, Told
from newsletter.delivery.transports.anymail.letters import (
    Letter,
    Manners,
    Merged,
    Separate,
    Template,
)

_MEGABYTE = 1_000_000
# What a reader's copy has beside its wording: headers, metadata, fields.
_ENVELOPE = 4_000


class Provider(NamedTuple):
    # Readers in one call.
    readers: int
    letter: Callable[[Mailing], Letter]
    read: Callable[[Asked], list[Told]] = answers.as_anymail_reads_it
    payload: Callable[[AnymailBaseBackend, EmailMultiAlternatives], BasePayload] = payloads.usual
    # What one call may weigh where each reader's wording is in it; 0: there is only one wording.
    bytes: int = 0
    # Where the key goes that makes asking twice harmless; nothing if it knows none.
    put_key: Callable[[BasePayload, str], None] | None = None
    # How it says that it knows the key, and has accepted what came with it.
    knows_key: str | None = None
    prepare: Callable[[AnymailBaseBackend], None] = lambda backend: None

    def room(self, mailing: Mailing) -> int:
        """How many readers of this mailing one call takes."""
        if not self.bytes:
            return self.readers
        return max(1, min(self.readers, self.bytes // (mailing.weight + _ENVELOPE)))


_UNCOUNTED = {"track_opens": False, "track_clicks": False}

# Braces that are, or beside a merge field would become, somebody's syntax; and the backslashes
# before them, with which Handlebars takes syntax for text.
_BRACES = re.compile(r"[{}](?=[{}%#]|\Z)|(?<=[{}])[{}]|\A[{}]|\\(?=\\*(?:[{}]|\Z))")
# https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/batch-sending: ours
# and theirs (%recipient_email%, %unsubscribe_url%). Nothing is escaped.
_MAILGUN = Syntax("%recipient.*%", re.compile(r"%(?=recipient|[A-Za-z_][\w.-]{2,}%)"))
# Any text can be a tag at SendGrid, so ours is one that nobody else could write.
_SENDGRID_TAG = f"-{secrets.token_hex(8)}-{{}}-"
_SENDGRID = Syntax(_SENDGRID_TAG.replace("{}", "*"), re.compile(r"(?!)"))
# https://developers.sparkpost.com/api/template-language/: three braces escape nowhere.
_SPARKPOST = Syntax("{{{*}}}", _BRACES)
# "SES doesn't escape HTML content when rendering the HTML template", with two braces.
_AMAZON = Syntax("{{*}}", _BRACES)
# Brevo escapes all variables, in plain text too, unless told not to; and looks for its language
# in values as well.
_BREVO = Syntax(
    "{% autoescape off %}{{ params.* }}{% endautoescape %}", _BRACES, re.compile(r"\{(?=[{%#])")
)
# What these two fill in without being asked.
_POSTMARK = re.compile(r"\{\{(?=\{\s*pm:)")
_MAILJET = re.compile(r"\[(?=\[)")

_MAILGUNS = Manners(
    wishes=_UNCOUNTED | {"esp_extra": {"o:tracking": "no"}},
    # A call has one Message-ID, to which theirs and ours would have to agree.
    unsaid=frozenset({"message-id"}),
)
_POSTMARKS = Manners(wishes=_UNCOUNTED, beside={"X-PM-KeepID": "true"})
_SENDGRIDS = Manners(
    wishes=_UNCOUNTED
    | {
        "esp_extra": {
            "merge_field_format": _SENDGRID_TAG,
            "tracking_settings": {
                "subscription_tracking": {"enable": False},
                "ganalytics": {"enable": False},
            },
            "mail_settings": {"footer": {"enable": False}},
        }
    }
)
# What it counts is a setting of the account's.
_BREVOS = Manners(unsaid=frozenset({"message-id"}), decodes=True)
_MAILJETS = Manners(
    wishes=_UNCOUNTED | {"esp_extra": {"Globals": {"TemplateLanguage": False}}},
    # Both refused as headers that cannot be customized.
    unsaid=frozenset({"message-id", "list-id"}),
)
# Else it would add a List-Unsubscribe of its own.
_SPARKPOSTS = Manners(wishes=_UNCOUNTED | {"esp_extra": {"options": {"transactional": True}}})
# These two write the Message-ID, and count what the domain, or a configuration set, says.
_RESENDS = _AMAZONS = Manners(unsaid=frozenset({"message-id"}))


def _put_resends_key(payload: Any, key: str) -> None:
    """Kept for a day; with another content behind it, it answers 409."""
    payload.headers["Idempotency-Key"] = key


def _put_brevos_key(payload: Any, key: str) -> None:
    """Kept for half an hour, and must be a UUID."""
    payload.data["headers"]["idempotencyKey"] = key


def _ask_once(backend: Any) -> None:
    """boto3 asks again by itself when no answer comes, and everybody would get two. And what we
    say is right: looking at it would take it half as long again."""
    # Only Amazon's backend brings it along.
    import botocore.config

    own = botocore.config.Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    backend.client_params["config"] = backend.client_params["config"].merge(own)


PROVIDERS = {
    "Mailgun": Provider(1000, partial(Merged, syntax=_MAILGUN, manners=_MAILGUNS)),
    "SendGrid": Provider(1000, partial(Merged, syntax=_SENDGRID, manners=_SENDGRIDS)),
    "SparkPost": Provider(
        1000, partial(Merged, syntax=_SPARKPOST, manners=_SPARKPOSTS), answers.sparkpost
    ),
    "Brevo": Provider(
        1000,
        partial(Merged, syntax=_BREVO, manners=_BREVOS),
        put_key=_put_brevos_key,
        knows_key="duplicate_parameter",
    ),
    "Amazon SES": Provider(
        50,
        partial(Template, syntax=_AMAZON, manners=_AMAZONS),
        answers.amazon,
        prepare=_ask_once,
    ),
    "Postmark": Provider(
        500,
        partial(Separate, manners=_POSTMARKS, syntax=_POSTMARK),
        answers.postmark,
        payloads.postmark,
        bytes=50 * _MEGABYTE,
    ),
    "Mailjet": Provider(
        50,
        partial(Separate, manners=_MAILJETS, syntax=_MAILJET),
        answers.mailjet,
        payloads.mailjet,
        bytes=15 * _MEGABYTE,
    ),
    "Resend": Provider(
        100,
        partial(Separate, manners=_RESENDS),
        answers.resend,
        payloads.resend,
        bytes=40 * _MEGABYTE,
        put_key=_put_resends_key,
    ),
}
