"""A campaign starts once, and ends only when everybody is accounted for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from newsletter.models import Batch, Campaign, Delivery, planning
from newsletter.reports import Progress, progress, skipped
from newsletter.tasks import look_for_due_campaigns
from subscribers.models import Evidence, Subscription, Suppression
from tests.newsletter.sending import (
    confirmed_readers,
    schedule,
    start,
    statuses,
    work,
)

pytestmark = pytest.mark.usefixtures("calls")


def leave(subscription):
    subscription.end("unsubscribed", Evidence(method="link"))


def test_a_campaign_found_due_twice_is_started_once(campaign, subscribe):
    subscribe("ann@example.com")
    schedule(campaign)

    assert campaign.start()
    assert not Campaign.objects.get(pk=campaign.pk).start()

    assert campaign.batches.count() == 1


def test_a_campaign_is_not_started_before_its_time(campaign, subscribe):
    subscribe("ann@example.com")
    schedule(campaign, timezone.now() + timedelta(minutes=1))

    look_for_due_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SCHEDULED


def test_two_heartbeats_and_three_calls_mail_everybody_once(campaign, subscribe, mailoutbox, calls):
    for name in ["ann", "bob", "cyd"]:
        subscribe(f"{name}@example.com")
    schedule(campaign)

    look_for_due_campaigns()
    look_for_due_campaigns()
    work()
    work()
    work()
    look_for_due_campaigns()

    assert sorted(mail.to[0] for mail in mailoutbox) == [
        "ann@example.com",
        "bob@example.com",
        "cyd@example.com",
    ]
    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SENT
    assert progress(campaign) == Progress(audience=3, sent=3)


def test_a_start_missed_within_the_grace_is_made_up_for(campaign, subscribe):
    subscribe("ann@example.com")
    schedule(campaign, timezone.now() - timedelta(minutes=59))

    look_for_due_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SENDING


def test_a_start_missed_by_longer_is_held_until_somebody_says_go(campaign, subscribe, mailoutbox):
    subscribe("ann@example.com")
    schedule(campaign, timezone.now() - timedelta(minutes=61))

    look_for_due_campaigns()
    work()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert "still news" in campaign.trouble
    assert mailoutbox == []

    assert campaign.resume()
    look_for_due_campaigns()
    work()
    assert len(mailoutbox) == 1


def test_a_campaign_that_was_held_can_be_called_off(campaign):
    schedule(campaign, timezone.now() - timedelta(hours=2))
    look_for_due_campaigns()

    assert campaign.cancel()
    assert not campaign.resume()


def test_a_campaign_to_nobody_ends_cleanly(campaign):
    schedule(campaign)

    look_for_due_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SENT
    assert progress(campaign) == Progress(audience=0)


def test_a_campaign_to_suppressed_addresses_ends_cleanly(campaign, briefing):
    people = confirmed_readers(50, briefing)
    Suppression.objects.bulk_create(
        Suppression(key=person.suppression_key, scope="everything", reason="complained")
        for person in people
    )
    start(campaign)

    work()

    assert campaign.finish()
    assert progress(campaign) == Progress(audience=50, skipped=50)
    assert skipped(campaign) == {"suppressed": 50}


def test_readers_are_cut_into_ranges_that_leave_nobody_out(campaign, briefing, monkeypatch):
    monkeypatch.setattr(planning, "BATCH", 10)
    confirmed_readers(35, briefing)
    start(campaign)

    sizes = [len(batch.readers_left()) for batch in campaign.batches.order_by("first")]

    assert sizes == [10, 10, 10, 5]
    assert campaign.audience == 35


def test_planning_takes_the_same_few_queries_whatever_the_audience(
    campaign, briefing, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(planning, "BATCH", 10)
    confirmed_readers(500, briefing)
    schedule(campaign)

    with django_assert_max_num_queries(20):
        campaign.start()


def test_a_reader_on_two_lists_is_counted_and_mailed_once_by_the_first(
    campaign, subscribe, weekend, mailoutbox
):
    subscribe("ann@example.com", weekend)
    subscribe("ann@example.com")
    subscribe("bob@example.com", weekend)
    campaign.mailing_lists.add(weekend)
    start(campaign)

    work()

    assert campaign.audience == 2
    lists = dict(
        Delivery.objects.values_list("subscriber__address", "mailing_list__slug").order_by()
    )
    assert lists == {"ann@example.com": "morning-briefing", "bob@example.com": "weekend-reader"}
    for delivery in Delivery.objects.select_related("version"):
        assert delivery.version.mailing_list_id == delivery.mailing_list_id


def test_a_reader_who_left_one_list_is_mailed_by_the_other(campaign, subscribe, weekend):
    gone = subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)
    campaign.mailing_lists.add(weekend)
    start(campaign)
    leave(gone)

    work()

    assert Delivery.objects.get().mailing_list == weekend
    assert Delivery.objects.get().status == "sent"


def test_who_confirms_after_the_start_is_not_in_the_audience(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    subscribe("late@example.com")

    work()

    assert campaign.finish()
    assert statuses(campaign) == {"ann@example.com": ("sent", "")}


def test_who_leaves_after_the_start_is_skipped_and_accounted_for(campaign, subscribe):
    subscribe("ann@example.com")
    gone = subscribe("bob@example.com")
    start(campaign)
    leave(gone)

    work()

    assert campaign.finish()
    assert statuses(campaign)["bob@example.com"] == ("skipped", "unsubscribed")


def test_who_pauses_or_is_complained_of_is_skipped_with_the_reason(campaign, subscribe):
    resting = subscribe("ann@example.com")
    complained = subscribe("bob@example.com")
    start(campaign)
    Subscription.objects.filter(pk=resting.pk).update(
        paused_until=timezone.now() + timedelta(days=1)
    )
    complained.end("complained", Evidence(method="link"))

    work()

    assert statuses(campaign) == {
        "ann@example.com": ("skipped", "paused"),
        "bob@example.com": ("skipped", "complained"),
    }


def test_nobody_is_mailed_after_it_stopped_being_news(campaign, subscribe, mailoutbox):
    subscribe("ann@example.com")
    start(campaign)
    Campaign.objects.filter(pk=campaign.pk).update(send_until=timezone.now() - timedelta(seconds=1))

    work()

    assert mailoutbox == []
    assert campaign.finish()
    assert statuses(campaign) == {"ann@example.com": ("skipped", "expired")}


def test_a_campaign_with_a_reader_unaccounted_for_is_not_finished(campaign, subscribe):
    subscribe("ann@example.com")
    subscribe("bob@example.com")
    start(campaign)
    work()
    Delivery.objects.filter(subscriber__address="bob@example.com").delete()

    look_for_due_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.ATTENTION
    assert campaign.trouble == "1 reader is not accounted for."


def test_who_confirmed_in_the_moment_of_the_start_belongs_to_the_audience(campaign, subscribe):
    """Their transaction was not visible when the audience was counted, but began before."""
    subscribe("ann@example.com")
    start(campaign)
    hidden = subscribe("bob@example.com")
    Subscription.objects.filter(pk=hidden.pk).update(confirmed_at=campaign.started_at)

    work()

    assert campaign.finish()
    assert progress(campaign) == Progress(audience=2, sent=2)


def test_a_campaign_is_not_finished_while_a_batch_is_left(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)

    look_for_due_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SENDING


def test_workers_are_called_when_a_batch_is_due_and_only_then(campaign, subscribe, calls):
    subscribe("ann@example.com")
    look_for_due_campaigns()
    assert calls == []

    schedule(campaign)
    look_for_due_campaigns()

    assert len(calls) == 1


def test_a_batch_belongs_to_one_campaign_and_ends_with_it(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    work()

    assert Batch.objects.filter(finished_at__isnull=True).count() == 0


def test_a_new_campaign_stands_in_line_where_the_others_are_not_where_their_stragglers_wait(
    campaign, briefing, monkeypatch
):
    monkeypatch.setattr(planning, "BATCH", 2)
    confirmed_readers(8, briefing)
    start(campaign)
    straggler, second, *_rest = campaign.batches.order_by("lot")
    later = timezone.now() + timedelta(hours=1)
    campaign.batches.filter(pk=straggler.pk).update(due_at=later)

    assert Batch.objects.all()._next_lot() == second.lot
