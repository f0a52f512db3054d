"""Whose fault it is that a message did not arrive, in the words of each provider."""

import pytest

from newsletter.models import Event
from tests.newsletter.hooks import call, settings_of, told
from tests.newsletter.reports import went_to


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com").subscriber


@pytest.fixture
def sent(ann, briefing):
    return went_to([ann], briefing)


def fault_of(client, settings, provider, event):
    settings.ANYMAIL = settings_of(provider)
    assert call(client, provider, event).status_code == 200
    return Event.objects.get().fault


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("HardBounce", "no mailbox"), ("SoftBounce", "provider"), ("VirusNotification", "policy")],
)
def test_postmarks_kinds_of_bounces(client, settings, sent, ann, kind, fault):
    event = told("postmark", "bounced", sent, ann) | {
        "Type": kind,
        "Description": "Unable to deliver (ie mailbox full, account disabled, exceeds quota)",
    }

    assert fault_of(client, settings, "postmark", event) == fault


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ("hard_bounce", "no mailbox"),
        ("soft_bounce", "provider"),
        ("invalid_email", "no mailbox"),
        ("blocked", "policy"),
    ],
)
def test_brevos_kinds_of_bounces(client, settings, sent, ann, event, fault):
    said = told("brevo", "bounced", sent, ann) | {"event": event}

    assert fault_of(client, settings, "brevo", said) == fault


@pytest.mark.parametrize(
    ("bounce_class", "fault"),
    [("10", "no mailbox"), ("22", "recipient"), ("51", "policy"), ("1", "unknown")],
)
def test_sparkposts_classes_of_bounces(client, settings, sent, ann, bounce_class, fault):
    event = told("sparkpost", "bounced", sent, ann)
    event[0]["msys"]["message_event"] |= {"bounce_class": bounce_class, "error_code": ""}

    assert fault_of(client, settings, "sparkpost", event) == fault


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, "no mailbox"),
        ({"error_related_to": "content", "error": "content blocked"}, "policy"),
        ({"error": "quota exceeded", "hard_bounce": False}, "recipient"),
    ],
)
def test_mailjets_kinds_of_bounces(client, settings, sent, ann, said, fault):
    event = told("mailjet", "bounced", sent, ann)

    assert fault_of(client, settings, "mailjet", [event[0] | said]) == fault


@pytest.mark.parametrize(
    ("kind", "detail", "fault"),
    [
        ("Permanent", "General", "no mailbox"),
        ("Permanent", "Suppressed", "recipient"),
        ("Transient", "MailboxFull", "recipient"),
        ("Transient", "ContentRejected", "policy"),
    ],
)
def test_amazons_and_resends_kinds_of_bounces(client, settings, sent, ann, kind, detail, fault):
    event = told("resend", "bounced", sent, ann)
    event["data"]["bounce"] |= {"type": kind, "subType": detail}

    assert fault_of(client, settings, "resend", event) == fault


@pytest.mark.parametrize(
    ("reason", "fault"), [("suppress-bounce", "recipient"), ("suppress-complaint", "policy")]
)
def test_what_mailgun_did_not_even_try(client, settings, sent, ann, reason, fault):
    event = told("mailgun", "bounced", sent, ann)
    event["event-data"] |= {"reason": reason, "delivery-status": {"code": 605}}

    assert fault_of(client, settings, "mailgun", event) == fault


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"event": "dropped", "reason": "Bounced Address"}, "recipient"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "policy"),
        ({"type": "blocked", "reason": "timed out"}, "policy"),
        ({"status": "5.1.1", "reason": "no"}, "no mailbox"),
    ],
)
def test_sendgrids_kinds_of_bounces(client, settings, sent, ann, said, fault):
    event = told("sendgrid", "bounced", sent, ann)

    assert fault_of(client, settings, "sendgrid", [event[0] | said]) == fault
