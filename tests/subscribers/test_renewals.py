"""Readers who are asked to agree to newer terms, and what they answer."""

from datetime import timedelta
from email.policy import SMTP

import pytest
from django.utils import timezone

from subscribers import renewals, tasks
from subscribers.models import (
    Consent,
    Evidence,
    Letter,
    Renewal,
    Subscription,
    Suppression,
    Terms,
)
from tests.rfc import findings
from tests.subscribers.evidence import found, seal_all

BY_LINK = Evidence(method="link")


@pytest.fixture
def asked(publication, briefing):
    """Readers are asked to agree to version 2; by a date, if you say so."""

    def asked(agree_by=None):
        terms = Terms.objects.create(publication=publication, number=2, text="Newer terms.")
        return Renewal.objects.create(
            terms=terms, summary="We moved to another town.", agree_by=agree_by
        )

    return asked


@pytest.fixture
def ask(letters):
    """Let the heartbeat ask all whom it finds; the letters about terms that went out so far."""

    def ask():
        while renewals.ask_some():
            letters()
        return [mail for mail in letters() if "new terms" in mail.subject]

    return ask


def test_each_reader_gets_one_letter(subscribe, weekend, asked, ask):
    subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)
    subscribe("ben@example.com")
    asked()

    ask()
    Renewal.objects.update(due_at=timezone.now())

    assert sorted(mail.to[0] for mail in ask()) == ["ann@example.com", "ben@example.com"]


def test_nobody_is_asked_who_agreed_or_may_not_be_mailed(subscribe, asked, ask):
    renewal = asked()
    agreed, left, suppressed = (subscribe(f"{name}@example.com") for name in "abc")
    Subscription.objects.filter(pk=agreed.pk).update(agreed_to=renewal.terms)
    left.end("unsubscribed", BY_LINK)
    Suppression.objects.create(
        key=suppressed.subscriber.suppression_key, scope="everything", reason="complained"
    )

    assert ask() == []
    assert not Letter.objects.filter(kind="terms").exists()


def test_the_letter_tells_what_changes_and_how_to_leave(client, subscribe, asked, ask, link):
    subscribe("ann@example.com")
    asked(agree_by=timezone.now() + timedelta(days=30))

    (mail,) = ask()

    assert "We moved to another town." in mail.body
    assert "Whoever has not agreed by" in mail.body
    assert "List-Unsubscribe" in mail.extra_headers
    assert client.get(link("u", mail)).status_code == 200
    assert "<strong>Morning Briefing</strong>" in mail.alternatives[0].content


def test_the_letter_keeps_to_the_rules_of_mail(subscribe, asked, ask):
    subscribe("ann@example.com")
    asked(agree_by=timezone.now() + timedelta(days=30))

    (mail,) = ask()

    assert findings(mail.message(policy=SMTP).as_bytes(), bulk=False) == []


def test_only_the_button_agrees(client, subscribe, asked, ask, link):
    ann = subscribe("ann@example.com")
    asked()
    path = link("a", ask()[0])

    page = client.get(path)

    ann.refresh_from_db()
    assert "Newer terms." in page.text
    assert ann.agreed_to is None
    assert page["Cache-Control"] == "no-store"


def test_agreeing_is_on_record_word_for_word(client, subscribe, weekend, asked, ask, link):
    subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)
    renewal = asked()
    path = link("a", ask()[0])

    page = client.post(path, {"terms": "2"}, headers={"User-Agent": "M/1"})

    given = Consent.objects.filter(form="terms")
    assert "Nothing else is to be done" in page.text
    assert {one.mailing_list.slug for one in given} == {"morning-briefing", "weekend-reader"}
    for one in given:
        assert (one.action, one.method, one.terms) == ("given", "link", renewal.terms)
        assert one.terms_hash == renewal.terms.fingerprint
        assert one.wording == renewal.terms.label
        assert (one.browser, one.network_address) == ("M/1", "127.0.0.1")
    assert set(Subscription.objects.values_list("agreed_to", flat=True)) == {renewal.terms_id}
    assert Letter.objects.get(kind="terms").answered_at
    seal_all()
    assert found() == []


def test_agreeing_twice_is_agreeing_once(client, subscribe, asked, ask, link):
    subscribe("ann@example.com")
    asked()
    path = link("a", ask()[0])

    client.post(path, {"terms": "2"})
    again = client.post(path, {"terms": "2"})

    assert again.status_code == 200
    assert Consent.objects.filter(form="terms").count() == 1


def test_agreed_to_is_what_the_page_showed(client, subscribe, asked, ask, link, publication):
    subscribe("ann@example.com")
    asked()
    path = link("a", ask()[0])
    Terms.objects.create(publication=publication, number=3, text="Newest.")

    page = client.post(path, {"terms": "2"})

    assert "Newest." in page.text
    assert not Consent.objects.filter(form="terms").exists()


@pytest.mark.parametrize("token", ["x", "Z" * 200, "0" * 40])
def test_a_made_up_link_agrees_to_nothing(client, subscribe, asked, token):
    subscribe("ann@example.com")
    asked()

    page = client.post(f"/a/{token}", {"terms": "2"})

    assert page.status_code == 200
    assert "no longer works" in page.text
    assert not Consent.objects.filter(form="terms").exists()


def test_who_has_not_agreed_by_the_date_is_not_mailed_until_he_does(
    client, subscribe, asked, ask, link
):
    ann = subscribe("ann@example.com")
    renewal = asked(agree_by=timezone.now() + timedelta(days=30))
    path = link("a", ask()[0])
    assert list(Subscription.objects.mailable()) == [ann]

    Renewal.objects.update(agree_by=timezone.now() - timedelta(seconds=1))
    assert not Subscription.objects.mailable().exists()
    assert "Until you agree, we send you nothing." in client.get(path).text

    client.post(path, {"terms": str(renewal.terms.number)})
    assert list(Subscription.objects.mailable()) == [ann]


def test_without_a_date_nobody_is_stopped(subscribe, asked):
    subscribe("ann@example.com")
    asked()

    assert Subscription.objects.mailable().count() == 1


def test_who_signs_up_under_the_newer_terms_is_not_asked(
    client, sign_up, letters, link, asked, ask
):
    asked(agree_by=timezone.now() - timedelta(days=1))
    sign_up(terms="2")
    client.post(link("c", letters()[0]))

    assert ask() == []
    assert Subscription.objects.mailable().count() == 1


def test_a_form_of_before_is_not_taken_once_newer_terms_are_asked_for(sign_up, asked):
    asked()

    page = sign_up(terms="1")

    assert page.status_code == 422
    assert "agree to them" in page.text


def test_who_confirms_a_form_of_before_is_asked_at_the_next_pass(
    client, sign_up, letters, link, asked, ask
):
    sign_up()
    confirmation = letters()[0]
    asked()
    assert ask() == []
    client.post(link("c", confirmation))
    Renewal.objects.update(due_at=timezone.now())

    assert len(ask()) == 1


def test_no_more_than_a_lot_waits_at_once(subscribe, asked, monkeypatch):
    """So a confirmation never waits behind a million of them."""
    monkeypatch.setattr(renewals, "_LOT", 2)
    for number in range(5):
        subscribe(f"r{number}@example.com")
    asked()

    tasks.look_for_readers_to_ask()
    tasks.look_for_readers_to_ask()

    assert Letter.objects.filter(kind="terms").count() == 2


def test_a_pass_that_found_all_is_repeated_a_day_later(subscribe, asked, ask):
    subscribe("ann@example.com")
    asked()

    ask()

    assert Renewal.objects.get().due_at > timezone.now() + timedelta(hours=23)


def test_as_long_as_nothing_is_asked_the_heartbeat_asks_one_small_question(
    subscribe, django_assert_num_queries
):
    subscribe("ann@example.com")

    with django_assert_num_queries(1):
        tasks.look_for_readers_to_ask()


def test_who_leaves_before_the_letter_goes_gets_none(subscribe, asked, letters):
    ann = subscribe("ann@example.com")
    asked()
    renewals.ask_some()
    ann.end("unsubscribed", BY_LINK)

    assert letters() == []


def test_of_two_renewals_the_newer_asks(subscribe, asked, ask, publication):
    subscribe("ann@example.com")
    asked()
    newest = Terms.objects.create(publication=publication, number=3, text="Newest.")
    Renewal.objects.create(terms=newest, summary="We moved once more.")

    (mail,) = ask()

    assert "We moved once more." in mail.body
