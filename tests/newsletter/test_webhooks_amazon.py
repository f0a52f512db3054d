"""Amazon's notifications: who signed them, and which addresses in them are ever asked."""

import json

import pytest
from django.core.cache import cache

from newsletter.models import Event
from tests.newsletter.hooks import (
    BASIC,
    CERTIFICATE_URL,
    amazon_certificate,
    call,
    notification,
    post,
    settings_of,
    signed,
    told,
)
from tests.newsletter.reports import mailable, went_to

ELSEWHERE = [
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0123.pem",
    "https://evil.example/SimpleNotificationService-0123.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0123.pem",
    "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-0123.pem",
    "https://bucket.s3.amazonaws.com/SimpleNotificationService-0123.pem",
    "https://sns.eu-west-1.amazonaws.com/upload/../SimpleNotificationService-0123.pem",
    "https://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
]


@pytest.fixture
def asked(monkeypatch, settings):
    """Which addresses were asked for, whatever may have answered there."""
    settings.ANYMAIL = settings_of("amazon_ses")
    asked = []

    class Answer:
        content = amazon_certificate()

        def raise_for_status(self):
            pass

    def get(url, **how):
        assert how["allow_redirects"] is False
        asked.append(url)
        return Answer()

    monkeypatch.setattr("requests.get", get)
    cache.clear()
    return asked


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com").subscriber


@pytest.fixture
def sent(ann, briefing):
    return went_to([ann], briefing)


def confirmation(url):
    return notification(
        "You have chosen to subscribe",
        "c-1",
        Type="SubscriptionConfirmation",
        SubscribeURL=url,
        Token="t-1",
    )


SUBSCRIBE = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t-1"


def test_the_certificate_is_fetched_once(client, asked, sent, ann):
    for _ in range(2):
        assert (
            call(client, "amazon_ses", told("amazon_ses", "delivered", sent, ann)).status_code
            == 200
        )

    assert asked == [CERTIFICATE_URL]
    assert Event.objects.count() == 2


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_versions_of_the_signature_are_known(client, asked, sent, ann, version):
    event = told("amazon_ses", "complained", sent, ann) | {"SignatureVersion": version}

    assert call(client, "amazon_ses", event).status_code == 200
    assert mailable() == set()


def test_a_subject_is_signed_too(client, asked, sent, ann):
    event = told("amazon_ses", "complained", sent, ann) | {"Subject": "Amazon SES"}
    body, headers = signed("amazon_ses", event)

    answers = [
        post(client, "amazon_ses", body.replace(b"Amazon SES", b"Another"), headers).status_code,
        post(client, "amazon_ses", body, headers).status_code,
    ]

    assert answers == [403, 200]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_no_certificate_is_fetched_elsewhere(client, asked, sent, ann, url):
    event = told("amazon_ses", "complained", sent, ann) | {"SigningCertURL": url}

    answer = call(client, "amazon_ses", event)

    assert answer.status_code == 403
    assert asked == []
    assert mailable() == {"ann@example.com"}


def test_a_confirmed_topic_is_asked_for_once_the_signature_is_right(client, asked, db):
    answer = call(client, "amazon_ses", confirmation(SUBSCRIBE))

    assert answer.status_code == 200
    assert asked == [CERTIFICATE_URL, SUBSCRIBE]


@pytest.mark.parametrize("url", [*ELSEWHERE, "https://sns.eu-west-1.amazonaws.com/elsewhere"])
def test_no_topic_is_confirmed_elsewhere(client, asked, db, url):
    client.raise_request_exception = False

    answer = call(client, "amazon_ses", confirmation(url))

    assert answer.status_code >= 400
    assert asked == [CERTIFICATE_URL]


def test_a_forged_confirmation_asks_nobody(client, asked, db):
    answer = call(client, "amazon_ses", confirmation(SUBSCRIBE), secret="another key")

    assert answer.status_code == 403
    assert SUBSCRIBE not in asked


def test_a_strangers_topic_with_amazons_own_signature_is_refused(client, asked, sent, ann):
    body, headers = signed("amazon_ses", told("amazon_ses", "complained", sent, ann))

    answers = [
        post(client, "amazon_ses", body, headers | {"Authorization": "Basic ZGVzazpndWVzcw=="}),
        post(client, "amazon_ses", body, {k: v for k, v in headers.items() if k not in BASIC}),
    ]

    assert [answer.status_code for answer in answers] == [403, 401]
    assert "Basic" in answers[1]["WWW-Authenticate"]
    assert asked == []


def test_who_wants_to_confirm_by_hand_may(client, asked, db, settings):
    settings.ANYMAIL |= {"AMAZON_SES_AUTO_CONFIRM_SNS_SUBSCRIPTIONS": False}

    assert call(client, "amazon_ses", confirmation(SUBSCRIBE)).status_code == 200
    assert asked == [CERTIFICATE_URL]


def test_a_word_that_is_no_report_is_fine(client, asked, db):
    event = notification("", "n-1")
    event["Message"] = "Successfully validated SNS topic for Amazon SES event publishing."

    assert call(client, "amazon_ses", event).status_code == 200


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure"])
def test_feedback_that_is_no_complaint_changes_nothing(client, asked, sent, ann, kind):
    event = told("amazon_ses", "complained", sent, ann)
    event["Message"] = event["Message"].replace('"abuse"', json.dumps(kind))

    assert call(client, "amazon_ses", event).status_code == 200
    assert mailable() == {"ann@example.com"}
    assert not Event.objects.exists()


def test_one_notification_of_several_readers_is_several_events(client, asked, sent, ann):
    event = told("amazon_ses", "complained", sent, ann)
    message = json.loads(event["Message"])
    message["complaint"]["complainedRecipients"].append({"emailAddress": "who@example.net"})

    for _ in range(2):
        call(client, "amazon_ses", event | {"Message": json.dumps(message)})

    assert Event.objects.count() == 2
    assert mailable() == set()
