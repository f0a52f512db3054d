"""What takes hold of a walk on its way: a stop, another wording, and others who come first."""

from datetime import timedelta

import pytest
from django.utils import timezone

from newsletter.content import compile_versions
from newsletter.delivery import course
from newsletter.delivery.audience import Audience
from newsletter.delivery.transports.stock import StockTransport
from newsletter.models import Batch, Campaign, Deferral, Parking, planning
from newsletter.reports import Progress, progress, skipped
from newsletter.tasks import look_for_due_campaigns
from subscribers.models import Subscription
from tests.newsletter.sending import (
    another,
    bring_forward,
    closed,
    confirmed_readers,
    finish_with_time,
    send_one_batch,
    start,
    work,
)
from tests.newsletter.transports import use

pytestmark = pytest.mark.usefixtures("calls")

IN_HAND = StockTransport.in_hand


@pytest.fixture
def looks_always(monkeypatch):
    """A walk looks before each window how things stand."""
    monkeypatch.setattr(course, "_LOOK", -1)


@pytest.fixture
def poison(monkeypatch):
    """Call it with readers: whatever looks at them crashes. Call it with none: it is mended."""
    poisoned, usual = set(), Audience.mailable

    def mailable(audience, subscribers):
        if poisoned & set(subscribers):
            raise RuntimeError("a mistake of ours")
        return usual(audience, subscribers)

    def poison(*people):
        poisoned.clear()
        poisoned.update(person.pk for person in people)

    monkeypatch.setattr(Audience, "mailable", mailable)
    return poison


def work_through_crashes(campaign, times):
    """Celery starts the task again after each of them."""
    for _ in range(times):
        bring_forward(campaign)
        with pytest.raises(RuntimeError):
            work()


# Called off, or no longer news ---------------------------------------------------------------


def test_the_rest_of_a_campaign_that_is_called_off_is_skipped(
    campaign, briefing, mailoutbox, during
):
    confirmed_readers(40, briefing)
    start(campaign)
    during(campaign.cancel)

    work()
    look_for_due_campaigns()

    assert len(mailoutbox) == IN_HAND
    assert closed(campaign) == Progress(audience=40, sent=IN_HAND, skipped=40 - IN_HAND)
    assert skipped(campaign) == {"cancelled": 40 - IN_HAND}
    assert campaign.status == Campaign.Status.CANCELLED
    assert not campaign.batches.filter(finished_at=None).exists()


def test_a_paused_campaign_is_called_off_with_everybody_accounted_for(
    campaign, briefing, weekend, mailoutbox, during
):
    people = confirmed_readers(40, briefing)
    campaign.mailing_lists.add(weekend)
    Subscription.objects.bulk_create(
        Subscription(subscriber=person, mailing_list=weekend, confirmed_at=timezone.now())
        for person in people[20:]
    )
    start(campaign)
    during(campaign.pause)
    work()

    campaign.cancel()
    look_for_due_campaigns()

    assert closed(campaign) == Progress(audience=40, sent=IN_HAND, skipped=40 - IN_HAND)
    assert len(mailoutbox) == IN_HAND


def test_deferred_readers_of_a_campaign_that_is_called_off_are_skipped(
    campaign, briefing, settings, smtp_server
):
    use(settings, smtp_server)
    smtp_server.answer("RCPT", "451 4.7.1 Greylisted", containing="reader3@")
    confirmed_readers(10, briefing)
    confirmed_readers(5, briefing, "gmail.com")
    _park("gmail")
    start(campaign)
    work()
    assert Deferral.objects.count() == 1

    campaign.cancel()
    look_for_due_campaigns()

    assert closed(campaign) == Progress(audience=15, sent=9, skipped=6)
    assert not Deferral.objects.exists()


def test_batches_set_aside_of_a_campaign_that_is_called_off_are_skipped(campaign, briefing, poison):
    people = confirmed_readers(10, briefing)
    poison(people[0])
    start(campaign)
    work_through_crashes(campaign, 5)
    look_for_due_campaigns()

    campaign.cancel()
    look_for_due_campaigns()

    assert closed(campaign) == Progress(audience=10, skipped=10)


def test_who_waits_when_it_stopped_being_news_is_skipped(campaign, briefing, settings, smtp_server):
    use(settings, smtp_server)
    smtp_server.answer("RCPT", "451 4.7.1 Greylisted", containing="reader3@")
    confirmed_readers(10, briefing)
    confirmed_readers(5, briefing, "gmail.com")
    _park("gmail")
    start(campaign)
    work()
    Campaign.objects.update(send_until=timezone.now() - timedelta(seconds=1))

    bring_forward(campaign)
    work()
    look_for_due_campaigns()

    assert closed(campaign) == Progress(audience=15, sent=9, skipped=6)
    assert skipped(campaign) == {"expired": 6}
    assert campaign.status == Campaign.Status.SENT
    assert not Deferral.objects.exists()


def test_a_walk_notices_on_its_way_that_it_is_no_longer_news(
    campaign, briefing, mailoutbox, during, looks_always
):
    confirmed_readers(40, briefing)
    start(campaign)
    past = timezone.now() - timedelta(seconds=1)
    during(lambda: Campaign.objects.update(send_until=past))

    work()
    look_for_due_campaigns()

    assert len(mailoutbox) == IN_HAND
    assert closed(campaign) == Progress(audience=40, sent=IN_HAND, skipped=40 - IN_HAND)


def _park(house):
    now = timezone.now()
    until = now + timedelta(minutes=15)
    Parking.objects.create(mailer="default", house=house, until=until, parked_at=now)


# Crashes of ours -----------------------------------------------------------------------------


def test_a_batch_that_crashes_again_and_again_is_set_aside_and_the_others_finish(
    campaign, briefing, monkeypatch, mailoutbox, poison
):
    monkeypatch.setattr(planning, "BATCH", 10)
    people = confirmed_readers(40, briefing)
    poison(people[10])
    start(campaign)

    work_through_crashes(campaign, 5)
    bring_forward(campaign)
    work()
    look_for_due_campaigns()

    campaign.refresh_from_db()
    aside = Batch.objects.set_aside().get()
    assert "a mistake of ours" in aside.trouble
    assert campaign.status == Campaign.Status.ATTENTION
    assert "1 batch failed again and again" in campaign.trouble
    assert progress(campaign) == Progress(audience=40, sent=30)
    assert len(mailoutbox) == 30


def test_whoever_resumes_has_batches_that_were_set_aside_tried_again(
    campaign, briefing, mailoutbox, poison
):
    people = confirmed_readers(10, briefing)
    poison(people[0])
    start(campaign)
    work_through_crashes(campaign, 5)
    look_for_due_campaigns()
    poison()

    assert campaign.resume()
    work()
    look_for_due_campaigns()

    assert closed(campaign) == Progress(audience=10, sent=10)
    assert campaign.status == Campaign.Status.SENT


def test_after_four_crashes_it_is_tried_a_fifth_time(campaign, briefing, poison, mailoutbox):
    people = confirmed_readers(10, briefing)
    poison(people[0])
    start(campaign)
    work_through_crashes(campaign, 4)
    poison()

    finish_with_time(campaign)

    assert len(mailoutbox) == 10


def test_a_walk_that_moves_on_forgets_the_crashes_before(campaign, briefing, poison):
    people = confirmed_readers(20, briefing)
    poison(people[0])
    start(campaign)
    work_through_crashes(campaign, 4)

    poison(people[16])
    work_through_crashes(campaign, 1)

    batch = Batch.objects.get()
    assert batch.failures == 1
    assert batch.set_aside_at is None


# Another wording -----------------------------------------------------------------------------


def test_who_is_mailed_later_gets_the_new_wording_and_the_ledger_knows(
    campaign, briefing, mailoutbox, during, looks_always
):
    confirmed_readers(40, briefing)
    start(campaign)
    old = campaign.versions.get()

    def correct():
        campaign.subject = "The ferry returns in May"
        assert campaign.replace_versions(compile_versions(campaign), {old.pk})

    during(correct)
    work()

    new = campaign.versions.current().get()
    ledger = {
        delivery.subscriber.address: delivery.version_id
        for delivery in campaign.deliveries.select_related("subscriber")
    }
    subjects = {old.pk: old.subject, new.pk: "The ferry returns in May"}
    assert {mail.to[0]: mail.subject for mail in mailoutbox} == {
        address: subjects[version] for address, version in ledger.items()
    }
    assert list(ledger.values()).count(old.pk) == IN_HAND
    assert campaign.finish()


# Who comes first -----------------------------------------------------------------------------


def test_breaking_news_are_taken_up_before_what_waits(campaign, briefing):
    confirmed_readers(10, briefing)
    breaking = another(campaign, briefing, is_breaking=True)
    start(campaign)
    start(breaking)

    claims = [Batch.objects.claim().campaign_id, Batch.objects.claim().campaign_id]

    assert claims == [breaking.pk, campaign.pk]


def test_a_walk_gives_way_to_breaking_news(campaign, briefing, mailoutbox, during, looks_always):
    confirmed_readers(20, briefing)
    breaking = another(campaign, briefing, is_breaking=True)
    start(campaign)
    during(lambda: start(breaking))

    work()

    subjects = [mail.subject for mail in mailoutbox]
    first = IN_HAND * [campaign.subject]
    assert subjects == [*first, *20 * ["Another"], *(20 - IN_HAND) * [campaign.subject]]
    assert campaign.finish()
    assert breaking.finish()


def test_breaking_news_give_way_to_nobody_who_came_later(
    campaign, briefing, mailoutbox, during, looks_always
):
    confirmed_readers(20, briefing)
    breaking = another(campaign, briefing, is_breaking=True)
    start(breaking)
    during(lambda: start(campaign))

    work()

    assert [mail.subject for mail in mailoutbox[:20]] == 20 * ["Another"]


def test_two_campaigns_share_the_workers(campaign, briefing, monkeypatch):
    monkeypatch.setattr(planning, "BATCH", 10)
    confirmed_readers(200, briefing)
    other = another(campaign, briefing)
    start(campaign)
    for _ in range(4):
        Batch.objects.filter(pk=Batch.objects.claim().pk).update(finished_at=timezone.now())
    start(other)

    claims = [Batch.objects.claim().campaign_id for _ in range(20)]

    for count in range(2, 21):
        both = [claims[:count].count(one.pk) for one in (campaign, other)]
        assert abs(both[0] - both[1]) <= 2


def test_a_batch_that_rests_lets_nobody_overtake(campaign, briefing, monkeypatch):
    monkeypatch.setattr(planning, "BATCH", 10)
    confirmed_readers(60, briefing)
    other = another(campaign, briefing)
    start(campaign)
    resting = Batch.objects.claim()
    later = timezone.now() + timedelta(hours=1)
    Batch.objects.filter(pk=resting.pk).update(due_at=later, lease_until=None)
    for _ in range(3):
        Batch.objects.filter(pk=Batch.objects.claim().pk).update(finished_at=timezone.now())

    start(other)

    assert Batch.objects.claim().campaign_id == campaign.pk


def test_a_walk_that_had_its_turn_gives_way_to_another_campaign(
    campaign, briefing, mailoutbox, during, looks_always, monkeypatch
):
    confirmed_readers(20, briefing)
    other = another(campaign, briefing)
    start(campaign)
    start(other)
    during(lambda: monkeypatch.setattr(course, "_TURN", -1))

    send_one_batch()

    assert len(mailoutbox) == IN_HAND
    first = Batch.objects.get(position__gt=0).campaign_id
    assert Batch.objects.claim().campaign_id == ({campaign.pk, other.pk} - {first}).pop()
    assert Batch.objects.claim().campaign_id == first


def test_a_walk_whose_turn_is_over_goes_on_while_nobody_waits(
    campaign, briefing, mailoutbox, looks_always, monkeypatch
):
    confirmed_readers(20, briefing)
    start(campaign)
    monkeypatch.setattr(course, "_TURN", -1)

    send_one_batch()

    assert len(mailoutbox) == 20
