"""A campaign's life: what is decided, replaced, called off and resumed, and by whom."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta

import pytest
import time_machine
from django.db import connections
from django.utils import timezone

from newsletter.content import compile_versions
from newsletter.models import Article, Batch, Campaign
from subscribers.models import Publication, Subscriber
from tests.newsletter.sending import schedule, start

EVENING = datetime(2027, 1, 14, 18, 0, tzinfo=UTC)
STATUS = Campaign.Status


@pytest.fixture
def evening():
    with time_machine.travel(EVENING, tick=False):
        yield


def reworded(campaign, subject):
    """The wordings with another subject, and the keys of those that they replace."""
    campaign.subject = subject
    seen = set(campaign.versions.current().values_list("pk", flat=True))
    return compile_versions(campaign), seen


def replace(campaign, subject):
    return campaign.replace_versions(*reworded(campaign, subject))


def subjects(campaign):
    return list(campaign.versions.current().values_list("subject", flat=True))


def at_once(*calls):
    """Call them in threads of their own, each with its own connection; what they answered."""

    def _call(call):
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(_call, calls))


def in_status(campaign, status, **fields):
    Campaign.objects.filter(pk=campaign.pk).update(status=status, **fields)
    campaign.refresh_from_db()
    return campaign


# Another wording -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["scheduled", "sending", "paused", "attention"])
def test_a_newer_wording_replaces_the_whole_until_it_is_over(campaign, status):
    schedule(campaign)
    booked = in_status(campaign, status)

    assert replace(booked, "The ferry is late")

    assert subjects(campaign) == ["The ferry is late"]
    campaign.refresh_from_db()
    assert campaign.subject == "The ferry is late"
    assert campaign.status == status
    assert campaign.versions.count() == 2


@pytest.mark.parametrize("status", ["draft", "sent", "cancelled"])
def test_what_is_not_booked_keeps_its_wording(campaign, status):
    schedule(campaign)
    in_status(campaign, status)

    assert not replace(campaign, "Too late")

    assert subjects(campaign) == ["The ferry returns"]


def test_a_new_wording_keeps_the_slot(campaign):
    schedule(campaign, timezone.now() + timedelta(hours=3))
    before = campaign.due_at

    replace(campaign, "The ferry is late")

    campaign.refresh_from_db()
    assert campaign.due_at == before


def test_an_article_that_changes_on_the_web_does_not_change_what_is_booked(campaign, article):
    schedule(campaign)

    Article.objects.filter(pk=article.pk).update(headline="Changed", body="<p>Changed</p>")

    assert "Changed" not in campaign.versions.current().get().html


def test_a_wording_for_other_lists_is_refused(campaign, weekend):
    schedule(campaign)
    campaign.mailing_lists.add(weekend)

    with pytest.raises(ValueError, match="not for the lists"):
        replace(campaign, "To more people")

    assert subjects(campaign) == ["The ferry returns"]


def test_who_has_not_seen_the_other_editors_wording_does_not_replace_it(campaign):
    schedule(campaign)
    mine, seen = reworded(campaign, "Mine")
    replace(Campaign.objects.get(), "Theirs")

    assert not campaign.replace_versions(mine, seen)

    assert subjects(campaign) == ["Theirs"]


@pytest.mark.django_db(transaction=True)
def test_of_two_editors_who_replace_it_at_once_one_does(campaign):
    schedule(campaign)
    editors = [Campaign.objects.get(), Campaign.objects.get()]
    drafts = [(editor, *reworded(editor, f"By {i}")) for i, editor in enumerate(editors)]

    won = at_once(*(lambda d=draft: d[0].replace_versions(*d[1:]) for draft in drafts))

    assert sorted(won) == [False, True]
    assert subjects(campaign) == [f"By {won.index(True)}"]


# Booked once -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_editors_who_book_it_at_once_one_does(campaign):
    editors = [Campaign.objects.get(), Campaign.objects.get()]
    drafts = [(editor, compile_versions(editor)) for editor in editors]
    now = timezone.now()

    won = at_once(*(lambda d=draft: d[0].schedule(d[1], now) for draft in drafts))

    assert sorted(won) == [False, True]
    assert campaign.versions.count() == 1


@pytest.mark.django_db(transaction=True)
def test_called_off_in_the_moment_it_starts_it_is_one_or_the_other(campaign, subscribe):
    subscribe("ann@example.com")
    schedule(campaign)

    _started, called_off = at_once(Campaign.objects.get().start, Campaign.objects.get().cancel)

    campaign.refresh_from_db()
    assert called_off
    assert campaign.status == STATUS.CANCELLED
    # Whichever came first: what began is left for the workers to close, what did not is over.
    assert (campaign.started_at is None) == (campaign.finished_at is not None)


@pytest.mark.django_db(transaction=True)
def test_of_call_off_and_resume_at_once_the_call_off_lasts(campaign):
    schedule(campaign)
    in_status(campaign, STATUS.PAUSED, started_at=timezone.now())

    _resumed, stopped = at_once(Campaign.objects.get().resume, Campaign.objects.get().cancel)

    campaign.refresh_from_db()
    assert stopped
    assert campaign.status == STATUS.CANCELLED


def test_what_the_editor_decided_is_booked_with_the_slot(campaign):
    campaign.is_breaking = True
    campaign.if_uncertain = Campaign.IfUncertain.REPEAT

    campaign.schedule(compile_versions(campaign), timezone.now())

    stored = Campaign.objects.get()
    assert stored.is_breaking
    assert stored.if_uncertain == Campaign.IfUncertain.REPEAT


# Called off, stopped for good ------------------------------------------------------------------


def test_what_has_not_begun_is_over_when_it_is_called_off(campaign):
    schedule(campaign)

    assert campaign.cancel()

    campaign.refresh_from_db()
    assert campaign.status == STATUS.CANCELLED
    assert campaign.finished_at


@pytest.mark.parametrize("status", ["sending", "paused", "attention"])
def test_what_has_begun_is_stopped_at_once_and_its_books_stay_open(campaign, subscribe, status):
    subscribe("ann@example.com")
    start(campaign)
    in_status(campaign, status, trouble="Something")

    assert campaign.cancel()

    campaign.refresh_from_db()
    assert campaign.status == STATUS.CANCELLED
    assert campaign.finished_at is None
    assert campaign.trouble == ""


@pytest.mark.parametrize("status", ["draft", "sent", "cancelled"])
def test_what_is_over_or_not_booked_cannot_be_called_off(campaign, status):
    in_status(campaign, status)

    assert not campaign.cancel()

    campaign.refresh_from_db()
    assert campaign.status == status


def test_what_somebody_got_already_is_no_draft_again(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    campaign.cancel()

    assert not campaign.redraft()

    campaign.refresh_from_db()
    assert campaign.status == STATUS.CANCELLED
    assert campaign.versions.current().exists()


# Paused, resumed -------------------------------------------------------------------------------


def test_trying_again_puts_back_the_batches_that_were_set_aside(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    in_status(campaign, STATUS.ATTENTION, trouble="1 batch crashes")
    campaign.batches.update(set_aside_at=timezone.now(), failures=5, trouble="KeyError")

    assert campaign.resume()

    campaign.refresh_from_db()
    batch = campaign.batches.get()
    assert campaign.status == STATUS.SENDING
    assert campaign.trouble == ""
    assert (batch.set_aside_at, batch.failures, batch.trouble) == (None, 0, "")
    assert Batch.objects.ready().get() == batch


def test_resumed_within_its_time_it_keeps_its_time(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    before = campaign.send_until
    campaign.pause()

    campaign.resume()

    campaign.refresh_from_db()
    assert campaign.send_until == before


def test_resumed_when_nobody_would_get_it_any_more_it_is_news_for_twelve_hours(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    campaign.pause()
    Campaign.objects.update(send_until=timezone.now() - timedelta(minutes=1))

    campaign.resume()

    campaign.refresh_from_db()
    assert campaign.send_until > timezone.now() + timedelta(hours=11, minutes=59)


@pytest.mark.parametrize("status", ["draft", "scheduled", "sending", "sent", "cancelled"])
def test_what_is_not_stopped_cannot_be_resumed(campaign, status):
    in_status(campaign, status)

    assert not campaign.resume()


# At this hour where the reader is --------------------------------------------------------------


@pytest.fixture
def at_seven(evening, campaign, subscribe):
    """Tomorrow at seven where the reader is, for readers in three zones and one in none."""
    zones = {"ann": "Asia/Tokyo", "ben": "America/Los_Angeles", "cyd": "Europe/Berlin", "dan": ""}
    for name, zone in zones.items():
        reader = subscribe(f"{name}@example.com").subscriber
        Subscriber.objects.filter(pk=reader.pk).update(time_zone=zone)
    Publication.objects.update(time_zone="Europe/London")
    campaign.refresh_from_db()
    campaign.at_readers_hour = True
    campaign.scheduled_date, campaign.scheduled_time = date(2027, 1, 15), time(7, 0)
    due_at = datetime(2027, 1, 15, 7, 0, tzinfo=UTC)
    assert campaign.schedule(compile_versions(campaign), due_at)
    campaign.refresh_from_db()
    return campaign


def test_it_is_due_with_the_first_reader_and_news_twelve_hours_after_the_last(at_seven):
    assert at_seven.due_at == datetime(2027, 1, 14, 22, 0, tzinfo=UTC)
    assert at_seven.send_until == datetime(2027, 1, 16, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "hour"),
    [
        ("Asia/Tokyo", datetime(2027, 1, 14, 22, 0, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2027, 1, 15, 6, 0, tzinfo=UTC)),
        ("", datetime(2027, 1, 15, 7, 0, tzinfo=UTC)),
        ("Mars/Olympus", datetime(2027, 1, 15, 7, 0, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2027, 1, 15, 15, 0, tzinfo=UTC)),
        # Moved there since: not before the first, and with the last rather than never.
        ("Pacific/Kiritimati", datetime(2027, 1, 14, 22, 0, tzinfo=UTC)),
        ("Pacific/Honolulu", datetime(2027, 1, 15, 15, 0, tzinfo=UTC)),
    ],
)
def test_each_reader_is_due_by_the_clock_where_he_is(at_seven, zone, hour):
    assert at_seven.due_for(zone) == hour


def test_where_the_hour_has_passed_it_is_due_at_the_start(evening, campaign, subscribe):
    reader = subscribe("ann@example.com").subscriber
    Subscriber.objects.filter(pk=reader.pk).update(time_zone="Asia/Tokyo")
    campaign.at_readers_hour = True
    campaign.scheduled_date, campaign.scheduled_time = date(2027, 1, 14), time(22, 0)

    campaign.schedule(compile_versions(campaign), datetime(2027, 1, 14, 22, 0, tzinfo=UTC))

    campaign.refresh_from_db()
    assert campaign.due_at == EVENING
    assert campaign.due_for("Asia/Tokyo") == EVENING
    assert campaign.due_for("") == datetime(2027, 1, 14, 22, 0, tzinfo=UTC)


def test_an_hour_that_a_readers_clock_skips_comes_with_the_next_it_shows(evening, campaign):
    campaign.at_readers_hour = True
    campaign.scheduled_date, campaign.scheduled_time = date(2027, 3, 28), time(2, 30)
    campaign.due_at = datetime(2027, 3, 27, 0, 0, tzinfo=UTC)
    campaign.send_until = campaign.due_at + timedelta(days=3)

    assert campaign.due_for("Europe/Berlin") == datetime(2027, 3, 28, 1, 0, tzinfo=UTC)


def test_without_readers_hours_everybody_is_due_at_once(campaign):
    schedule(campaign)

    assert campaign.due_for("Asia/Tokyo") == campaign.due_for("") == campaign.due_at


def test_held_back_and_resumed_it_still_waits_for_the_last_readers_hour(at_seven):
    in_status(at_seven, STATUS.PAUSED)

    with time_machine.travel(EVENING + timedelta(hours=8), tick=False):
        assert at_seven.resume()

    stored = Campaign.objects.get()
    assert stored.status == STATUS.SCHEDULED
    assert stored.send_until == at_seven.send_until


def test_a_country_that_changes_its_clocks_moves_what_waits_and_not_the_wall_time(
    evening, campaign
):
    campaign.scheduled_date, campaign.scheduled_time = date(2027, 7, 15), time(7, 0)
    campaign.time_zone = "Europe/Berlin"
    by_old_rules = datetime(2027, 7, 15, 6, 0, tzinfo=UTC)
    campaign.schedule(compile_versions(campaign), by_old_rules)

    Campaign.objects.reckon()

    campaign.refresh_from_db()
    assert campaign.due_at == datetime(2027, 7, 15, 5, 0, tzinfo=UTC)
    assert campaign.send_until == datetime(2027, 7, 15, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize("wall", [None, time(18, 0)])
def test_what_was_put_off_so_that_it_can_be_called_off_stays_put_off(evening, campaign, wall):
    Publication.objects.update(cancel_window=60)
    campaign.refresh_from_db()
    campaign.scheduled_date, campaign.scheduled_time = wall and EVENING.date(), wall
    campaign.schedule(compile_versions(campaign), EVENING)

    Campaign.objects.reckon()

    campaign.refresh_from_db()
    assert campaign.due_at == EVENING + timedelta(seconds=60)
