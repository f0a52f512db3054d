"""What is reported later: stored once, and what follows from it."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from newsletter import tasks
from newsletter.faults import Fault
from newsletter.models import Bounce, Campaign, Delivery, Event
from subscribers.models import Consent, Subscriber, Subscription, Suppression
from tests.newsletter.reports import delivery_of, mailable, record, report, status, went_to

DAY = timedelta(days=1)
NOBODY = {"code": "5.1.1", "text": "smtp; 550 5.1.1 no such user"}


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com").subscriber


@pytest.fixture
def ben(subscribe):
    return subscribe("ben@example.com").subscriber


@pytest.fixture
def gone(ann, ben, briefing):
    """A campaign that was handed over to both."""
    return went_to([ann, ben], briefing)


@pytest.fixture
def lost(ann, briefing):
    """One of which nobody knows whether it was handed over to Ann."""
    return went_to([ann], briefing, "uncertain")


# Once ----------------------------------------------------------------------------------------


def test_an_event_counts_once_says_the_database(db):
    Event.objects.create(
        source="postmark", event_id="e-1", at=timezone.now(), received_at=timezone.now()
    )

    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(
            source="postmark", event_id="e-1", at=timezone.now(), received_at=timezone.now()
        )

    assert Event.objects.count() == 1


def test_the_same_report_twice_is_one(gone, ann):
    told = report("bounced", gone, ann, **NOBODY)

    counts = [Event.objects.record([told, told]), Event.objects.record([told])]

    assert counts == [1, 0]
    assert Event.objects.count() == 1
    assert Bounce.objects.count() == 1


def test_two_sources_may_give_the_same_number(db):
    record("delivered", source="postmark", event_id="1")
    record("delivered", source="mailgun", event_id="1")

    assert Event.objects.count() == 2


def test_long_numbers_that_differ_at_their_end_are_two(db):
    record("delivered", event_id="e" * 300 + "1")
    record("delivered", event_id="e" * 300 + "2")

    assert Event.objects.count() == 2


def test_what_a_database_would_refuse_is_left_out(gone, ann):
    record(
        "bounced",
        gone,
        ann,
        code="5\0",
        text="\0 half of a \ud83d",
        event_id="\0",
        provider_id="\0",
    )

    assert Event.objects.get().text == " half of a ?"


def test_a_report_of_the_future_is_of_now(gone, ann):
    record("bounced", gone, ann, at=timezone.now() + 30 * DAY, **NOBODY)
    judge_later()

    assert mailable() == {"ben@example.com"}


def test_no_address_is_kept(gone, ann):
    record("bounced", gone, ann, text="<ann@example.com>: no such user (ann@example.com)")

    assert "ann@" not in str(Event.objects.values().get())
    assert "ann@" not in Bounce.objects.get().text


def test_many_reports_take_few_statements(gone, ann, ben, django_assert_max_num_queries):
    told = [report("delivered", gone, reader) for reader in [ann, ben] * 500]

    with django_assert_max_num_queries(4):
        Event.objects.record(told)

    assert Event.objects.filter(applied_at__isnull=False).count() == 1000


# The ledger ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        ("delivered", "sent"),
        ("deferred", "sent"),
        ("complained", "sent"),
        ("bounced", "failed"),
        ("rejected", "failed"),
    ],
)
def test_a_report_settles_what_nobody_knew(lost, ann, kind, becomes):
    record(kind, lost, ann, provider_id="p-1")

    delivery = lost.deliveries.get()
    assert (delivery.status, delivery.provider_id) == (becomes, "p-1")


@pytest.mark.parametrize("kinds", [("delivered", "bounced"), ("bounced", "delivered")])
def test_bounced_wins_over_delivered_in_any_order(lost, ann, kinds):
    for kind in kinds:
        record(kind, lost, ann)

    assert status(lost, ann) == "failed"


def test_reports_of_one_message_in_one_call_are_applied_together(lost, ann):
    Event.objects.record([report("bounced", lost, ann), report("delivered", lost, ann)])

    assert status(lost, ann) == "failed"


@pytest.mark.parametrize("known", ["sent", "failed", "skipped"])
@pytest.mark.parametrize("kind", ["delivered", "bounced", "complained"])
def test_what_a_worker_wrote_stays(ann, briefing, known, kind):
    campaign = went_to([ann], briefing, known)

    record(kind, campaign, ann)

    assert status(campaign, ann) == known


def test_the_totals_of_closed_books_follow(lost, ann):
    Campaign.objects.update(
        sent=0, failed=0, skipped=0, uncertain=1, audience=1, finished_at=timezone.now()
    )

    record("delivered", lost, ann)

    lost.refresh_from_db()
    assert (lost.sent, lost.uncertain) == (1, 0)


# Bounces -------------------------------------------------------------------------------------


def judge_later(days=0):
    Bounce.objects.judge(timezone.now() + timedelta(minutes=1, days=days))


def test_a_hard_bounce_suppresses_whoever_never_had_our_mail(gone, ann):
    record("bounced", gone, ann, **NOBODY)
    judge_later()

    assert mailable() == {"ben@example.com"}
    assert Suppression.objects.get().source == f"campaign:{gone.pk}"


def test_whoever_was_told_twice_of_a_bounce_has_one(gone, ann):
    record("bounced", gone, ann, **NOBODY)
    record("bounced", gone, ann, source="dsn", **NOBODY)

    assert Bounce.objects.count() == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"code": "5.7.1", "text": "550 5.7.1 message rejected due to policy"},
        {"code": "550", "text": "5.7.26 unauthenticated mail"},
        {"text": "421 4.7.28 unusual rate of unsolicited mail, gave up"},
        {"fault": Fault.POLICY},
    ],
)
def test_what_is_our_fault_is_held_against_nobody(gone, ann, answer):
    record("bounced", gone, ann, **answer)

    assert not Bounce.objects.exists()


def test_a_letter_may_bounce(ann):
    record("bounced", 0, ann, **NOBODY)
    judge_later()

    assert Bounce.objects.get().campaign is None
    assert mailable() == set()


def soft_bounces(reader, mailing_list, days):
    """One campaign on each of these days, and none arrived."""
    start = timezone.now() - 30 * DAY
    for day in days:
        campaign = went_to([reader], mailing_list, at=start + day * DAY)
        record("bounced", campaign, reader, at=start + day * DAY, code="5.2.2", text="mailbox full")
    judge_later()


def test_a_full_mailbox_is_given_up_after_many_bounces_over_many_days(ann, briefing):
    soft_bounces(ann, briefing, [0, 3, 6, 9, 10])

    assert mailable() == set()


def test_one_soft_bounce_fewer_gives_nobody_up(ann, briefing):
    soft_bounces(ann, briefing, [0, 3, 6, 10])

    assert mailable() == {"ann@example.com"}


def test_many_soft_bounces_in_a_few_days_give_nobody_up(ann, briefing):
    soft_bounces(ann, briefing, [0, 1, 2, 3, 4, 5, 6, 7])

    assert mailable() == {"ann@example.com"}


def test_mail_that_arrives_between_soft_bounces_begins_the_count_anew(ann, briefing):
    went_to([ann], briefing, at=timezone.now() - 30 * DAY + 5 * DAY)

    soft_bounces(ann, briefing, [0, 3, 6, 9, 12])

    assert mailable() == {"ann@example.com"}


def test_what_is_still_on_its_way_when_a_bounce_comes_is_no_success(ann, briefing):
    went_to([ann], briefing, at=timezone.now())

    soft_bounces(ann, briefing, [0, 3, 6, 9, 10])

    assert mailable() == set()


# Complaints ----------------------------------------------------------------------------------


def test_a_complaint_ends_every_list_at_once_and_says_which_campaign_it_was(
    gone, ann, subscribe, weekend
):
    subscribe("ann@example.com", weekend)

    record("complained", gone, ann)

    assert mailable() == {"ben@example.com"}
    ended = Subscription.objects.filter(subscriber=ann)
    assert set(ended.values_list("end_reason", flat=True)) == {"complained"}
    withdrawn = Consent.objects.filter(subscriber=ann, action="withdrawn")
    assert set(withdrawn.values_list("source", "method", "actor")) == {
        (f"campaign:{gone.pk}", "report", "mailgun")
    }
    assert withdrawn.count() == 2
    suppression = Suppression.objects.get()
    assert (suppression.reason, suppression.scope) == ("complained", "everything")


def test_complaining_again_changes_nothing_more(gone, ann):
    record("complained", gone, ann)
    record("complained", gone, ann)

    assert Suppression.objects.count() == 1
    assert Consent.objects.filter(action="withdrawn").count() == 1


def test_who_has_another_address_by_now_keeps_it(gone, ann):
    told = report("complained", gone, ann)
    ann.address = ann.identity = "new@example.com"
    ann.suppression_key = ann.mailbox.suppression_keys()[0]
    ann.save()

    Event.objects.record([told])

    assert mailable() == {"new@example.com", "ben@example.com"}
    old = Subscriber(address="ann@example.com").mailbox
    assert Suppression.objects.get().key == old.suppression_keys()[0]


def test_a_complaint_that_hides_the_address_counts_too(gone, ann):
    record("complained", gone, ann, address="")

    assert mailable() == {"ben@example.com"}


def test_an_address_written_otherwise_is_the_same(gone, ann):
    record("complained", gone, ann, address="<ANN@Example.COM>")

    assert mailable() == {"ben@example.com"}


def test_an_address_under_an_older_key_is_found(gone, ann, settings):
    settings.SUPPRESSION_KEYS = {"9": "a newer key", **settings.SUPPRESSION_KEYS}

    record("complained", gone, ann)

    assert mailable() == {"ben@example.com"}


# Unsubscribed at the provider ------------------------------------------------------------------


def test_unsubscribing_at_the_provider_leaves_that_list_only(gone, ann, subscribe, weekend):
    other = subscribe("ann@example.com", weekend)

    record("unsubscribed", gone, ann)

    confirmed = Subscription.objects.confirmed().filter(subscriber=ann)
    assert list(confirmed) == [other]
    withdrawn = Consent.objects.get(action="withdrawn")
    assert withdrawn.source == f"campaign:{gone.pk}"


def test_an_old_unsubscribe_does_not_end_what_began_after_it(gone, ann):
    record("unsubscribed", gone, ann, at=timezone.now() - DAY)

    assert "ann@example.com" in mailable()


# Before its row, and of strangers ----------------------------------------------------------------


def test_what_comes_before_the_row_of_its_message_is_applied_when_that_comes(ann, ben, briefing):
    campaign = went_to([ben], briefing)
    record("complained", campaign, ann)
    tasks.look_for_reports()
    assert "ann@example.com" in mailable()
    Delivery.objects.bulk_create([delivery_of(campaign, ann)])

    tasks.look_for_reports()

    assert mailable() == {"ben@example.com"}
    assert not Event.objects.waiting().exists()


def test_what_waits_for_two_days_is_given_up(ann, ben, briefing):
    campaign = went_to([ben], briefing)
    record("complained", campaign, ann)

    Event.objects.apply_waiting(timezone.now() + 2 * DAY + timedelta(minutes=1))

    assert not Event.objects.waiting().exists()
    assert "ann@example.com" in mailable()


@pytest.mark.parametrize("kind", ["delivered", "bounced", "complained", "unsubscribed"])
@pytest.mark.parametrize(
    "told",
    [
        {},
        {"address": "ann@example.com"},
        {"campaign": 987654, "subscriber": 987654, "address": "who@example.net"},
        {"campaign": 10**30, "subscriber": 10**30, "address": "nobody"},
        {"campaign": -1, "subscriber": -1, "address": "ann@example.com"},
    ],
)
def test_a_strangers_report_does_no_harm(gone, ann, kind, told):
    record(kind, **NOBODY, **told)

    judge_later()

    assert mailable() == {"ann@example.com", "ben@example.com"}
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("kind", ["delivered", "bounced", "complained", "unsubscribed"])
def test_another_installations_reader_of_the_same_number_changes_nothing_of_ours(lost, ann, kind):
    record(kind, lost, ann, address="who@example.net", **NOBODY)
    judge_later()

    assert status(lost, ann) == "uncertain"
    assert mailable() == {"ann@example.com"}


# Forgetting ------------------------------------------------------------------------------------


def test_events_are_forgotten_in_time(gone, ann, settings):
    record("delivered", gone, ann)
    Event.objects.update(received_at=timezone.now() - 91 * DAY)
    record("delivered", gone, ann)

    tasks.look_for_reports()

    assert Event.objects.count() == 1
