"""A batch is worked on by one worker at a time, and nobody is mailed twice when one dies."""

import threading
import time
from types import SimpleNamespace

import psycopg
import pytest
from django.db import InternalError, OperationalError, connection

from newsletter import delivery, stopping
from newsletter.delivery import leases, windows
from newsletter.delivery.outcomes import Outbox
from newsletter.delivery.standing import Standing
from newsletter.delivery.transports.stock import StockTransport
from newsletter.models import Batch, Campaign, Deferral, Delivery, planning
from newsletter.models.batches import LeaseLostError
from newsletter.models.deliveries import LedgerRow
from newsletter.reports import Progress, progress
from newsletter.tasks import look_for_due_campaigns
from subscribers.models import Evidence, Suppression
from tests.newsletter.sending import (
    bring_forward,
    confirmed_readers,
    die,
    schedule,
    send_one_batch,
    start,
    statuses,
    work,
)

pytestmark = pytest.mark.usefixtures("calls")


def test_a_claimed_batch_is_nobody_elses(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)

    assert Batch.objects.claim()
    assert Batch.objects.claim() is None


def test_a_batch_whose_worker_fell_silent_is_taken_over(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    first = Batch.objects.claim()
    die(first)

    second = Batch.objects.claim()

    assert second.pk == first.pk
    assert second.token != first.token


def test_who_lost_the_lease_can_write_nothing(campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    first = Batch.objects.claim()
    die(first)
    Batch.objects.claim()

    with pytest.raises(LeaseLostError):
        first.renew()
    with pytest.raises(LeaseLostError):
        windows.move(first, windows.Window(position=1, hand=[(1, 1, 1)]))


def test_who_lost_the_lease_hands_nothing_more_over(campaign, briefing, mailoutbox, during):
    confirmed_readers(20, briefing)
    start(campaign)
    stolen = []

    def steal():
        die(campaign.batches.get())
        stolen.append(Batch.objects.claim())

    during(steal)
    send_one_batch()

    assert len(mailoutbox) == StockTransport.in_hand


def test_those_in_a_dead_workers_hand_are_uncertain_and_not_mailed_again(
    campaign, briefing, mailoutbox
):
    confirmed_readers(10, briefing)
    start(campaign)
    batch = Batch.objects.claim()
    ids = batch.readers_left()
    version = campaign.versions.get()
    hand = [(subscriber, briefing.pk, version.pk) for subscriber in ids[:4]]
    windows.move(batch, windows.Window(position=ids[3], hand=hand))
    die(batch)

    work()

    assert len(mailoutbox) == 6
    assert campaign.finish()
    assert progress(campaign) == Progress(audience=10, sent=6, uncertain=4)
    uncertain = Delivery.objects.filter(status="uncertain")
    assert sorted(uncertain.values_list("subscriber", flat=True)) == ids[:4]
    assert set(uncertain.values_list("code", flat=True)) == {"worker_lost"}


def test_what_was_written_before_a_worker_died_stays_as_it_was(campaign, briefing, mailoutbox):
    """Two of four were recorded by the window that was the worker's last."""
    confirmed_readers(4, briefing)
    start(campaign)
    batch = Batch.objects.claim()
    ids, version = batch.readers_left(), campaign.versions.get()
    hand = [(subscriber, briefing.pk, version.pk) for subscriber in ids]
    windows.move(batch, windows.Window(position=ids[3], hand=hand))
    rows = [LedgerRow(subscriber, briefing.pk, version.pk, "sent") for subscriber in ids[:2]]
    Delivery.objects.add(campaign.pk, rows)
    die(batch)

    work()

    assert progress(campaign) == Progress(audience=4, sent=2, uncertain=2)
    assert mailoutbox == []


@pytest.mark.parametrize("status", ["paused", "cancelled"])
def test_a_dead_workers_hand_is_settled_whatever_the_campaigns_state(campaign, briefing, status):
    confirmed_readers(10, briefing)
    start(campaign)
    batch = Batch.objects.claim()
    ids, version = batch.readers_left(), campaign.versions.get()
    windows.move(batch, windows.Window(position=ids[0], hand=[(ids[0], briefing.pk, version.pk)]))
    Campaign.objects.filter(pk=campaign.pk).update(status=status)
    die(batch)

    look_for_due_campaigns()

    rest = {"skipped": 9} if status == "cancelled" else {}
    assert progress(campaign) == Progress(audience=10, uncertain=1, **rest)
    assert Batch.objects.get().in_hand == []


def test_a_living_workers_hand_is_left_alone(campaign, briefing):
    confirmed_readers(1, briefing)
    start(campaign)
    batch = Batch.objects.claim()
    reader, version = batch.readers_left()[0], campaign.versions.get()
    windows.move(batch, windows.Window(position=reader, hand=[(reader, briefing.pk, version.pk)]))

    look_for_due_campaigns()

    assert progress(campaign).uncertain == 0
    assert Batch.objects.get().in_hand


def test_a_window_written_twice_is_written_once(campaign, briefing):
    """Nobody knows whether a commit whose answer was lost has happened; it is repeated."""
    confirmed_readers(2, briefing)
    start(campaign)
    batch = Batch.objects.claim()
    first, second = batch.readers_left()
    version = campaign.versions.get()
    window = windows.Window(
        position=second,
        rows=[LedgerRow(first, briefing.pk, version.pk, "sent")],
        hand=[(second, briefing.pk, version.pk)],
    )

    windows.move(batch, window)
    windows.move(batch, window)

    assert Delivery.objects.count() == 1
    assert Batch.objects.get().in_hand == [[second, briefing.pk, version.pk]]


def test_readers_are_written_down_before_they_are_handed_over(campaign, briefing, during):
    people = confirmed_readers(3, briefing)
    start(campaign)
    seen = []
    during(lambda: seen.append([entry[0] for entry in Batch.objects.get().in_hand]))

    work()

    assert sorted(seen[0]) == sorted(person.pk for person in people)
    assert Batch.objects.get().in_hand == []


def test_who_unsubscribes_mid_send_gets_nothing_more(campaign, subscribe, mailoutbox, during):
    for number in range(30):
        subscribe(f"reader{number}@example.com")
    last = subscribe("zoe@example.com")
    start(campaign)
    during(lambda: last.end("unsubscribed", Evidence(method="link")))

    work()

    assert statuses(campaign)["zoe@example.com"] == ("skipped", "unsubscribed")
    assert len(mailoutbox) == 30
    assert campaign.finish()


@pytest.mark.parametrize("status", ["paused", "cancelled"])
def test_a_stopped_campaign_stops_within_a_window(campaign, briefing, mailoutbox, during, status):
    confirmed_readers(40, briefing)
    start(campaign)
    during(lambda: Campaign.objects.filter(pk=campaign.pk).update(status=status))

    work()

    assert len(mailoutbox) == StockTransport.in_hand
    assert progress(campaign).sent == StockTransport.in_hand


def test_a_paused_campaign_goes_on_where_it_stopped(campaign, briefing, mailoutbox, during):
    confirmed_readers(40, briefing)
    start(campaign)
    during(campaign.pause)
    work()
    stopped_at = len(mailoutbox)

    campaign.resume()
    work()

    assert stopped_at == StockTransport.in_hand
    assert len({mail.to[0] for mail in mailoutbox}) == len(mailoutbox) == 40
    assert campaign.finish()


def test_a_worker_told_to_stop_finishes_its_hand_and_lets_go(
    campaign, briefing, mailoutbox, during
):
    confirmed_readers(40, briefing)
    start(campaign)
    during(stopping.stop)

    send_one_batch()

    batch = Batch.objects.get()
    assert len(mailoutbox) == progress(campaign).sent == StockTransport.in_hand
    assert batch.in_hand == []
    assert batch.lease_until is None
    stopping.go_on()
    work()
    assert campaign.finish()


def test_a_worker_that_slept_past_its_lease_hands_nothing_over(campaign, briefing, mailoutbox):
    confirmed_readers(4, briefing)
    start(campaign)
    batch = Batch.objects.claim()
    batch.claimed_at = time.monotonic() - 16

    with delivery.Worker() as worker:
        worker.send(batch)

    assert mailoutbox == []
    work()
    assert len(mailoutbox) == 4


def test_a_worker_that_falls_asleep_with_readers_in_hand_gives_back_the_rest(
    campaign, briefing, mailoutbox, after_the_first_message, monkeypatch
):
    """It looks at its own clock before each message, not only before each window."""
    confirmed_readers(4, briefing)
    start(campaign)
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 16)
    after_the_first_message(lambda: monkeypatch.setattr(leases, "time", later))

    send_one_batch()

    assert len(mailoutbox) == progress(campaign).sent == 1
    assert campaign.batches.get().left_aside == 3
    monkeypatch.setattr(leases, "time", time)
    bring_forward(campaign)
    work()
    assert progress(campaign) == Progress(audience=4, sent=4)


def test_a_lease_is_renewed_beside_a_slow_server(campaign, subscribe, monkeypatch):
    subscribe("ann@example.com")
    start(campaign)
    batch = Batch.objects.claim()
    renewed = threading.Event()
    monkeypatch.setattr(leases, "RENEWAL", 0.01)
    monkeypatch.setattr(batch, "renew", renewed.set)

    with leases.Lease(batch) as lease:
        assert renewed.wait(5)
        assert lease.is_ours()


def test_a_lease_that_another_has_taken_is_known_to_be_lost(campaign, subscribe, monkeypatch):
    subscribe("ann@example.com")
    start(campaign)
    batch = Batch.objects.claim()

    def lost():
        raise LeaseLostError

    monkeypatch.setattr(leases, "RENEWAL", 0.01)
    monkeypatch.setattr(batch, "renew", lost)

    with leases.Lease(batch) as lease:
        lease._renewal.join(5)
        assert not lease.is_ours()


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (OperationalError, None),
        (InternalError, psycopg.errors.ReadOnlySqlTransaction()),
        # What a worker hears that was frozen inside a transaction.
        (InternalError, psycopg.errors.IdleInTransactionSessionTimeout()),
    ],
)
def test_the_database_going_away_loses_nothing_that_is_known(
    campaign, briefing, mailoutbox, monkeypatch, kind, cause
):
    confirmed_readers(12, briefing)
    start(campaign)
    usual, failures = windows.move, []

    def move(batch, window):
        if len(failures) < 3 and window.rows:
            failures.append(1)
            raise kind("server closed the connection unexpectedly") from cause
        return usual(batch, window)

    monkeypatch.setattr(windows, "move", move)
    monkeypatch.setattr(windows, "_PATIENCE", 0)
    monkeypatch.setattr(windows, "connection", _Connected())

    work()

    assert len(failures) == 3
    assert len(mailoutbox) == 12
    assert progress(campaign) == Progress(audience=12, sent=12)


class _Connected:
    """A test runs in a transaction, in which nobody may insist."""

    in_atomic_block = False

    def close(self):
        pass

    def __getattr__(self, name):
        return getattr(connection, name)


def test_a_million_that_cannot_be_mailed_are_passed_over_in_pieces(
    campaign, briefing, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(planning, "FIRST_PLACES", [])
    people = confirmed_readers(1500, briefing)
    Suppression.objects.bulk_create(
        Suppression(key=person.suppression_key, scope="everything", reason="complained")
        for person in people
    )
    start(campaign)

    with django_assert_max_num_queries(60):
        work()

    assert campaign.finish()


def test_handing_over_takes_a_few_queries_a_window(
    campaign, briefing, django_assert_max_num_queries, during
):
    confirmed_readers(40, briefing)
    start(campaign)

    # Half a hand in a window: who is mailable, the batch, the ledger; two for the savepoint.
    with django_assert_max_num_queries(20 * 5 + 25):
        work()


def test_several_batches_are_worked_off_in_random_order(campaign, briefing, monkeypatch):
    monkeypatch.setattr(planning, "BATCH", 10)
    confirmed_readers(95, briefing)
    start(campaign)

    lots = list(campaign.batches.order_by("first").values_list("lot", flat=True))
    work()

    assert lots != sorted(lots)
    assert campaign.finish()


@pytest.mark.django_db(transaction=True)
def test_a_hundred_claims_at_once_give_each_batch_to_one(campaign, briefing, monkeypatch):
    monkeypatch.setattr(planning, "BATCH", 2)
    confirmed_readers(80, briefing)
    start(campaign)
    claimed, together = [], threading.Barrier(8)

    def claim():
        together.wait()
        while batch := Batch.objects.claim():
            claimed.append(batch.pk)
        connection.close()

    _at_once(claim, 8)

    assert len(claimed) == len(set(claimed)) == campaign.batches.count()


@pytest.mark.django_db(transaction=True)
def test_of_eight_starts_at_once_one_wins(campaign, briefing):
    confirmed_readers(80, briefing)
    schedule(campaign)
    won, together = [], threading.Barrier(8)

    def begin():
        together.wait()
        won.append(Campaign.objects.get(pk=campaign.pk).start())
        connection.close()

    _at_once(begin, 8)

    assert won.count(True) == 1
    assert campaign.batches.count() == 1


@pytest.mark.django_db(transaction=True)
def test_four_workers_mail_everybody_once(campaign, briefing, monkeypatch, mailoutbox):
    monkeypatch.setattr(planning, "BATCH", 10)
    confirmed_readers(200, briefing)
    start(campaign)

    def one():
        work()
        connection.close()

    _at_once(one, 4)

    assert len(mailoutbox) == len({mail.to[0] for mail in mailoutbox}) == 200
    assert campaign.finish()


def _at_once(function, times):
    threads = [threading.Thread(target=function) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_whoever_waits_before_a_deferred_reader_is_not_forgotten(
    campaign, briefing, mailoutbox, during
):
    """A walk that begins again takes the deferred first, and may end before it comes to others."""
    *_others, last = confirmed_readers(12, briefing)
    start(campaign)
    batch = campaign.batches.get()
    Deferral.objects.put([batch._repeated(last.pk)])
    during(stopping.stop)

    work()
    stopping.go_on()
    work()

    assert len(mailoutbox) == 12
    assert progress(campaign) == Progress(audience=12, sent=12)


def test_the_database_going_away_at_the_look_at_who_is_parked_loses_nobody(
    campaign, briefing, mailoutbox, monkeypatch
):
    confirmed_readers(12, briefing)
    start(campaign)
    usual, failures = Standing.parked, []

    def parked(standing, now):
        if mailoutbox and not failures:
            failures.append(1)
            raise OperationalError("server closed the connection unexpectedly")
        return usual(standing, now)

    monkeypatch.setattr(Standing, "parked", parked)
    monkeypatch.setattr(windows, "_PATIENCE", 0)
    monkeypatch.setattr(windows, "connection", _Connected())

    work()

    assert failures
    assert progress(campaign) == Progress(audience=12, sent=12)


def test_an_ousted_worker_gives_back_all_it_never_handed_over_however_they_come_back(
    campaign, briefing, mailoutbox, monkeypatch
):
    confirmed_readers(4, briefing)
    start(campaign)
    later, move = SimpleNamespace(monotonic=lambda: time.monotonic() + 16), windows.move

    def move_and_freeze(batch, window):
        monkeypatch.setattr(leases, "time", later)
        return move(batch, window)

    monkeypatch.setattr(windows, "move", move_and_freeze)
    usual, still_to_come = Outbox.collect, [Batch.objects.settle_abandoned]

    def one_by_one(outbox, *_):
        items = usual(outbox, 1, 1)
        outbox._items.extend(items[1:])
        if items and still_to_come:
            die(campaign.batches.get())
            still_to_come.pop()()
        return items[:1]

    monkeypatch.setattr(Outbox, "collect", one_by_one)

    send_one_batch()

    assert mailoutbox == []
    monkeypatch.setattr(windows, "move", move)
    monkeypatch.setattr(leases, "time", time)
    bring_forward(campaign)
    work()
    assert progress(campaign) == Progress(audience=4, sent=4)
