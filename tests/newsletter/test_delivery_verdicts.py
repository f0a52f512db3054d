"""What a server answers of one reader, and what the books say of them then."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from newsletter import stopping
from newsletter.delivery import windows
from newsletter.models import Batch, Bounce, Campaign, Deferral, Delivery, Parking
from newsletter.reports import Progress, progress
from newsletter.tasks import look_for_bounces, look_for_due_campaigns
from subscribers.models import Suppression
from tests.newsletter.sending import (
    bring_forward,
    confirmed_readers,
    die,
    finish_with_time,
    send_one_batch,
    start,
    statuses,
    work,
)
from tests.newsletter.transports import use
from tests.smtp import TAKEN, RawServer, serving

pytestmark = pytest.mark.usefixtures("calls")

REFUSED = "550 5.7.1 Blocked for policy reasons"


@pytest.fixture
def server(settings, smtp_server):
    use(settings, smtp_server)
    return smtp_server


@pytest.fixture
def cutting_server(settings):
    """It takes the message of reader3, and hangs up once before it says so."""
    cut = []

    def answer(said):
        if said.step == "DOT" and said.recipient.startswith("reader3@") and not cut:
            cut.append(said)
            return TAKEN
        return None

    with serving(RawServer(answer=answer)) as server:
        use(settings, server)
        yield server


@pytest.fixture
def answers_lost(monkeypatch):
    """Each window's commit happens, and its answer gets lost on the way back."""
    lost = []

    def losing(name):
        usual = getattr(windows, name)

        def step(batch, window, *arguments):
            done = usual(batch, window, *arguments)
            if not any(window is known for known in lost):
                lost.append(window)
                raise OperationalError("server closed the connection unexpectedly")
            return done

        monkeypatch.setattr(windows, name, step)

    for name in ["move", "finish", "release"]:
        losing(name)
    monkeypatch.setattr(windows, "_wait_for_it", lambda error: None)
    return lost


def to(server):
    """Whom it got a message for."""
    return sorted(to for mail in server.received for to in mail.recipients)


def probe_now():
    Parking.objects.update(until=timezone.now() - timedelta(seconds=1))


# Refused by policy ---------------------------------------------------------------------------


def test_who_is_refused_by_policy_is_tried_once_more_and_then_failed(campaign, briefing, server):
    confirmed_readers(10, briefing)
    server.answer("RCPT", REFUSED, containing="reader3@")
    start(campaign)

    work()

    waiting = Deferral.objects.get()
    assert progress(campaign) == Progress(audience=10, sent=9)
    assert (waiting.attempts, waiting.code) == (1, "550 5.7.1")
    assert Batch.objects.get().due_at == waiting.due_at
    bring_forward(campaign)
    work()
    assert statuses(campaign)["reader3@example.org"] == ("failed", "550 5.7.1")
    assert not Deferral.objects.exists()
    assert not Bounce.objects.exists()
    assert campaign.finish()


def test_who_is_taken_at_the_second_try_is_sent(campaign, briefing, server):
    confirmed_readers(10, briefing)
    server.answer("RCPT", REFUSED, containing="reader3@", times=1)
    start(campaign)

    finish_with_time(campaign)

    assert progress(campaign) == Progress(audience=10, sent=10)
    assert not Deferral.objects.exists()
    assert len(set(to(server))) == len(to(server)) == 10


def test_when_all_are_refused_the_campaign_pauses_and_nobody_is_to_blame(
    campaign, briefing, server
):
    confirmed_readers(20, briefing)
    confirmed_readers(20, briefing, "gmail.com")
    server.answer("RCPT", REFUSED)
    start(campaign)

    work()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert "550 5.7.1 Blocked" in campaign.trouble
    assert progress(campaign) == Progress(audience=40)
    assert not Bounce.objects.exists()


def test_whoever_resumes_after_all_were_refused_reaches_everybody(campaign, briefing, server):
    confirmed_readers(20, briefing)
    confirmed_readers(20, briefing, "gmail.com")
    server.answer("RCPT", REFUSED)
    start(campaign)
    work()
    server._script.clear()
    campaign.resume()
    probe_now()

    finish_with_time(campaign)

    assert progress(campaign) == Progress(audience=40, sent=40)
    assert len(set(to(server))) == len(to(server)) == 40


def test_a_provider_that_refuses_all_is_left_alone_and_the_others_are_mailed(
    campaign, briefing, server
):
    confirmed_readers(40, briefing)
    confirmed_readers(40, briefing, "gmail.com")
    server.answer("RCPT", REFUSED, containing="@gmail.com")
    start(campaign)

    work()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SENDING
    assert list(Parking.objects.values_list("house", flat=True)) == ["gmail"]
    assert progress(campaign) == Progress(audience=80, sent=40)
    server._script.clear()
    probe_now()
    finish_with_time(campaign)
    assert progress(campaign) == Progress(audience=80, sent=80)


def test_who_is_refused_again_as_a_parked_providers_probe_is_not_to_blame(
    campaign, briefing, server
):
    confirmed_readers(40, briefing)
    confirmed_readers(40, briefing, "gmail.com")
    server.answer("RCPT", REFUSED, containing="@gmail.com")
    start(campaign)
    work()

    for _ in range(3):
        probe_now()
        bring_forward(campaign)
        work()

    assert progress(campaign) == Progress(audience=80, sent=40)
    assert Parking.objects.get().attempts == 4


def test_a_batch_rests_while_those_to_be_tried_again_are_at_a_parked_provider(
    campaign, briefing, server
):
    confirmed_readers(40, briefing)
    confirmed_readers(40, briefing, "gmail.com")
    server.answer("RCPT", REFUSED, containing="@gmail.com")
    start(campaign)
    work()

    bring_forward(campaign)
    send_one_batch()

    assert Batch.objects.get().due_at == Parking.objects.get().until


# Nobody is there -----------------------------------------------------------------------------


def test_an_address_that_does_not_exist_fails_and_is_suppressed(campaign, briefing, server):
    people = confirmed_readers(10, briefing)
    server.answer("RCPT", "550 5.1.1 User unknown", containing="reader3@")
    start(campaign)
    work()
    bounce = Bounce.objects.get()
    assert statuses(campaign)["reader3@example.org"] == ("failed", "550 5.1.1")
    assert bounce.subscriber_id == people[3].pk

    Bounce.objects.update(at=timezone.now() - timedelta(minutes=1))
    look_for_bounces()
    look_for_due_campaigns()

    assert Suppression.objects.get().reason == "bounced"
    assert progress(campaign) == Progress(audience=10, sent=9, failed=1)
    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SENT


# Who may have got it -------------------------------------------------------------------------


def test_who_may_have_got_it_is_left_alone(campaign, briefing, cutting_server):
    confirmed_readers(10, briefing)
    start(campaign)

    finish_with_time(campaign)

    assert statuses(campaign)["reader3@example.org"][0] == "uncertain"
    assert progress(campaign) == Progress(audience=10, sent=9, uncertain=1)
    assert len(set(to(cutting_server))) == len(to(cutting_server)) == 10


def test_who_may_have_got_it_is_mailed_again_if_the_campaign_says_so(
    campaign, briefing, cutting_server
):
    """As the same message, by which mailboxes know that they have it."""
    confirmed_readers(10, briefing)
    campaign.if_uncertain = "repeat"
    start(campaign)
    work()
    assert Deferral.objects.count() == 1

    finish_with_time(campaign)

    twice = [mail for mail in cutting_server.received if "reader3@example.org" in mail.recipients]
    assert len(twice) == 2
    assert len({mail.message["Message-ID"] for mail in twice}) == 1
    assert progress(campaign) == Progress(audience=10, sent=10)
    assert len(to(cutting_server)) == 11


def test_a_dead_workers_hand_is_mailed_again_if_the_campaign_says_so(
    campaign, briefing, mailoutbox
):
    confirmed_readers(10, briefing)
    campaign.if_uncertain = "repeat"
    start(campaign)
    batch = Batch.objects.claim()
    ids, version = batch.readers_left(), campaign.versions.get()
    hand = [(subscriber, briefing.pk, version.pk) for subscriber in ids[:4]]
    windows.move(batch, windows.Window(position=ids[3], hand=hand))
    die(batch)

    work()

    assert campaign.finish()
    assert len({mail.to[0] for mail in mailoutbox}) == len(mailoutbox) == 10
    assert progress(campaign) == Progress(audience=10, sent=10)


# While the database is away ------------------------------------------------------------------


def test_a_window_whose_answer_was_lost_is_repeated_and_changes_nothing(
    campaign, briefing, server, answers_lost
):
    confirmed_readers(40, briefing)
    server.answer("RCPT", "550 5.1.1 User unknown", containing="reader3@")
    server.answer("RCPT", "451 4.7.1 Greylisted", containing="reader5@", times=1)
    server.answer("RCPT", "451 4.7.1 Greylisted", containing="reader39@", times=2)
    start(campaign)

    work()
    assert sorted(Deferral.objects.values_list("attempts", flat=True)) == [1, 1]
    bring_forward(campaign)
    work()

    assert Deferral.objects.get().attempts == 2
    assert Bounce.objects.count() == 1
    finish_with_time(campaign)
    assert len(answers_lost) > 10
    assert len(set(to(server))) == len(to(server)) == 39
    assert progress(campaign) == Progress(audience=40, sent=39, failed=1)
    assert not Deferral.objects.exists()


def test_who_is_told_to_stop_while_the_database_is_away_still_writes_down(
    campaign, briefing, mailoutbox, monkeypatch
):
    confirmed_readers(20, briefing)
    start(campaign)
    usual, failures = windows.move, []

    def move(batch, window):
        if window.rows and len(failures) < 3:
            failures.append(stopping.stop())
            raise OperationalError("server closed the connection unexpectedly")
        return usual(batch, window)

    monkeypatch.setattr(windows, "move", move)
    monkeypatch.setattr(windows, "_wait_for_it", lambda error: None)
    work()

    assert len(failures) == 3
    assert Delivery.objects.filter(status="sent").count() == len(mailoutbox) > 0
    assert Batch.objects.get().in_hand == []
    stopping.go_on()
    work()
    assert progress(campaign) == Progress(audience=20, sent=20)
