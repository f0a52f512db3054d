"""Who of a campaign's lists would get it, and what became of it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from newsletter.models import Campaign, Delivery
from newsletter.reports import Progress, funnel, progress
from subscribers.models import Evidence, Subscription, Suppression
from tests.newsletter.sending import confirmed_readers, start, work

BY_LINK = Evidence(method="link")


def suppress(subscription, reason):
    Suppression.objects.create(
        key=subscription.subscriber.suppression_key, scope="everything", reason=reason
    )


@pytest.fixture
def mixed(campaign, subscribe, weekend):
    """Ann is on both lists; ben on one; of the others each is kept out for another reason."""
    campaign.mailing_lists.add(weekend)
    subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)
    subscribe("ben@example.com", weekend)
    waiting = subscribe("cyd@example.com")
    Subscription.objects.filter(pk=waiting.pk).update(confirmed_at=None)
    paused = subscribe("dan@example.com")
    Subscription.objects.filter(pk=paused.pk).update(
        paused_until=timezone.now() + timedelta(days=1)
    )
    suppress(paused, Suppression.Reason.BOUNCED)
    bounced = subscribe("eve@example.com")
    suppress(bounced, Suppression.Reason.COMPLAINED)
    suppress(bounced, Suppression.Reason.BOUNCED)
    subscribe("fay@example.com").end("unsubscribed", BY_LINK)
    subscribe("gus@example.com").end("complained", BY_LINK)
    # Left, and came back: here.
    back = subscribe("hal@example.com")
    back.close("unsubscribed", BY_LINK)
    subscribe("hal@example.com")
    return campaign


def test_everybody_of_the_lists_is_in_the_funnel_once(mixed):
    counted = funnel(mixed)

    assert counted.readers == mixed.readers() == 3
    assert dict(counted.excluded) == {
        "unconfirmed": 1,
        "paused": 1,
        "bounced": 1,
        "unsubscribed": 1,
        "complained": 1,
        "duplicates": 1,
    }
    assert counted.everybody == 9


def test_who_is_not_of_the_cohort_is_left_out_and_counted(mixed, briefing):
    old = timezone.now() - timedelta(days=30)
    Subscription.objects.filter(subscriber__address__startswith="hal").update(confirmed_at=old)
    mixed.confirmed_since = timezone.now() - timedelta(days=1)

    counted = funnel(mixed)

    assert counted.readers == mixed.readers() == 2
    assert counted.not_yet == 1
    assert counted.everybody == 9


def test_the_funnel_takes_as_many_queries_for_many_as_for_one(
    campaign, briefing, django_assert_num_queries
):
    confirmed_readers(50, briefing)

    # The lists; who is on them; who is kept out; whether terms are asked for; who left.
    with django_assert_num_queries(5):
        assert funnel(campaign).readers == 50


@pytest.mark.parametrize("status", ["sent", "cancelled", "attention"])
def test_of_a_closed_campaign_the_books_are_asked_and_not_the_ledger(
    campaign, status, django_assert_num_queries
):
    books = {"sent": 3, "failed": 2, "skipped": 1, "uncertain": 1}
    Campaign.objects.update(
        status=status, audience=7, started_at=timezone.now(), finished_at=timezone.now(), **books
    )
    campaign.refresh_from_db()

    with django_assert_num_queries(0):
        assert progress(campaign) == Progress(audience=7, **books)


def test_of_a_campaign_that_goes_on_the_ledger_is_asked(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    work()
    campaign.refresh_from_db()

    assert progress(campaign).sent == Delivery.objects.count() == 1
