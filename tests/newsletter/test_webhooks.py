"""What providers report to us, each in its own words and with its own signature."""

import json
import logging
import time

import pytest
from django.core.cache import cache
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.test import Client

from config.environment import PROVIDERS as PROVIDERS_OF_ANYMAIL
from newsletter import tasks
from newsletter.models import Bounce, Delivery, Event
from newsletter.receivers.webhooks import providers
from newsletter.receivers.webhooks.freshness import refuse_stale
from subscribers import tokens
from subscribers.models import Consent, Letter
from subscribers.tokens import Purpose
from tests.newsletter.hooks import (
    BASIC,
    CERTIFICATE_URL,
    PROVIDERS,
    TIMED,
    amazon_certificate,
    call,
    post,
    settings_of,
    signed,
    told,
)
from tests.newsletter.reports import delivery_of, mailable, status, went_to

NO_SUCH_USER = "smtp; 550 5.1.1 no such user"


@pytest.fixture(params=PROVIDERS)
def provider(request, settings):
    """Each of them in turn, with the secret that it has."""
    settings.ANYMAIL = settings_of(request.param)
    return request.param


@pytest.fixture(autouse=True)
def certificate(no_network):
    """Amazon's is known already: nothing is fetched."""
    cache.set(f"amazon-certificate:{CERTIFICATE_URL}", amazon_certificate())


@pytest.fixture
def no_network(monkeypatch):
    """The addresses that were asked for; each answers with nothing."""
    asked = []

    class Answer:
        content = b""

        def raise_for_status(self):
            pass

    def get(url, **_how):
        asked.append(url)
        return Answer()

    monkeypatch.setattr("requests.get", get)
    return asked


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com").subscriber


@pytest.fixture
def sent(ann, briefing):
    return went_to([ann], briefing)


@pytest.fixture
def lost(ann, briefing):
    """Nobody knows whether it was handed over to Ann."""
    return went_to([ann], briefing, "uncertain")


# Each provider ---------------------------------------------------------------------------------


def test_a_delivery_settles_what_nobody_knew(client, provider, lost, ann):
    answer = call(client, provider, told(provider, "delivered", lost, ann))

    assert answer.status_code == 200
    assert status(lost, ann) == "sent"
    assert Event.objects.get().source == provider


def test_a_bounce_is_noted_against_the_address(client, provider, sent, ann):
    call(client, provider, told(provider, "bounced", sent, ann, NO_SUCH_USER))

    bounce = Bounce.objects.get()
    assert (bounce.is_hard, bounce.campaign, bounce.mailer) == (True, sent, provider)


def test_a_refusal_for_what_we_are_is_held_against_nobody(client, provider, sent, ann):
    call(client, provider, told(provider, "bounced", sent, ann, "550 5.7.1 blocked by policy"))

    assert Event.objects.get().fault == "policy"
    assert not Bounce.objects.exists()


def test_a_complaint_ends_the_subscription_at_once(client, provider, sent, ann):
    call(client, provider, told(provider, "complained", sent, ann))

    assert mailable() == set()
    assert Consent.objects.get(action="withdrawn").source == f"campaign:{sent.pk}"


@pytest.mark.parametrize("provider", sorted({*PROVIDERS} - {"amazon_ses", "resend"}), indirect=True)
def test_unsubscribing_there_leaves_the_list(client, provider, sent, ann):
    call(client, provider, told(provider, "unsubscribed", sent, ann))

    assert mailable() == set()
    assert Consent.objects.get(action="withdrawn").source == f"campaign:{sent.pk}"


def test_what_is_told_twice_counts_once(client, provider, sent, ann):
    event = told(provider, "bounced", sent, ann, NO_SUCH_USER)
    body, headers = signed(provider, event)

    answers = [post(client, provider, body, headers).status_code for _ in range(2)]

    assert answers == [200, 200]
    assert Event.objects.count() == 1
    assert Bounce.objects.count() == 1


def test_what_comes_out_of_order_comes_to_the_same(client, provider, lost, ann):
    for kind in ["bounced", "delivered"]:
        call(client, provider, told(provider, kind, lost, ann, NO_SUCH_USER))

    assert status(lost, ann) == "failed"
    assert Bounce.objects.count() == 1


def test_what_comes_before_the_ledger_row_waits_for_it(client, provider, ann, briefing):
    campaign = went_to([], briefing)
    answer = call(client, provider, told(provider, "complained", campaign, ann))
    assert answer.status_code == 200
    assert mailable() == {"ann@example.com"}
    Delivery.objects.bulk_create([delivery_of(campaign, ann)])

    tasks.look_for_reports()

    assert mailable() == set()


@pytest.mark.parametrize("kind", ["delivered", "bounced", "complained"])
def test_a_strangers_message_changes_nothing(client, provider, sent, ann, kind):
    stranger = type(ann)(pk=987_654, address="who@example.net")
    theirs = told(provider, kind, 987_654, stranger, NO_SUCH_USER)

    answer = call(client, provider, theirs)

    assert answer.status_code == 200
    assert mailable() == {"ann@example.com"}
    assert not Bounce.objects.exists()


# Who is let in ---------------------------------------------------------------------------------


def test_a_forged_signature_is_refused(client, provider, sent, ann, caplog):
    event = told(provider, "complained", sent, ann)

    answer = call(client, provider, event, secret="desk:another")

    assert answer.status_code == 403
    assert not Event.objects.exists()
    assert "ann@example.com" not in caplog.text


def test_what_is_not_signed_is_refused(client, provider, sent, ann):
    body = json.dumps(told(provider, "complained", sent, ann)).encode()

    answer = post(client, provider, body, {})

    assert answer.status_code in {400, 401, 403}
    assert not Event.objects.exists()


# The others sign no body: who knows the secret is believed.
@pytest.mark.parametrize("provider", ["amazon_ses", "resend", "sendgrid"], indirect=True)
def test_a_changed_body_is_refused(client, provider, sent, ann):
    body, headers = signed(provider, told(provider, "complained", sent, ann))

    answer = post(client, provider, body.replace(b"ann@", b"ben@"), headers)

    assert answer.status_code == 403


@pytest.mark.parametrize("secret", ["", None, "without-a-colon"])
def test_without_a_secret_nobody_is_let_in(client, provider, sent, ann, settings, caplog, secret):
    names = list(settings.ANYMAIL)
    body, headers = signed(provider, told(provider, "complained", sent, ann))
    settings.ANYMAIL = {"WEBHOOK_SECRET": secret} if secret is not None else {}

    answer = post(client, provider, body, headers)

    assert answer.status_code == 403
    assert f"ANYMAIL_{names[0]}" in caplog.text


OTHERS = {
    "mailersend": {"MAILERSEND_SIGNING_SECRET": "key"},
    "mailtrap": {"MAILTRAP_TRACKING_SECRET": "key"},
    "mandrill": {"MANDRILL_WEBHOOK_KEY": "key", "MANDRILL_WEBHOOK_URL": "http://localhost/"},
    "postal": settings_of("sendgrid"),
    "unisender_go": {"UNISENDER_GO_API_KEY": "key"},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("body", [b"{}", b'{"auth": "wrong"}', b"mandrill_events=[]"])
def test_others_that_anymail_knows_are_let_in_by_their_signature_only(client, settings, name, body):
    settings.ANYMAIL = {"POSTAL_WEBHOOK_KEY": "MA=="} | OTHERS[name]

    answer = post(client, name, body, {})

    assert answer.status_code in {400, 403}


def test_every_provider_may_report_for_which_anymail_has_a_view():
    assert {*PROVIDERS_OF_ANYMAIL} - {*providers.PROVIDERS} == {"scaleway"}


def test_an_unknown_provider_is_not_found(client):
    assert post(client, "carrier_pigeon", b"{}", BASIC).status_code == 404


@pytest.mark.parametrize("provider", TIMED, indirect=True)
def test_what_was_signed_long_ago_or_will_be_is_refused(client, provider, sent, ann):
    event = told(provider, "complained", sent, ann)
    long_ago = {"mailgun": 9 * 3600 + 60, "amazon_ses": 3660}.get(provider, 660)

    answers = [
        call(client, provider, dict(event) if isinstance(event, dict) else event, at=moment)
        for moment in [time.time() - long_ago, time.time() + long_ago]
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert not Event.objects.exists()


@pytest.mark.parametrize("provider", ["mailgun"], indirect=True)
@pytest.mark.parametrize("moment", ["nan", "inf", "soon", ""])
def test_a_time_that_is_none_is_refused(client, provider, sent, ann, moment):
    body, _headers = signed(provider, told(provider, "complained", sent, ann))
    damaged = json.loads(body)
    damaged["signature"]["timestamp"] = moment

    answer = post(client, provider, json.dumps(damaged).encode(), {})

    assert answer.status_code in {400, 403}


@pytest.mark.parametrize("moment", ["nan", "inf", "-inf"])
def test_a_time_that_is_none_is_stale_even_if_it_is_signed(moment):
    with pytest.raises(SuspiciousOperation):
        refuse_stale("mailgun", moment)


def test_a_megabyte_is_refused_unread(db, client, provider, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = post(client, provider, b" " * 1_000_001, BASIC)

    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"null", b'"text"', b"[" * 200_000, b"\xff"]
)
def test_what_cannot_be_read_crashes_nothing(client, provider, body):
    answer = post(client, provider, body, {})

    assert answer.status_code in {400, 401, 403}


def test_nobody_needs_a_cookie_or_gets_one(provider, sent, ann):
    strict = Client(enforce_csrf_checks=True)

    answer = call(strict, provider, told(provider, "delivered", sent, ann))

    assert answer.status_code == 200
    assert not answer.cookies


def test_a_provider_may_ask_whether_there_is_such_an_address(client, provider):
    answers = [client.head(f"/reports/{provider}/"), client.get(f"/reports/{provider}/")]

    assert [answer.status_code for answer in answers] == [200, 405]


def test_what_goes_wrong_with_us_asks_the_provider_to_come_again(
    client, provider, sent, ann, monkeypatch
):
    def lost(*_anything):
        raise DatabaseError("gone away")

    monkeypatch.setattr(type(Event.objects.all()), "record", lost)
    client.raise_request_exception = False

    answer = call(client, provider, told(provider, "delivered", sent, ann))

    assert answer.status_code == 500


def test_no_line_in_the_log_has_a_whole_address(client, provider, sent, ann, caplog):
    caplog.set_level(logging.DEBUG)

    call(client, provider, told(provider, "bounced", sent, ann, "<ann@example.com> unknown"))

    assert "ann@example.com" not in caplog.text


# Which message -----------------------------------------------------------------------------------


@pytest.fixture
def mailgun(settings):
    settings.ANYMAIL = settings_of("mailgun")


def of_message_id(kind, message_id, address="ann@example.com"):
    """Mailgun's report of a message that nothing was given along with."""
    event = told("mailgun", kind, 0, type("Reader", (), {"pk": 0, "address": address}))
    event["event-data"]["user-variables"] = {}
    event["event-data"]["message"]["headers"]["message-id"] = message_id
    return event


def test_without_metadata_our_own_message_id_tells(client, mailgun, sent, ann):
    token = tokens.sign(Purpose.MESSAGE, ann.pk, sent.pk)

    call(client, "mailgun", of_message_id("complained", f"{token}@harbour.example"))

    assert mailable() == set()
    assert Consent.objects.get(action="withdrawn").source == f"campaign:{sent.pk}"


def test_a_letter_is_known_by_its_message_id(client, mailgun, ann):
    letter = Letter.objects.create(kind="welcome", subscriber=ann)
    token = tokens.sign(Purpose.LETTER, letter.pk)

    call(client, "mailgun", of_message_id("complained", f"{token}@harbour.example"))

    assert mailable() == set()
    assert Consent.objects.get(action="withdrawn").source == ""


@pytest.mark.parametrize("message_id", ["", "<who@example.net>", "a" * 500, "<AAAA@x>"])
def test_a_message_id_that_is_not_ours_changes_nothing(client, mailgun, sent, ann, message_id):
    answer = call(client, "mailgun", of_message_id("complained", message_id))

    assert answer.status_code == 200
    assert mailable() == {"ann@example.com"}
    assert Event.objects.get().applied_at is None
    assert not Event.objects.waiting().exists()


@pytest.mark.parametrize(
    "ours", [{"campaign": "x", "subscriber": "-1"}, {"subscriber": "9" * 40}, []]
)
def test_anothers_metadata_crashes_nothing(client, mailgun, sent, ann, ours):
    event = told("mailgun", "complained", sent, ann)
    event["event-data"]["user-variables"] = ours

    assert call(client, "mailgun", event).status_code == 200
    assert mailable() == {"ann@example.com"}


def test_opens_and_clicks_are_not_counted(client, mailgun, sent, ann):
    for kind in ["opened", "clicked", "accepted"]:
        assert call(client, "mailgun", told("mailgun", kind, sent, ann)).status_code == 200

    assert not Event.objects.exists()
