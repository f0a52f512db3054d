"""Campaigns under limits: the engine sends what is granted, and forgets nobody."""

import time
from datetime import timedelta

import pytest
from django.db.models import Count
from django.utils import timezone

from newsletter.delivery import limits
from newsletter.delivery.buckets import OwnBuckets
from newsletter.models import Batch, DayCount, Delivery, RateLimit
from tests.newsletter.sending import bring_forward, confirmed_readers, start, work

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def embedded(settings, monkeypatch):
    settings.EMBEDDED = True
    monkeypatch.setattr(limits, "_own_buckets", OwnBuckets())


def sent_by_domain(campaign):
    rows = Delivery.objects.filter(campaign=campaign, status="sent").order_by()
    return dict(rows.values_list("subscriber__domain").annotate(Count("subscriber")))


def test_a_providers_limit_leaves_its_readers_for_later_and_no_others(campaign, briefing):
    confirmed_readers(40, briefing, "gmail.com")
    confirmed_readers(40, briefing, "web.de")
    RateLimit.objects.create(mailbox_provider="gmail", per_day=10)
    start(campaign)

    work()

    assert sent_by_domain(campaign) == {"gmail.com": 10, "web.de": 40}
    batch = Batch.objects.get()
    assert batch.left_aside == 30
    assert timezone.now() < batch.due_at <= timezone.now() + timedelta(minutes=10)


def test_a_days_limit_stops_all_until_the_next_day(campaign, briefing):
    confirmed_readers(40, briefing, "gmail.com")
    RateLimit.objects.create(per_day=15)
    start(campaign)
    work()
    assert sent_by_domain(campaign) == {"gmail.com": 15}

    DayCount.objects.update(day=timezone.now().date() - timedelta(days=1))
    bring_forward(campaign)
    work()

    assert sent_by_domain(campaign) == {"gmail.com": 30}
    assert DayCount.objects.taken("default", timezone.now().date()) == 15


def test_whoever_had_to_wait_is_mailed_when_the_limit_is_gone(campaign, briefing):
    confirmed_readers(40, briefing, "gmail.com")
    limit = RateLimit.objects.create(per_day=15)
    start(campaign)
    work()
    limit.delete()
    bring_forward(campaign)

    work()

    assert sent_by_domain(campaign) == {"gmail.com": 40}
    assert campaign.finish()


def test_a_limit_a_second_paces_a_campaign_to_its_end(campaign, briefing):
    confirmed_readers(100, briefing)
    RateLimit.objects.create(per_second=100)
    start(campaign)
    begun = time.monotonic()

    while not campaign.finish():
        work()

    assert sent_by_domain(campaign) == {"example.org": 100}
    # One at once, the others by one a hundredth of a second.
    assert time.monotonic() - begun > 0.85
