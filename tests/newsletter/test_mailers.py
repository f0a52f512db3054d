"""When the first mailer is down its standby takes over, or the campaign holds; on real servers."""

import pytest
from django.utils import timezone

from newsletter import delivery
from newsletter.content import Reader
from newsletter.delivery import limits
from newsletter.delivery.routes import Routes
from newsletter.models import Batch, Campaign, Delivery, Parking, RateLimit, WarmUp
from newsletter.reports import progress
from subscribers.models import Breaker
from tests.newsletter.sending import closed, confirmed_readers, start, statuses, work
from tests.smtp import HANG_UP, RawServer, serving
from tests.subscribers.test_breakers import MINUTE, pass_time

pytestmark = pytest.mark.django_db

READERS = 40


class Server(RawServer):
    """One that can be gone: whoever speaks to it is hung up on."""

    def fail(self, answer=HANG_UP, after=0):
        """From now on, or once it took so many."""
        self.answer = lambda said: answer if len(self.received) >= after else None

    def recover(self):
        self.answer = lambda said: None


@pytest.fixture
def first():
    with serving(Server()) as server:
        yield server


@pytest.fixture
def relay():
    with serving(Server()) as server:
        yield server


@pytest.fixture
def sender(settings, publication, first, relay):
    """The paper's, with a standby that nobody has marked yet."""
    settings.SMTP_CONNECTIONS = 1
    settings.MAILERS = {"default": _smtp(first), "relay": _smtp(relay)}
    publication.sender.standby = "relay"
    publication.sender.save()
    return publication.sender


def _smtp(server):
    options = {"host": server.host, "port": server.port, "timeout": 5}
    return {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}


@pytest.fixture
def warm(sender, editor):
    sender.mark_standby(editor.pk)
    return sender


@pytest.fixture
def sending(campaign, briefing):
    """Begun, to forty readers."""
    confirmed_readers(READERS, briefing)
    return start(campaign)


def take_down(mailer="default", said="Connection refused"):
    """As several attempts before found it."""
    now = timezone.now()
    return Breaker.objects.create(
        mailer=mailer, failures=3, first_failed_at=now - MINUTE, forget_at=now + 15 * MINUTE,
        down_since=now - MINUTE, said=said, tries=1, try_at=now + MINUTE,
    )  # fmt: skip


def lock_out(mailer="default"):
    take_down(mailer, "535 5.7.8 Wrong password")
    Breaker.objects.filter(mailer=mailer).update(kind=Breaker.Kind.LOCKED_OUT)


def go_on(time):
    """So much time passes, and the workers look again."""
    pass_time(time)
    for batch in Batch.objects.filter(finished_at=None):
        Batch.objects.filter(pk=batch.pk).update(due_at=batch.due_at - time)
    work()


def everybody():
    return sorted(f"reader{number}@example.org" for number in range(READERS))


def is_down(mailer="default"):
    return Breaker.objects.down().filter(mailer=mailer).exists()


# A standby that is warmed up ------------------------------------------------------------------


def test_when_the_first_fails_in_the_middle_the_standby_takes_the_rest_once_each(
    warm, sending, first, relay
):
    first.fail(after=10)

    for _visit in range(4):
        go_on(MINUTE / 2)
    sending.finish()

    assert first.recipients()
    assert relay.recipients()
    assert sorted(first.recipients() + relay.recipients()) == everybody()
    assert closed(sending).sent + closed(sending).uncertain == READERS
    assert is_down()


def test_the_campaign_goes_on_by_the_first_until_it_is_known_to_be_down(
    warm, sending, first, relay
):
    first.fail()

    work()

    assert relay.recipients() == []
    assert not is_down()
    assert Campaign.objects.get().status == Campaign.Status.SENDING


def test_once_down_nobody_waits_for_it(warm, sending, first, relay):
    take_down()

    work()

    assert sorted(relay.recipients()) == everybody()
    assert first.connections == 0


def test_those_in_the_hand_of_the_first_keep_their_outcome(warm, sending, first, relay):
    first.answer = lambda said: HANG_UP if said.step == "DOT" and said.times > 10 else None

    for _visit in range(4):
        go_on(MINUTE / 2)

    known = Delivery.Status.UNCERTAIN
    uncertain = {who for who, (status, _code) in statuses(sending).items() if status == known}
    assert uncertain
    assert not uncertain & set(relay.recipients())
    assert sorted(first.recipients() + relay.recipients() + list(uncertain)) == everybody()


def test_when_the_first_is_back_a_few_find_out_and_the_rest_return_to_it(
    warm, sending, first, relay
):
    take_down()
    pass_time(2 * MINUTE)

    work()

    assert sorted(first.recipients()) == everybody()
    assert Breaker.objects.count() == 0


def test_when_it_is_not_back_those_who_found_out_go_by_the_standby(warm, sending, first, relay):
    first.fail()
    take_down()
    pass_time(2 * MINUTE)

    work()

    assert sorted(relay.recipients()) == everybody()
    assert len(first.steps("GREETING")) == 1
    assert Breaker.objects.get().tries == 2


def test_what_was_on_the_way_when_it_went_down_does_not_close_it(warm, sending):
    lists, reader = [warm.publication.mailing_lists.get().pk], Reader(1, "ann@example.org", "", 1)
    reader = reader._replace(mailing_list_id=lists[0])
    routes = Routes()
    routes.look(lists)
    routes.take(reader)
    take_down()
    routes.look(lists)

    routes.succeeded("default", [reader])

    assert is_down()
    assert routes.mailers == {"relay"}


def test_a_mailer_that_takes_mail_and_never_answers_is_no_more_given_any(
    warm, campaign, briefing, first, relay
):
    confirmed_readers(400, briefing)
    sending = start(campaign)
    first.answer = lambda said: HANG_UP if said.step == "DOT" else None

    for _visit in range(6):
        go_on(MINUTE / 2)

    known = progress(sending)
    assert known.sent == len(relay.recipients()) == 400 - known.uncertain
    assert known.uncertain < 250


def test_at_most_four_readers_find_out(warm, sending, first, relay):
    first.answer = lambda said: HANG_UP if said.step == "DOT" else None
    take_down()
    pass_time(2 * MINUTE)

    work()

    assert len(relay.recipients()) >= READERS - 4
    assert {said.recipient for said in first.steps("DOT")}.isdisjoint(relay.recipients())


def test_a_sign_in_that_is_refused_does_not_pause_what_a_standby_can_take(
    warm, sending, first, relay
):
    first.fail("554 5.7.1 Your account is closed")

    work()
    sending.refresh_from_db()

    assert sending.status == Campaign.Status.SENDING
    assert sorted(relay.recipients()) == everybody()
    assert Breaker.objects.get().is_locked_out


def test_what_is_wrong_with_our_mail_pauses_with_a_standby_too(warm, sending, first, relay):
    first.answer = lambda said: "554 5.7.1 Relay access denied" if said.step == "RCPT" else None

    work()
    sending.refresh_from_db()

    assert sending.status == Campaign.Status.PAUSED
    assert relay.recipients() == []
    assert Breaker.objects.count() == 0


def test_a_standby_that_is_down_too_holds(warm, sending, first, relay):
    take_down()
    take_down("relay")

    work()

    assert first.recipients() + relay.recipients() == []
    assert sending.batches.get().held_by


def test_the_standbys_own_limits_hold_for_it(warm, sending, first, relay, monkeypatch):
    monkeypatch.setattr(limits, "_REMEMBERED", 0.0)
    RateLimit.objects.create(mailer="relay", per_day=7)
    take_down()

    work()

    assert len(relay.recipients()) == 7


def test_a_standby_that_is_still_being_warmed_up_takes_what_its_plan_allows(
    warm, sending, first, relay
):
    WarmUp.objects.create(mailer="relay", started_on=timezone.now().date(), first_day=5)
    take_down()

    work()

    assert len(relay.recipients()) == 5
    assert progress(sending).waiting == READERS - 5


def test_a_provider_that_refuses_the_standby_is_left_alone_there_and_only_there(
    warm, sending, first, relay
):
    until = timezone.now() + 15 * MINUTE
    Parking.objects.create(
        mailer="relay", house="example.org", until=until, parked_at=timezone.now()
    )
    take_down()

    work()
    nobody = relay.recipients()
    Breaker.objects.all().delete()
    sending.batches.update(due_at=timezone.now())
    work()

    assert nobody == []
    assert sorted(first.recipients()) == everybody()


# None, or one that nobody marked --------------------------------------------------------------


def test_a_standby_that_nobody_marked_takes_nothing(sender, sending, first, relay):
    take_down()

    work()
    sending.refresh_from_db()

    assert first.recipients() + relay.recipients() == []
    assert sending.status == Campaign.Status.SENDING
    assert sending.batches.get().held_by == "default"


def test_the_mark_is_of_no_use_to_another_standby(warm, sending, settings, relay):
    settings.MAILERS["pigeon"] = settings.MAILERS["relay"]
    warm.standby = "pigeon"
    warm.save()
    take_down()

    work()

    assert relay.recipients() == []


def test_a_standby_that_is_not_set_up_any_more_is_none(warm, sending, settings, relay):
    del settings.MAILERS["relay"]
    take_down()

    work()

    assert sending.batches.get().held_by == "default"


def test_who_is_held_goes_by_the_first_when_it_is_back(sender, sending, first):
    take_down()
    work()

    go_on(2 * MINUTE)

    assert sorted(first.recipients()) == everybody()
    assert Breaker.objects.count() == 0


def test_held_batches_are_brought_forward_when_one_gets_through(sender, campaign, briefing, first):
    confirmed_readers(READERS, briefing)
    start(campaign)
    only = campaign.batches.get()
    middle = only.readers_left()[READERS // 2]
    Batch.objects.create(
        campaign=campaign, first=middle, last=only.last, position=middle - 1, lot=9,
        due_at=timezone.now() + 60 * MINUTE, held_by="default",
    )  # fmt: skip
    Batch.objects.filter(pk=only.pk).update(last=middle - 1)
    take_down()
    pass_time(2 * MINUTE)

    work()

    assert sorted(first.recipients()) == everybody()


def test_a_mark_made_meanwhile_lets_the_standby_take_over(sender, sending, editor, relay):
    take_down()
    work()

    sender.mark_standby(editor.pk)
    sending.batches.bring_forward(["default"])
    work()

    assert sorted(relay.recipients()) == everybody()


def test_a_refused_sign_in_pauses_where_none_takes_over(sender, sending, first, relay):
    first.fail("554 5.7.1 Your account is closed")

    work()
    sending.refresh_from_db()

    assert sending.status == Campaign.Status.PAUSED
    assert "Your account is closed" in sending.trouble
    assert first.recipients() + relay.recipients() == []


def test_another_campaign_by_a_mailer_that_lets_us_not_in_pauses_too(sender, sending, first):
    lock_out()

    work()
    sending.refresh_from_db()

    assert (sending.status, sending.trouble) == ("paused", "535 5.7.8 Wrong password")
    assert first.connections == 0


def test_who_goes_on_after_that_has_it_tried_at_once(sender, sending, first):
    lock_out()
    work()

    sending.refresh_from_db()
    sending.resume()
    work()

    assert sorted(first.recipients()) == everybody()
    assert Breaker.objects.count() == 0


def test_while_one_worker_tries_it_another_holds_and_does_not_pause(sender, sending, first):
    lock_out()
    pass_time(10 * MINUTE)
    Breaker.objects.probe("default")

    work()
    sending.refresh_from_db()

    assert sending.status == Campaign.Status.SENDING
    assert first.connections == 0


# How it is found out --------------------------------------------------------------------------


def test_a_server_that_is_away_opens_it_after_several_hands(sender, sending, first):
    first.fail()

    for _visit in range(3):
        go_on(MINUTE / 2)

    assert is_down()
    assert sending.batches.get().held_by == "default"


def test_a_server_that_says_later_is_only_waited_for(sender, sending, first):
    first.fail("421 4.3.2 Too many connections")

    for _visit in range(3):
        go_on(MINUTE / 2)

    assert not is_down()
    assert Breaker.objects.get().failures == 3


def test_a_mail_that_gets_through_ends_the_count(sender, sending, first):
    first.fail()
    work()
    first.recover()

    go_on(MINUTE / 2)

    assert Breaker.objects.count() == 0
    assert sorted(first.recipients()) == everybody()


def test_two_mailers_of_one_campaign_are_held_each_for_its_own(
    sender, campaign, briefing, weekend, publication, first, relay
):
    weekend.sender = publication.senders.create(
        name="The Weekend", email="weekend@harbour.example", mailer="relay"
    )
    weekend.save()
    campaign.mailing_lists.add(weekend)
    confirmed_readers(4, briefing)
    confirmed_readers(4, weekend, "weekend.example")
    start(campaign)
    take_down()

    work()

    assert sorted(relay.recipients()) == [f"reader{number}@weekend.example" for number in range(4)]
    assert first.recipients() == []
    assert progress(campaign).waiting == 4
    go_on(2 * MINUTE)
    assert len(first.recipients()) == 4


def test_a_worker_that_found_nobody_to_try_it_with_leaves_it_to_the_next(
    sender, campaign, briefing
):
    people = confirmed_readers(1, briefing)
    start(campaign)
    people[0].subscriptions.update(ended_at=timezone.now())
    take_down()
    pass_time(2 * MINUTE)

    with delivery.Worker() as worker:
        worker.send(Batch.objects.claim())

    assert Breaker.objects.probe("default")
