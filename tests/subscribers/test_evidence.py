"""What a consent row holds: all that one may be asked to show later (EVD-01)."""

import hashlib
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from subscribers import tasks
from subscribers.models import Consent, Evidence, Removal, Seal, Subscriber, Subscription
from tests.subscribers.evidence import found, meddle, seal_all

TRACED = Evidence(method="link", network_address="192.0.2.1", browser="Mosaic/1.0")


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com")


def test_a_form_leaves_all_that_was_shown_and_ticked(sign_up, publication, weekend):
    sign_up(
        "Ann@example.com", headers={"Referer": "https://other.example/front", "User-Agent": "M/1"}
    )

    given = Consent.objects.get()
    shown = publication.current_terms()
    text = f"{shown.wording}\n{shown.text}"
    assert given.address == "Ann@example.com"
    assert given.purpose == Consent.Purpose.NEWSLETTER
    assert given.wording == "By submitting this form, I agree to the terms."
    assert (given.terms, given.terms_hash) == (shown, hashlib.sha256(text.encode()).hexdigest())
    assert given.boxes == {
        "agree": True,
        "lists": {"morning-briefing": True, "weekend-reader": False},
    }
    assert given.network_address == "127.0.0.1"
    assert given.browser == "M/1"
    assert (given.form, given.page) == ("sign-up", "/articles/the-ferry-returns/")
    assert given.referrer == "https://other.example/front"
    assert given.language == "en"
    assert given.method == Consent.Method.FORM
    assert abs(given.recorded_at - timezone.now()) < timedelta(minutes=1)


def test_a_confirmation_names_the_mail_that_it_answers(client, sign_up, letters, link):
    sign_up()
    first = letters()[0]
    Subscription.objects.get().subscriber.letters.update(answered_at=timezone.now())
    sign_up()
    letters()

    client.post(link("c", first))

    confirmed = Consent.objects.get(action=Consent.Action.CONFIRMED)
    assert confirmed.message_id == first.extra_headers["Message-ID"]
    assert abs(confirmed.mailed_at - timezone.now()) < timedelta(minutes=1)
    assert (confirmed.network_address, confirmed.method) == ("127.0.0.1", Consent.Method.LINK)


def test_a_confirmation_is_under_the_terms_of_the_form(client, sign_up, letters, link, publication):
    sign_up()
    publication.terms_versions.create(number=2, text="Other terms.")
    mail = letters()[0]

    client.post(link("c", mail))

    confirmed = Consent.objects.get(action=Consent.Action.CONFIRMED)
    assert confirmed.terms.number == 1
    assert confirmed.wording == "By submitting this form, I agree to the terms."
    assert Subscription.objects.get().agreed_to.number == 1


def test_the_last_form_before_the_confirmation_tells_the_terms(
    client, sign_up, letters, link, publication
):
    sign_up()
    letters()
    publication.terms_versions.create(number=2, text="Other terms.")
    Subscription.objects.get().subscriber.letters.update(answered_at=timezone.now())
    sign_up(terms="2")

    client.post(link("c", letters()[1]))

    assert Consent.objects.get(action=Consent.Action.CONFIRMED).terms.number == 2


def test_a_strangers_form_does_not_change_what_a_reader_agreed_to(sign_up, subscribe, publication):
    ann = subscribe("ann@example.com")
    publication.terms_versions.create(number=2, text="Other terms.")

    sign_up(terms="2")

    ann.refresh_from_db()
    assert ann.agreed_to is None


def test_coming_back_at_once_is_under_the_terms_of_before(ann, publication):
    Subscription.objects.filter(pk=ann.pk).update(agreed_to=publication.current_terms())
    ann.refresh_from_db()
    ann.end(Subscription.EndReason.UNSUBSCRIBED, TRACED)
    ann.refresh_from_db()

    ann.reopen(Evidence(method="undo", wording="Put me back"))

    back = Subscription.objects.latest("pk")
    assert back.agreed_to == publication.current_terms()
    confirmed = back.consents.get(action=Consent.Action.CONFIRMED)
    assert (confirmed.terms, confirmed.wording) == (publication.current_terms(), "Put me back")


# How long it is kept ----------------------------------------------------------------------------


def test_network_address_and_browser_go_after_a_year(ann, settings):
    settings.KEEP_TRACES_DAYS = 365
    for days in (366, 364):
        Consent.objects.record("withdrawn", ann, TRACED)
        recorded = timezone.now() - timedelta(days=days)
        last = Consent.objects.latest("pk")
        meddle(
            "UPDATE subscribers_consent SET at = %s, recorded_at = %s WHERE id = %s",
            recorded,
            recorded,
            last.pk,
        )
    seal_all()

    assert tasks.trim_traces() == 1
    assert tasks.trim_traces() == 0

    (kept,) = Consent.objects.exclude(browser="")
    assert kept.network_address == "192.0.2.1"
    assert Removal.objects.get().reason == Removal.Reason.TRACES_OVER
    assert found() == []


def test_evidence_goes_three_years_after_the_reader_left(subscribe, weekend, settings):
    settings.KEEP_EVIDENCE_DAYS = 1096
    for name, days in [("gone", 1097), ("kept", 1095), ("reads", 1097)]:
        left = subscribe(f"{name}@example.com")
        left.end(Subscription.EndReason.UNSUBSCRIBED, TRACED)
        ended = timezone.now() - timedelta(days=days)
        Subscription.objects.filter(pk=left.pk).update(ended_at=ended)
    subscribe("reads@example.com", weekend)
    seal_all()

    assert tasks.purge_left() == 2
    assert tasks.purge_left() == 0

    assert set(Subscriber.objects.values_list("address", flat=True)) == {
        "kept@example.com",
        "reads@example.com",
    }
    assert not Consent.objects.filter(address="gone@example.com").exists()
    assert Consent.objects.filter(address="reads@example.com").count() == 2
    assert Removal.objects.get().reason == Removal.Reason.EVIDENCE_OVER
    assert found() == []


def test_whom_nobody_confirmed_leaves_a_valid_seal(sign_up):
    sign_up()
    seal_all()
    Subscription.objects.update(requested_at=timezone.now() - timedelta(days=40))
    Subscription.objects.get().letters.update(asked_at=timezone.now() - timedelta(days=40))

    assert tasks.purge_unconfirmed() == 1

    assert not Consent.objects.exists()
    assert Removal.objects.get().reason == Removal.Reason.NEVER_CONFIRMED
    assert found() == []


def test_many_go_in_small_steps_and_the_rest_at_another_time(ann, settings, monkeypatch, eager):
    settings.KEEP_TRACES_DAYS = 0
    monkeypatch.setattr("subscribers.retention._SOME", 2)
    monkeypatch.setattr("subscribers.tasks._A_WHILE", -1)
    for _ in range(5):
        Consent.objects.record("withdrawn", ann, TRACED)

    tasks.trim_traces()

    assert not Consent.objects.exclude(browser="").exists()
    assert sorted(Removal.objects.values_list("rows", flat=True)) == [1, 2, 2]


def test_each_job_reports(ann, settings, caplog):
    settings.KEEP_TRACES_DAYS = 0
    Consent.objects.record("withdrawn", ann, TRACED)

    with caplog.at_level("INFO", logger="subscribers"):
        tasks.trim_traces()
        tasks.purge_left()

    assert "Emptied network address and browser of 1 consents" in caplog.text
    assert "Forgot 0 subscriptions that ended" in caplog.text


def test_the_heartbeat_has_consents_sealed(ann, eager, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("subscribers.models.seals.SETTLES", timedelta(0))
    cache.clear()

    tasks.look_for_unsealed_consents()

    assert Seal.objects.get().rows == 2
    with django_assert_num_queries(0):
        tasks.look_for_unsealed_consents()
