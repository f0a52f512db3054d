"""A new mailer begins with the readers who confirmed last, and gets more of them every day."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from newsletter import reports
from newsletter.models import Campaign, DayCount, WarmUp
from subscribers.models import Sender, Subscription
from tests.newsletter.sending import confirmed_readers

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
FIRST = date(2026, 5, 4)


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(datetime(2026, 5, 4, 12, tzinfo=UTC), tick=False) as travelled:
        yield travelled


@pytest.fixture
def warm_up(db):
    """Ten messages today."""
    return WarmUp.objects.create(started_on=FIRST, first_day=10, growth=2, ceiling=100)


def readers(count, mailing_list, domain="example.org"):
    """One confirmed a minute after the other, the first of them the latest."""
    people = confirmed_readers(count, mailing_list, domain)
    for number, person in enumerate(people):
        mine = Subscription.objects.filter(subscriber=person, mailing_list=mailing_list)
        mine.update(confirmed_at=timezone.now() - timedelta(minutes=number + 1))
    return people


def cohort(campaign, due_at=None):
    """Who is mailed, after the campaign was told the warm-up's cohort."""
    campaign.confirmed_since = WarmUp.objects.cohort(campaign, due_at or timezone.now())
    return reached(campaign)


def reached(campaign):
    periods = campaign.periods_now()
    if campaign.confirmed_since:
        periods = periods.filter(confirmed_at__gte=campaign.confirmed_since)
    return set(periods.values_list("subscriber__address", flat=True))


def test_it_grows_day_by_day_until_it_is_over(warm_up):
    days = [warm_up.allowance(FIRST + number * DAY) for number in range(-1, 6)]

    assert days == [10, 10, 20, 40, 80, None, None]
    assert warm_up.plan() == [(FIRST + n * DAY, 10 * 2**n) for n in range(4)]


def test_held_it_stays_where_it_is(warm_up):
    warm_up.held_on = FIRST + DAY

    assert warm_up.allowance(FIRST) == 10
    assert warm_up.allowance(FIRST + 30 * DAY) == 20


@pytest.mark.parametrize(("first_day", "ceiling"), [(100, 100), (200, 100)])
def test_with_the_ceiling_reached_at_once_there_is_no_plan(warm_up, first_day, ceiling):
    warm_up.first_day, warm_up.ceiling = first_day, ceiling

    assert warm_up.plan() == []
    assert warm_up.allowance(FIRST) is None


def test_the_cohort_are_those_who_confirmed_last(warm_up, campaign, briefing):
    people = readers(30, briefing)

    assert cohort(campaign) == {person.address for person in people[:10]}
    assert reports.funnel(campaign).not_yet == 20


def test_the_due_days_allowance_counts_not_todays(warm_up, campaign, briefing):
    readers(30, briefing)

    assert len(cohort(campaign, timezone.now() + DAY)) == 20
    assert len(cohort(campaign, timezone.now() + 2 * DAY)) == 30


def test_without_a_warm_up_or_with_room_for_all_nobody_is_left_out(campaign, briefing, warm_up):
    readers(10, briefing)
    assert WarmUp.objects.cohort(campaign, timezone.now()) is None

    readers(10, briefing, "example.net")
    assert WarmUp.objects.cohort(campaign, timezone.now()) is not None
    warm_up.delete()
    assert WarmUp.objects.cohort(campaign, timezone.now()) is None


def test_what_the_day_has_seen_already_is_gone(warm_up, campaign, briefing):
    readers(30, briefing)
    DayCount.objects.take("default", FIRST, {"gmail": 4}, {"": 10})

    assert len(cohort(campaign)) == 6
    DayCount.objects.take("default", FIRST, {"gmail": 6}, {"": 10})
    assert len(cohort(campaign)) == 0


def test_what_is_booked_for_the_day_is_gone_too(warm_up, campaign, briefing, weekend, publication):
    readers(30, briefing)
    readers(7, weekend, "example.net")
    booked = Campaign.Status.SCHEDULED
    other = Campaign.objects.create(
        publication=publication, status=booked, due_at=timezone.now() + timedelta(hours=1)
    )
    other.mailing_lists.add(weekend)

    assert len(cohort(campaign)) == 3
    assert len(cohort(campaign, timezone.now() + DAY)) == 20


def test_a_reader_on_two_lists_counts_once(warm_up, campaign, briefing, weekend):
    people = readers(12, briefing)
    Subscription.objects.bulk_create(
        Subscription(subscriber=person, mailing_list=weekend, confirmed_at=timezone.now() - DAY)
        for person in people
    )
    campaign.mailing_lists.add(weekend)

    assert cohort(campaign) == {person.address for person in people[:10]}


def test_readers_who_confirmed_in_one_moment_are_in_or_out_together(warm_up, campaign, briefing):
    people = readers(30, briefing)
    early = [person.pk for person in people[5:15]]
    together = timezone.now() - timedelta(hours=1)
    Subscription.objects.filter(subscriber__in=early).update(confirmed_at=together)
    late = [person.pk for person in people[15:]]
    Subscription.objects.filter(subscriber__in=late).update(confirmed_at=together - DAY)

    assert len(cohort(campaign)) == 5


def test_only_readers_by_the_mailer_that_is_warming_up_count(
    warm_up, campaign, briefing, weekend, publication
):
    briefing.sender = Sender.objects.create(
        publication=publication, name="Relay", email="news@relay.example", mailer="relay"
    )
    briefing.save()
    readers(30, briefing)
    assert WarmUp.objects.cohort(campaign, timezone.now()) is None

    campaign.mailing_lists.add(weekend)
    latest = readers(15, weekend, "example.net")

    # The moment holds for all lists of the campaign.
    assert {person.address for person in latest[:10]} <= cohort(campaign)
    assert len(cohort(campaign)) == 20


def test_a_plan_without_end_is_refused():
    with pytest.raises(ValidationError) as refused:
        WarmUp(started_on=FIRST, growth=1.0).full_clean()

    assert list(refused.value.message_dict) == ["growth"]


def test_the_admin_shows_the_plan_day_by_day(warm_up, admin_client):
    adding = admin_client.get(reverse("admin:newsletter_warmup_add"))
    listing = admin_client.get(reverse("admin:newsletter_warmup_changelist"))
    page = admin_client.get(reverse("admin:newsletter_warmup_change", args=[warm_up.pk]))

    assert "once it is saved" in adding.text
    assert "10" in listing.text
    for number in [10, 20, 40, 80]:
        assert f"<td>{number}</td>" in page.text
    assert "8 May 2026" in page.text
