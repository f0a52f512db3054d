"""A worker that slept, lost its batch, and wakes: what it knows is not lost."""

import time
from types import SimpleNamespace

import pytest

from newsletter import delivery
from newsletter.delivery import leases, walks
from newsletter.models import Batch, Bounce, Campaign
from newsletter.reports import Progress, progress
from tests.newsletter.sending import (
    bring_forward,
    confirmed_readers,
    die,
    finish_with_time,
    send_one_batch,
    start,
    statuses,
)
from tests.newsletter.transports import use

pytestmark = pytest.mark.usefixtures("calls")


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Outcomes come together, on slow machines too."""
    monkeypatch.setattr(walks, "_ROUND", 10.0)


@pytest.fixture
def asleep_after_one(after_the_first_message, monkeypatch):
    """The worker's clock says that its lease is over when one of its hand is away."""
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 16)
    after_the_first_message(lambda: monkeypatch.setattr(leases, "time", later))
    return lambda: monkeypatch.setattr(leases, "time", time)


def stolen():
    """Another worker's, by now."""
    die(Batch.objects.get())
    return Batch.objects.claim()


def send(batch):
    with delivery.Worker() as worker:
        worker.send(batch)


def mailed_once(mailoutbox):
    assert len({mail.to[0] for mail in mailoutbox}) == len(mailoutbox)
    return len(mailoutbox)


def test_what_it_sent_is_sent(campaign, briefing, mailoutbox, during):
    confirmed_readers(20, briefing)
    start(campaign)
    theirs = []
    during(lambda: theirs.append(stolen()))

    send_one_batch()

    assert progress(campaign) == Progress(audience=20, sent=4)
    send(*theirs)
    assert campaign.finish()
    assert mailed_once(mailoutbox) == 20
    assert progress(campaign) == Progress(audience=20, sent=20)


def test_what_failed_in_its_hand_has_failed(campaign, briefing, during, settings, smtp_server):
    use(settings, smtp_server)
    smtp_server.answer("RCPT", "550 5.2.2 Mailbox full", containing="reader1@")
    confirmed_readers(4, briefing)
    start(campaign)
    during(stolen)

    send_one_batch()

    assert statuses(campaign)["reader1@example.org"] == ("failed", "550 5.2.2")
    assert progress(campaign) == Progress(audience=4, sent=3, failed=1)


def test_a_mailbox_that_does_not_exist_is_noted(campaign, briefing, during, settings, smtp_server):
    use(settings, smtp_server)
    smtp_server.answer("RCPT", "550 5.1.1 No such user", containing="reader1@")
    confirmed_readers(4, briefing)
    start(campaign)
    during(stolen)

    send_one_batch()

    assert statuses(campaign)["reader1@example.org"] == ("failed", "550 5.1.1")
    assert list(Bounce.objects.values_list("code", "campaign")) == [("550 5.1.1", campaign.pk)]


def test_whom_it_never_handed_over_is_taken_up_again(
    campaign, briefing, mailoutbox, during, asleep_after_one
):
    confirmed_readers(20, briefing)
    start(campaign)
    theirs = []

    def steal():
        asleep_after_one()
        theirs.append(stolen())

    during(steal)
    send_one_batch()
    assert progress(campaign) == Progress(audience=20, sent=1)

    send(*theirs)
    finish_with_time(campaign)

    assert mailed_once(mailoutbox) == 20
    assert progress(campaign) == Progress(audience=20, sent=20)


def test_whom_it_never_handed_over_is_taken_up_again_after_others_finished_the_batch(
    campaign, briefing, mailoutbox, during, asleep_after_one
):
    confirmed_readers(20, briefing)
    start(campaign)

    def others_finish():
        asleep_after_one()
        send(stolen())
        assert Batch.objects.get().finished_at

    during(others_finish)
    send_one_batch()
    assert progress(campaign) == Progress(audience=20, sent=17)
    assert not campaign.finish()

    finish_with_time(campaign)

    assert mailed_once(mailoutbox) == 20
    assert progress(campaign) == Progress(audience=20, sent=20)


def test_closed_books_are_corrected_and_nobody_is_mailed_any_more(
    campaign, briefing, mailoutbox, during, asleep_after_one
):
    confirmed_readers(20, briefing)
    start(campaign)

    def others_close_the_books():
        asleep_after_one()
        send(stolen())
        assert campaign.finish()
        assert campaign.uncertain == 4

    during(others_close_the_books)
    send_one_batch()
    bring_forward(campaign)

    campaign.refresh_from_db()
    assert Batch.objects.claim() is None
    assert mailed_once(mailoutbox) == 17
    assert campaign.status == Campaign.Status.SENT
    assert progress(campaign) == Progress(audience=20, sent=17, failed=3)
