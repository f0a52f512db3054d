"""Readers who cannot be served now are left aside: the others go on, and nobody is lost."""

import time
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from newsletter.delivery import buckets, leases, limits, walks
from newsletter.delivery.buckets import OwnBuckets
from newsletter.models import Batch, Campaign, DayCount, Parking, RateLimit
from newsletter.reports import Progress, progress
from newsletter.tasks import look_for_due_campaigns
from subscribers.models import Subscriber
from tests.newsletter.sending import (
    bring_forward,
    confirmed_readers,
    die,
    finish_with_time,
    schedule,
    send_one_batch,
    start,
    work,
)

pytestmark = pytest.mark.usefixtures("calls")

MINUTE = timedelta(minutes=1)


class KilledError(BaseException):
    """What SIGKILL comes to: nothing is written down any more."""


@pytest.fixture(autouse=True)
def own_buckets(settings, monkeypatch):
    settings.EMBEDDED = True
    monkeypatch.setattr(limits, "_own_buckets", OwnBuckets())


@pytest.fixture
def readers(briefing):
    """Ten at Gmail before ten at a house that nobody knows."""
    return confirmed_readers(10, briefing, "gmail.com") + confirmed_readers(10, briefing)


@pytest.fixture
def clock(monkeypatch):
    """That of the limits, in which one sleeps without waiting."""

    class Clock:
        began_at = now = 1000.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds + 0.001

        def until(self, condition):
            """Batches that rest are found due a heartbeat's part later."""
            while not condition():
                assert self.now - self.began_at < 60
                self.now += 0.05
                Batch.objects.update(due_at=timezone.now() - MINUTE)

    fake = Clock()
    for module in [buckets, limits, walks]:
        monkeypatch.setattr(module, "time", fake)
    return fake


def park(house="gmail", until=None):
    now = timezone.now()
    return Parking.objects.create(
        mailer="default", house=house, until=until or now + 15 * MINUTE, parked_at=now
    )


def houses(mailoutbox):
    return Counter(mail.to[0].rpartition("@")[2] for mail in mailoutbox)


def mailed_once(mailoutbox):
    assert len({mail.to[0] for mail in mailoutbox}) == len(mailoutbox)
    return len(mailoutbox)


def next_day():
    """What was taken until now was yesterday's."""
    for count in DayCount.objects.order_by("day"):
        DayCount.objects.filter(pk=count.pk).update(day=count.day - timedelta(days=1))


def to_readers_hours(campaign):
    """Due a minute ago on clocks of UTC, and in an hour on those an hour behind."""
    wall = timezone.now() - MINUTE
    campaign.at_readers_hour, campaign.time_zone = True, "UTC"
    campaign.scheduled_date, campaign.scheduled_time = wall.date(), wall.time()
    schedule(campaign, wall)
    Campaign.objects.filter(pk=campaign.pk).update(send_until=wall + timedelta(hours=13))
    assert campaign.start()
    return wall + timedelta(hours=1)


# A provider that is parked -------------------------------------------------------------------


def test_readers_at_a_parked_provider_wait_and_the_others_are_mailed(campaign, readers, mailoutbox):
    parking = park()
    start(campaign)

    work()

    batch = Batch.objects.get()
    assert houses(mailoutbox) == {"example.org": 10}
    assert (batch.left_aside, batch.due_at) == (10, parking.until)
    assert batch.finished_at is None
    assert Batch.objects.claim() is None
    assert not campaign.finish()


def test_the_next_visit_takes_exactly_those_who_were_left_aside(campaign, readers, mailoutbox):
    park()
    start(campaign)
    work()
    Parking.objects.all().delete()

    bring_forward(campaign)
    work()

    assert houses(mailoutbox) == {"gmail.com": 10, "example.org": 10}
    assert mailed_once(mailoutbox) == 20
    assert campaign.finish()
    assert progress(campaign) == Progress(audience=20, sent=20)


def test_a_parked_provider_is_tried_with_a_few_and_then_reached(campaign, readers, mailoutbox):
    park(until=timezone.now() - MINUTE)
    start(campaign)

    finish_with_time(campaign)

    assert not Parking.objects.exists()
    assert mailed_once(mailoutbox) == 20


def test_who_leaves_while_left_aside_is_skipped(campaign, readers, mailoutbox):
    park()
    start(campaign)
    work()
    Parking.objects.all().delete()
    readers[0].subscriptions.update(ended_at=timezone.now(), end_reason="unsubscribed")

    finish_with_time(campaign)

    assert mailed_once(mailoutbox) == 19
    assert progress(campaign) == Progress(audience=20, sent=19, skipped=1)


def test_a_worker_killed_after_it_left_readers_aside_loses_nobody(
    campaign, readers, mailoutbox, during
):
    def kill():
        raise KilledError

    park()
    start(campaign)
    during(kill)
    with pytest.raises(KilledError):
        send_one_batch()
    batch = Batch.objects.get()
    assert batch.left_aside == 10
    assert batch.in_hand

    die(batch)
    Parking.objects.all().delete()
    work()

    assert mailed_once(mailoutbox) == 20
    assert campaign.finish()
    assert progress(campaign) == Progress(audience=20, sent=16, uncertain=4)


def test_a_worker_killed_on_the_second_visit_loses_nobody(campaign, readers, mailoutbox, during):
    def kill():
        raise KilledError

    park()
    start(campaign)
    work()
    Parking.objects.all().delete()
    bring_forward(campaign)
    during(kill)
    with pytest.raises(KilledError):
        send_one_batch()

    die(Batch.objects.get())
    work()

    assert mailed_once(mailoutbox) == 20
    assert campaign.finish()
    assert progress(campaign) == Progress(audience=20, sent=16, uncertain=4)


# An hour that has not come -------------------------------------------------------------------


def test_whose_hour_has_not_come_is_mailed_when_it_has(campaign, readers, mailoutbox):
    later = [person.pk for person in readers[:10]]
    Subscriber.objects.filter(pk__in=later).update(time_zone="Etc/GMT+1")
    hour = to_readers_hours(campaign)

    work()

    batch = Batch.objects.get()
    assert houses(mailoutbox) == {"example.org": 10}
    assert (batch.left_aside, batch.due_at) == (10, hour)
    # An hour passes.
    earlier = hour - timedelta(hours=2)
    Campaign.objects.update(scheduled_date=earlier.date(), scheduled_time=earlier.time())
    finish_with_time(campaign)
    assert mailed_once(mailoutbox) == 20


def test_a_visit_before_their_hour_mails_nobody_and_loses_nobody(campaign, readers, mailoutbox):
    Subscriber.objects.filter(pk=readers[0].pk).update(time_zone="Etc/GMT+1")
    hour = to_readers_hours(campaign)

    for _ in range(3):
        bring_forward(campaign)
        work()

    assert mailed_once(mailoutbox) == 19
    assert Batch.objects.get().due_at == hour
    assert not campaign.finish()


# A provider, or a mailer, that has run out ---------------------------------------------------


def test_readers_of_a_provider_that_ran_out_wait_and_the_others_are_mailed(
    campaign, readers, mailoutbox
):
    RateLimit.objects.create(mailbox_provider="gmail", per_day=4)
    start(campaign)

    work()

    batch = Batch.objects.get()
    assert houses(mailoutbox) == {"gmail.com": 4, "example.org": 10}
    assert batch.left_aside == 6
    assert batch.due_at > timezone.now()
    next_day()
    bring_forward(campaign)
    work()
    assert houses(mailoutbox) == {"gmail.com": 8, "example.org": 10}
    next_day()
    finish_with_time(campaign)
    assert mailed_once(mailoutbox) == 20


def test_a_provider_with_a_slow_rate_is_visited_again_when_it_gives(campaign, readers, mailoutbox):
    RateLimit.objects.create(mailbox_provider="gmail", per_second=0.01)
    start(campaign)

    work()

    batch = Batch.objects.get()
    assert houses(mailoutbox) == {"gmail.com": 1, "example.org": 10}
    assert batch.left_aside == 9
    wait = (batch.due_at - timezone.now()).total_seconds()
    assert 90 < wait <= 100


def test_a_mailer_with_a_rate_sends_to_all_and_never_faster(campaign, briefing, mailoutbox, clock):
    confirmed_readers(40, briefing)
    RateLimit.objects.create(per_second=20)
    start(campaign)

    clock.until(lambda: work() or campaign.finish())

    assert mailed_once(mailoutbox) == 40
    # It held one when it was new, and a tenth of a second's two at most.
    assert clock.now - clock.began_at >= (40 - 2) / 20
    assert progress(campaign) == Progress(audience=40, sent=40)


def test_a_day_that_is_spent_lets_the_batch_rest_until_the_next(campaign, briefing, mailoutbox):
    confirmed_readers(20, briefing)
    RateLimit.objects.create(per_day=9)
    start(campaign)

    work()
    look_for_due_campaigns()

    campaign.refresh_from_db()
    assert mailed_once(mailoutbox) == 9
    assert campaign.status == Campaign.Status.SENDING
    assert Batch.objects.get().due_at > timezone.now()
    bring_forward(campaign)
    work()
    assert mailed_once(mailoutbox) == 9
    next_day()
    bring_forward(campaign)
    work()
    assert mailed_once(mailoutbox) == 18
    next_day()
    finish_with_time(campaign)
    assert mailed_once(mailoutbox) == 20
    assert progress(campaign) == Progress(audience=20, sent=20)


def test_what_was_granted_and_never_handed_over_is_others_to_take(
    campaign, briefing, mailoutbox, after_the_first_message, monkeypatch
):
    """The worker slept past its lease with four in hand, of whom one was away."""
    confirmed_readers(10, briefing)
    RateLimit.objects.create(per_day=10)
    start(campaign)
    sleeping = SimpleNamespace(monotonic=lambda: time.monotonic() + 16)
    after_the_first_message(lambda: monkeypatch.setattr(leases, "time", sleeping))
    send_one_batch()
    assert len(mailoutbox) == 1

    monkeypatch.setattr(leases, "time", time)
    finish_with_time(campaign)

    assert mailed_once(mailoutbox) == 10
    assert DayCount.objects.get().taken == 10
