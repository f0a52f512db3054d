"""Signing up again after having left, been erased, or bounced (EVD-07)."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from subscribers.addresses import parse
from subscribers.models import Consent, Evidence, Letter, Removal, Subscription, Suppression

BY_LINK = Evidence(method="link")


@pytest.fixture
def keep_out():
    """Suppress an address, as of a minute ago, for a reason."""

    def keep_out(address, reason):
        kept = Suppression.objects.create(
            key=parse(address).suppression_keys()[0], scope="everything", reason=reason
        )
        Suppression.objects.filter(pk=kept.pk).update(
            created_at=timezone.now() - timedelta(minutes=1)
        )

    return keep_out


@pytest.fixture
def ways_out(subscribe, keep_out):
    """How ann came to be nobody whom we mail, by its name."""

    def left():
        subscribe("ann@example.com").end(Subscription.EndReason.UNSUBSCRIBED, BY_LINK)

    def erased():
        gone = subscribe("ann@example.com")
        Removal.objects.remove(Consent.objects.filter(subscription=gone), "asked")
        gone.delete()
        gone.subscriber.delete()
        keep_out("ann@example.com", "erased")

    def bounced():
        subscribe("ann@example.com")
        keep_out("ann@example.com", "bounced")

    return {"left": left, "erased": erased, "bounced": bounced}


@pytest.mark.parametrize("way", ["left", "erased", "bounced"])
def test_one_mail_and_its_button_bring_somebody_back(
    client, ways_out, way, sign_up, letters, link, briefing
):
    ways_out[way]()
    assert not Subscription.objects.mailable().exists()

    sign_up("ann@example.com")
    (confirmation,) = letters()
    assert not Subscription.objects.mailable().exists()
    assert "Shall we send you Morning Briefing?" in client.get(link("c", confirmation)).text
    page = client.post(link("c", confirmation)).text

    assert "You’re subscribed" in page
    assert Subscription.objects.mailable().count() == 1
    assert not Suppression.objects.in_force().exists()
    assert [mail.subject.split()[0] for mail in letters()] == ["Please", "Welcome"]


@pytest.mark.parametrize("way", ["left", "erased", "bounced"])
def test_the_consent_is_a_fresh_one(client, ways_out, way, sign_up, letters, link, publication):
    ways_out[way]()
    publication.terms_versions.create(number=2, text="Newer.")
    last = max(Consent.objects.values_list("pk", flat=True), default=0)

    sign_up("ann@example.com", terms="2")
    client.post(link("c", letters()[0]))

    given, confirmed = Consent.objects.filter(pk__gt=last).order_by("pk")
    assert (given.action, confirmed.action) == ("given", "confirmed")
    assert (given.terms.number, confirmed.terms.number) == (2, 2)
    assert confirmed.message_id == Letter.objects.get(kind="confirm").message_id
    assert Subscription.objects.mailable().get().agreed_to.number == 2


@pytest.mark.parametrize("way", ["left", "erased", "bounced"])
def test_an_import_brings_nobody_back(ways_out, way, sign_up, briefing):
    """Whoever imports asks what keeps an address out: the form alone, unanswered, lifts nothing."""
    ways_out[way]()

    sign_up("ann@example.com")

    assert Suppression.objects.keeping_out(parse("ann@example.com"), [briefing]).exists()


def test_where_mail_bounced_one_letter_is_tried_a_week(ways_out, sign_up, letters):
    with time_machine.travel(timezone.now() - timedelta(days=30)) as clock:
        ways_out["bounced"]()
        for _day in range(6):
            sign_up("ann@example.com")
            letters()
            clock.shift(timedelta(days=1))
        assert len(letters()) == 1

        clock.shift(timedelta(days=3))
        sign_up("ann@example.com")

    assert len(letters()) == 2


def test_a_try_that_bounces_again_leaves_it_as_it_was(client, ways_out, sign_up, letters, link):
    ways_out["bounced"]()
    sign_up("ann@example.com")
    confirmation = letters()[0]
    Suppression.objects.update(created_at=timezone.now() + timedelta(seconds=1))

    client.post(link("c", confirmation))

    assert Suppression.objects.in_force().count() == 1
    assert not Subscription.objects.mailable().exists()


def test_a_strangers_form_changes_nothing_of_a_bounced_reader(ways_out, sign_up, publication):
    ways_out["bounced"]()
    publication.terms_versions.create(number=2, text="Newer.")
    before = Subscription.objects.get()

    sign_up("ann@example.com", terms="2")

    after = Subscription.objects.get()
    assert (after.confirmed_at, after.ended_at) == (before.confirmed_at, None)
    assert after.agreed_to is None


@pytest.mark.parametrize("reason", ["complained", "not_me", "by_staff"])
def test_what_has_rules_of_its_own_gets_no_letter(subscribe, keep_out, sign_up, letters, reason):
    subscribe("ann@example.com").end(Subscription.EndReason.UNSUBSCRIBED, BY_LINK)
    keep_out("ann@example.com", reason)

    sign_up("ann@example.com")

    assert letters() == []


def test_who_bounced_may_have_the_link_sent_anew(client, ways_out, sign_up, letters, link):
    with time_machine.travel(timezone.now() - timedelta(days=9)):
        ways_out["bounced"]()
        sign_up("ann@example.com")
        old = link("c", letters()[0])
    assert "no longer works" in client.get(old).text

    client.post(f"{old}/new-link")
    client.post(link("c", letters()[1]))

    assert Subscription.objects.mailable().count() == 1
