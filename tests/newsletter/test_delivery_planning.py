"""An audience is cut into batches: the first at once, the others beside the sending."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from newsletter.models import Campaign, planning
from newsletter.models.batches import BatchQuerySet
from newsletter.reports import Progress
from newsletter.tasks import look_for_due_campaigns
from subscribers.models import Subscription
from tests.newsletter.sending import (
    closed,
    confirmed_readers,
    schedule,
    start,
    work,
)

pytestmark = pytest.mark.usefixtures("calls")


@pytest.fixture
def large(campaign, briefing, monkeypatch):
    """An audience of thirty is large, and its first ten are cut at the start."""
    monkeypatch.setattr(planning, "FIRST_PLACES", [5, 10])
    monkeypatch.setattr(planning, "BATCH", 8)
    confirmed_readers(30, briefing)
    return schedule(campaign)


def test_the_first_of_a_large_audience_are_mailed_before_it_is_planned(large, mailoutbox):
    large.start()

    work()

    assert len(mailoutbox) == 10
    assert large.audience is None
    assert not large.finish()
    look_for_due_campaigns()
    work()
    look_for_due_campaigns()
    assert closed(large) == Progress(audience=30, sent=30)


def test_a_small_audience_is_planned_at_once(campaign, briefing):
    confirmed_readers(30, briefing)
    schedule(campaign)

    campaign.start()

    assert campaign.audience == 30
    assert not campaign.plan()


def test_planning_that_is_killed_half_way_has_planned_nothing(large, monkeypatch, mailoutbox):
    large.start()
    usual = BatchQuerySet.cut

    def cut(*arguments):
        usual(*arguments)
        raise RuntimeError("killed")

    monkeypatch.setattr(BatchQuerySet, "cut", cut)
    with pytest.raises(RuntimeError):
        large.plan()
    large.refresh_from_db()
    assert (large.audience, large.batches.count()) == (None, 2)

    monkeypatch.setattr(BatchQuerySet, "cut", usual)
    look_for_due_campaigns()
    work()

    assert len({mail.to[0] for mail in mailoutbox}) == len(mailoutbox) == 30


@pytest.mark.django_db(transaction=True)
def test_of_four_planners_at_once_one_cuts(large):
    large.start()
    planned, together = [], threading.Barrier(4)

    def plan():
        together.wait()
        planned.append(Campaign.objects.get(pk=large.pk).plan())
        connection.close()

    threads = [threading.Thread(target=plan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(planned) == [False, False, False, True]
    edges = list(large.batches.order_by("first").values_list("first", "last"))
    assert [first for first, _ in edges[1:]] == [last + 1 for _, last in edges[:-1]]
    assert edges[-1][1] == planning.LAST_ID


def test_everybody_belongs_to_exactly_one_batch_whatever_their_lists(
    campaign, briefing, weekend, monkeypatch
):
    monkeypatch.setattr(planning, "FIRST_PLACES", [3, 6])
    monkeypatch.setattr(planning, "BATCH", 5)
    both = confirmed_readers(12, briefing)
    confirmed_readers(12, weekend, "example.net")
    Subscription.objects.bulk_create(
        Subscription(subscriber=person, mailing_list=weekend, confirmed_at=timezone.now())
        for person in both[::2]
    )
    campaign.mailing_lists.add(weekend)
    schedule(campaign)
    campaign.start()
    assert campaign.batches.count() == 2

    campaign.plan()

    left = [reader for batch in campaign.batches.all() for reader in batch.readers_left()]
    assert len(left) == len(set(left)) == campaign.audience == 24


def test_a_warm_ups_cohort_is_the_whole_audience(campaign, briefing, mailoutbox):
    people = confirmed_readers(20, briefing)
    long_ago = timezone.now() - timedelta(days=30)
    old = [person.pk for person in people[:15]]
    Subscription.objects.filter(subscriber__in=old).update(confirmed_at=long_ago)
    campaign.confirmed_since = timezone.now() - timedelta(days=1)
    start(campaign)

    work()
    look_for_due_campaigns()

    assert len(mailoutbox) == 5
    assert closed(campaign) == Progress(audience=5, sent=5)


def test_a_cohort_that_is_called_off_skips_nobody_else(campaign, briefing):
    people = confirmed_readers(20, briefing)
    long_ago = timezone.now() - timedelta(days=30)
    old = [person.pk for person in people[:15]]
    Subscription.objects.filter(subscriber__in=old).update(confirmed_at=long_ago)
    campaign.confirmed_since = timezone.now() - timedelta(days=1)
    start(campaign)

    campaign.cancel()
    look_for_due_campaigns()

    assert closed(campaign) == Progress(audience=5, skipped=5)
