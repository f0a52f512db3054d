"""After an outage of the database living workers are not taken for dead."""

from types import SimpleNamespace

import pytest
from django.db import OperationalError

from newsletter import outages
from newsletter.delivery import windows
from newsletter.models import Batch, Delivery
from newsletter.outages import answered, failed, seconds_without_one
from newsletter.tasks import look_for_due_campaigns
from tests.newsletter.sending import confirmed_readers, die, start

pytestmark = pytest.mark.usefixtures("calls")


@pytest.fixture
def clock(monkeypatch):
    """The clock of outages: `clock.now += 1` lets a second pass."""
    fake = SimpleNamespace(now=1000.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr(outages, "time", fake)
    failed()
    yield fake
    failed()


@pytest.fixture
def abandoned(campaign, briefing):
    """A batch with one reader in hand, whose lease ran out."""
    confirmed_readers(3, briefing)
    start(campaign)
    batch = Batch.objects.claim()
    reader, version = batch.readers_left()[0], campaign.versions.get()
    windows.move(batch, windows.Window(position=reader, hand=[(reader, briefing.pk, version.pk)]))
    die(batch)
    return batch


def answer_for(clock, seconds):
    """A heartbeat every five seconds."""
    answered()
    for _ in range(seconds // 5):
        clock.now += 5
        answered()


def test_nobody_knows_before_the_database_was_asked(clock):
    assert seconds_without_one() == 0.0


def test_it_counts_from_the_first_answer_on(clock):
    answer_for(clock, 20)

    assert seconds_without_one() == 20.0


def test_a_failure_begins_the_count_anew(clock):
    answer_for(clock, 20)
    failed()
    assert seconds_without_one() == 0.0

    clock.now += 1
    answer_for(clock, 10)

    assert seconds_without_one() == 10.0


def test_silence_between_two_answers_is_no_proof(clock):
    answer_for(clock, 20)
    clock.now += 6.5

    assert seconds_without_one() == 0.0
    answered()
    assert seconds_without_one() == 0.0


def test_a_walk_that_waits_for_the_database_begins_the_count_anew(clock, db, monkeypatch):
    answer_for(clock, 20)
    happens = [OperationalError("away"), None]
    monkeypatch.setattr(windows, "_PATIENCE", 0)
    monkeypatch.setattr(windows, "connection", SimpleNamespace(in_atomic_block=False, close=int))

    def step():
        if error := happens.pop(0):
            raise error

    windows.insist(step)

    assert seconds_without_one() == 0.0


@pytest.fixture
def outage(clock, monkeypatch):
    """As it is outside of tests: it is asked of the page and the clock."""
    monkeypatch.setattr(outages, "seconds_without_one", seconds_without_one)
    return clock


def test_a_lease_that_ran_out_is_not_taken_over_before_a_lease_without_outage(outage, abandoned):
    answer_for(outage, 10)
    assert Batch.objects.claim() is None

    answer_for(outage, 5)

    assert Batch.objects.claim().pk == abandoned.pk


def test_an_abandoned_hand_is_not_settled_before_a_lease_without_outage(outage, abandoned):
    answer_for(outage, 10)
    look_for_due_campaigns()
    assert not Delivery.objects.exists()
    assert Batch.objects.get().in_hand

    answer_for(outage, 5)
    look_for_due_campaigns()

    assert Delivery.objects.get().status == "uncertain"
    assert Batch.objects.get().in_hand == []


def test_a_called_off_batch_is_not_written_off_under_a_living_worker(outage, campaign, abandoned):
    campaign.cancel()
    answer_for(outage, 10)
    look_for_due_campaigns()
    assert not Delivery.objects.exists()

    answer_for(outage, 5)
    look_for_due_campaigns()

    assert Delivery.objects.count() == 3


def test_a_batch_that_nobody_holds_is_taken_up_at_once(outage, campaign, briefing):
    confirmed_readers(3, briefing)
    start(campaign)

    assert Batch.objects.claim()
