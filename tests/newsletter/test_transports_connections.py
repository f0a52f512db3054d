"""Many letters over few connections, and every way in which one of them can break."""

import random
import threading
import time

import pytest

from newsletter import stopping
from newsletter.content import Reader
from newsletter.delivery.outcomes import (
    BusyError,
    Fate,
    LockedOutError,
    SendersFaultError,
    UnreachableError,
)
from newsletter.delivery.transports import Transports
from newsletter.delivery.transports.smtp import connections, conversation, login
from tests.newsletter.transports import hand_over, messages, ours, use, wait_for
from tests.smtp import HANG_UP, SILENCE, TAKEN, RawServer, serving

PIPELINED, PLAIN = ("PIPELINING",), ()


@pytest.fixture(params=[PIPELINED, PLAIN], ids=["pipelined", "step by step"])
def extensions(request):
    return request.param


@pytest.fixture
def server(extensions):
    with serving(RawServer(extensions=extensions)) as server:
        yield server


def once(step, answer, times=3):
    """Only when this step is said for the third time."""
    return lambda said: answer if (said.step, said.times) == (step, times) else None


def answers(step, answer, recipient):
    """Whenever this step is said for this reader."""

    def told(said):
        is_it = said.step == step and recipient in (said.recipient or said.argument)
        return answer if is_it else None

    return told


def until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_each_reader_gets_one_message_in_turn(campaign, settings, server):
    use(settings, server)

    account = hand_over(messages(campaign, 20))

    assert account.fates() == {Fate.SENT: 20}
    assert server.recipients() == [f"reader{number}@example.com" for number in range(1, 21)]
    assert server.connections == 1
    assert account.of(1).provider_id == "Queued"


def test_what_is_not_offered_is_not_used(campaign, settings):
    with serving(RawServer(extensions=())) as server:
        use(settings, server)
        hand_over(messages(campaign, 5))

    assert server.early == 0
    assert not any("SIZE" in said.argument for said in server.steps("MAIL"))


def test_the_next_envelope_travels_with_the_body(campaign, settings):
    with serving(RawServer(extensions=("PIPELINING", "SIZE 1000000"))) as server:
        use(settings, server)
        hand_over(messages(campaign, 5))

    assert server.early > 50
    sizes = [int(said.argument.partition("SIZE=")[2]) for said in server.steps("MAIL")]
    # As it goes over the wire: with doubled dots and the final one.
    for mail, size in zip(server.received, sizes, strict=True):
        assert len(mail.raw) < size < len(mail.raw) + 50


def test_a_server_that_knows_no_ehlo_is_greeted_the_old_way(campaign, settings):
    server = RawServer(answer=lambda said: "502 5.5.1 What?" if said.step == "EHLO" else None)
    with serving(server):
        use(settings, server)
        account = hand_over(messages(campaign, 3))

    assert account.fates() == {Fate.SENT: 3}
    assert server.early == 0


def test_answers_may_come_byte_by_byte(campaign, settings, server):
    server.piece = 1
    use(settings, server)

    account = hand_over(messages(campaign, 5))

    assert account.fates() == {Fate.SENT: 5}


@pytest.mark.parametrize("dots", ["<p>.</p>", "<p>..x</p>", "<pre>\n.\n..\n.end</pre>"])
def test_bodies_arrive_byte_by_byte_as_they_were(campaign, article, settings, server, dots):
    article.body = dots + article.body
    article.save()
    use(settings, server)
    (message,) = messages(campaign, 1)

    hand_over([message])

    sent = message.mailing.message(message.reader, campaign.created_at)
    without_date = [line for line in sent.split(b"\r\n") if not line.startswith(b"Date:")]
    got = server.received[0].raw
    assert [line for line in got.split(b"\r\n") if not line.startswith(b"Date:")] == without_date


def test_a_refused_reader_in_the_middle_holds_up_nobody(campaign, settings, server):
    server.answer = answers("RCPT", "550 5.1.1 No such user", "reader3@")
    use(settings, server)

    account = hand_over(messages(campaign, 6))

    assert account.fate(3) is Fate.NO_MAILBOX
    assert (account.of(3).code, account.of(3).text) == ("550 5.1.1", "No such user")
    assert account.fates() == {Fate.SENT: 5, Fate.NO_MAILBOX: 1}
    assert len(server.received) == 5
    assert server.connections == 1


def test_a_server_that_wants_a_message_for_nobody_gets_an_empty_one(campaign, settings):
    def told(said):
        if said.step == "RCPT" and "reader2@" in said.argument:
            return "550 5.1.1 No such user"
        return "354 All the same" if said.step == "DATA" else None

    with serving(RawServer(answer=told)) as server:
        use(settings, server)
        account = hand_over(messages(campaign, 4))

    assert account.fates() == {Fate.SENT: 3, Fate.NO_MAILBOX: 1}
    assert [len(mail.recipients) for mail in server.received] == [1, 1, 1]


@pytest.mark.parametrize(
    ("step", "answer", "fate"),
    [
        ("RCPT", "450 4.2.1 Greylisted, try again in 300 seconds", Fate.DEFERRED),
        ("RCPT", "552 5.2.2 Mailbox full", Fate.FAILED),
        ("DATA", "451 4.3.0 Not now", Fate.DEFERRED),
        ("DOT", "550 5.7.1 Message looks like spam", Fate.REFUSED),
        ("DOT", "451 4.7.1 Try again later", Fate.DEFERRED),
        ("DOT", "351 What?", Fate.UNCERTAIN),
        ("DOT", "nonsense", Fate.UNCERTAIN),
    ],
)
def test_a_refusal_is_its_readers_alone(campaign, settings, server, step, answer, fate):
    server.answer = answers(step, answer, "reader2@")
    use(settings, server)

    account = hand_over(messages(campaign, 4))

    assert account.fate(2) is fate
    assert account.fates() == {Fate.SENT: 3, fate: 1}


def test_the_house_of_a_reader_is_told_to_the_rules(campaign, settings, server):
    server.answer = answers("RCPT", "550 Requested action not taken: mailbox unavailable", "bob@")
    use(settings, server)
    (message,) = messages(campaign, 1)
    reader = Reader(1, "bob@outlook.com", "Bob", 1, mailbox_provider="microsoft")

    account = hand_over([message._replace(reader=reader)])

    assert account.fates() == {Fate.NO_MAILBOX: 1}


def test_how_long_they_ask_us_to_wait_is_kept(campaign, settings, server):
    server.answer = answers("RCPT", "450 4.2.1 Greylisted, try again in 300 seconds", "reader1@")
    use(settings, server)

    account = hand_over(messages(campaign, 1))

    assert account.of(1).rest.total_seconds() == 300


# Connections that break. Each message has one outcome; only after a final dot is it uncertain.


@pytest.mark.parametrize("how", [HANG_UP, "421 4.3.2 Going down", "nonsense"])
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_what_breaks_before_the_dot_is_said_again(campaign, settings, server, step, how):
    server.answer = once(step, how)
    use(settings, server)

    account = hand_over(messages(campaign, 6))

    assert account.fates() == {Fate.SENT: 6}
    assert sorted(server.recipients()) == account.addresses(Fate.SENT)
    assert server.connections == 2


@pytest.mark.parametrize(("how", "arrived"), [(HANG_UP, 5), (TAKEN, 6)])
def test_what_breaks_after_the_dot_is_uncertain_and_not_said_again(
    campaign, settings, server, how, arrived
):
    server.answer = once("DOT", how)
    use(settings, server)

    account = hand_over(messages(campaign, 6))

    assert account.fates() == {Fate.SENT: 5, Fate.UNCERTAIN: 1}
    assert account.fate(3) is Fate.UNCERTAIN
    assert len(set(server.recipients())) == len(server.received) == arrived


def test_421_as_the_answer_to_the_dot_is_a_refusal(campaign, settings, server):
    server.answer = once("DOT", "421 4.3.2 Going down")
    use(settings, server)

    account = hand_over(messages(campaign, 6))

    assert account.fates() == {Fate.SENT: 6}
    assert sorted(server.recipients()) == account.addresses(Fate.SENT)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_hanging_up_on_the_first_letter_of_a_connection_is_held_against_it(
    campaign, settings, server, step
):
    server.answer = once(step, HANG_UP, times=1)
    use(settings, server)

    account = hand_over(messages(campaign, 4))

    assert account.fate(1) is Fate.DEFERRED
    assert account.fates() == {Fate.SENT: 3, Fate.DEFERRED: 1}


def test_a_letter_that_kills_connections_is_said_twice_and_no_more(campaign, settings, server):
    server.answer = answers("RCPT", HANG_UP, "reader3@")
    use(settings, server)

    account = hand_over(messages(campaign, 6))

    assert account.fates() == {Fate.SENT: 5, Fate.DEFERRED: 1}
    assert account.fate(3) is Fate.DEFERRED
    assert len([said for said in server.steps("RCPT") if "reader3@" in said.argument]) == 2


def test_where_no_fresh_connection_is_to_be_had_it_is_said_over_another(campaign, settings, server):
    def told(said):
        if said.step == "RCPT" and "reader20@" in said.argument:
            return HANG_UP
        return "421 Too many" if said.step == "GREETING" and said.connection > 2 else None

    server.answer = told
    use(settings, server, connections=2)

    account = hand_over(messages(campaign, 20))

    assert account.fates() == {Fate.SENT: 19, Fate.DEFERRED: 1}
    assert account.fate(20) is Fate.DEFERRED


@pytest.mark.parametrize("step", ["MAIL", "DOT"])
def test_421_on_a_fresh_connection_is_about_everybody(campaign, settings, server, step):
    server.answer = lambda said: "421 4.3.2 Closed" if said.step == step else None
    use(settings, server)

    account = hand_over(messages(campaign, 4))

    (error,) = account.errors
    assert isinstance(error, UnreachableError)
    assert str(error) == "421 4.3.2 Closed"
    assert account.fates() == {Fate.RETURNED: 4}
    assert server.received == []


def test_a_server_that_takes_few_messages_a_connection_is_called_again_and_again(
    campaign, settings, server
):
    """All connections come to their end together, and none of the letters is to blame."""
    taken = {}

    def told(said):
        if said.step == "MAIL":
            taken[said.connection] = taken.get(said.connection, 0) + 1
            return "421 4.7.0 Enough" if taken[said.connection] > 3 else None
        return None

    server.answer = told
    use(settings, server, connections=4)

    account = hand_over(messages(campaign, 60))

    assert account.fates() == {Fate.SENT: 60}
    assert sorted(server.recipients()) == account.addresses(Fate.SENT)
    assert not account.errors


@pytest.mark.parametrize("seed", range(6))
def test_however_connections_break_the_account_is_exact(campaign, settings, server, seed):
    chance = random.Random(seed)
    ways = [HANG_UP, TAKEN, "421 4.3.2 Gone", "451 4.3.0 Not now", "nonsense", "550 5.1.1 Nobody"]

    def told(said):
        steps = {"MAIL": ways[0:1], "RCPT": [*ways[:1], *ways[2:]], "DATA": ways[:1], "DOT": ways}
        if said.times > 5 and said.step in steps and chance.random() < 0.05:
            return chance.choice(steps[said.step])
        return None

    server.answer = told
    use(settings, server, connections=4)

    account = hand_over(messages(campaign, 200))

    arrived = server.recipients()
    sent, uncertain = account.addresses(Fate.SENT), account.addresses(Fate.UNCERTAIN)
    assert len(set(arrived)) == len(arrived)
    assert set(sent) <= set(arrived) <= {*sent, *uncertain}
    assert account.fates()[Fate.SENT] > 100 or account.errors


# Whether it is ours is asked before each dot.


def test_nothing_is_handed_over_once_the_batch_is_anothers(campaign, settings, server):
    asked = []

    def is_ours():
        asked.append(1)
        return len(asked) <= 2

    use(settings, server)

    account = hand_over(messages(campaign, 8), is_ours)

    assert account.fates() == {Fate.SENT: 2, Fate.RETURNED: 6}
    assert server.recipients() == account.addresses(Fate.SENT)


def test_what_is_in_another_hand_meanwhile_goes_on(campaign, settings, server):
    use(settings, server)
    with Transports() as transports:
        transports["default"].take(messages(campaign, 4), lambda: False)
        transports["default"].take(messages(campaign, 4, first=5), ours)
        account = wait_for(transports, 8)

    assert [account.fate(number) for number in range(1, 5)] == [Fate.RETURNED] * 4
    assert server.recipients() == [f"reader{number}@example.com" for number in range(5, 9)]


# Connections: few, kept, replaced.


def test_connections_are_kept_from_take_to_take(campaign, settings, server):
    use(settings, server, connections=16)
    with Transports() as transports:
        for first in [1, 4, 7]:
            transports["default"].take(messages(campaign, 3, first), ours)
            wait_for(transports, 3)

    assert server.connections == 1
    until(lambda: server.open == 0)
    assert len(server.steps("QUIT")) == 1


def test_there_are_as_many_connections_as_work_for_them(campaign, settings, server):
    use(settings, server, connections=4)
    with Transports() as transports:
        assert transports["default"].in_hand == 16
        transports["default"].take(messages(campaign, 40), ours)
        account = wait_for(transports, 40)

    assert account.fates() == {Fate.SENT: 40}
    assert server.connections == 4
    assert {said.connection for said in server.steps("DOT")} == {1, 2, 3, 4}


def test_a_server_that_hung_up_meanwhile_is_called_again(campaign, settings, server):
    use(settings, server)
    with Transports() as transports:
        transports["default"].take(messages(campaign, 2), ours)
        wait_for(transports, 2)
        server.writers[0].transport._loop.call_soon_threadsafe(server.hang_up)
        until(lambda: server.open == 0)
        transports["default"].take(messages(campaign, 2, first=3), ours)
        account = wait_for(transports, 2)

    assert account.fates() == {Fate.SENT: 2}
    assert server.connections == 2


def test_a_connection_without_work_is_given_back(campaign, settings, server, monkeypatch):
    monkeypatch.setattr(conversation, "IDLE", 0.05)
    monkeypatch.setattr(connections, "_TICK", 0.02)
    use(settings, server)
    with Transports() as transports:
        transports["default"].take(messages(campaign, 2), ours)
        wait_for(transports, 2)
        until(lambda: server.open == 0)

    assert len(server.steps("QUIT")) == 1


@pytest.mark.parametrize("step", ["GREETING", "EHLO", "MAIL", "RCPT"])
@pytest.mark.parametrize("refusal", ["421 4.7.0 Too many connections", "421 Come back later"])
def test_with_fewer_connections_than_wished_it_goes_on(campaign, settings, server, step, refusal):
    def told(said):
        return refusal if said.step == step and said.connection > 2 else None

    server.answer = told
    use(settings, server, connections=8)

    account = hand_over(messages(campaign, 64))

    assert account.fates() == {Fate.SENT: 64}
    assert not account.errors


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        ("421 4.3.2 Closed", BusyError),
        ("451 4.3.0 Later", BusyError),
        ("554 5.7.1 You are blocked", LockedOutError),
        (HANG_UP, UnreachableError),
        ("nonsense", UnreachableError),
    ],
)
def test_where_no_connection_opens_all_come_back(campaign, settings, server, greeting, kind):
    server.answer = lambda said: greeting if said.step == "GREETING" else None
    use(settings, server, connections=4)

    account = hand_over(messages(campaign, 16))

    (error,) = account.errors
    assert type(error) is kind
    assert account.fates() == {Fate.RETURNED: 16}
    if greeting[0].isdigit():
        assert str(error) == greeting


def test_a_server_that_is_not_there_is_tried_anew_with_the_next(campaign, settings):
    with serving(RawServer()) as server:
        use(settings, server, connections=2)
    gone = server.port
    with Transports() as transports:
        transports["default"].take(messages(campaign, 4), ours)
        first = wait_for(transports, 4)
        transports["default"].take(messages(campaign, 4), ours)
        second = wait_for(transports, 4)

    assert gone
    for account in [first, second]:
        assert [type(error) for error in account.errors] == [UnreachableError]
        assert account.fates() == {Fate.RETURNED: 4}


@pytest.mark.parametrize("count", [1, 4])
def test_a_refusal_of_us_brings_everybody_back(campaign, settings, server, count):
    server.answer = answers("RCPT", "554 5.7.1 Relay access denied", "@")
    use(settings, server, connections=count)

    account = hand_over(messages(campaign, 16))

    assert [str(error) for error in account.errors] == ["554 5.7.1 Relay access denied"]
    assert isinstance(account.errors[0], SendersFaultError)
    assert account.fates() == {Fate.RETURNED: 16}


# Silence.


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_silence_before_the_dot_is_no_ones_fault(campaign, settings, server, step):
    server.answer = once(step, SILENCE)
    use(settings, server, timeout=0.3)

    account = hand_over(messages(campaign, 6))

    assert account.fates() == {Fate.SENT: 6}
    assert sorted(server.recipients()) == account.addresses(Fate.SENT)


@pytest.mark.parametrize("step", ["GREETING", "EHLO"])
def test_silence_at_login_is_a_server_that_cannot_be_reached(campaign, settings, server, step):
    server.answer = once(step, SILENCE, times=1)
    use(settings, server, timeout=0.2)

    account = hand_over(messages(campaign, 3))

    assert [str(error) for error in account.errors] == ["timed out"]
    assert account.fates() == {Fate.RETURNED: 3}


def test_one_connection_that_hangs_does_not_hold_up_the_others(campaign, settings, server):
    server.answer = answers("DOT", SILENCE, "reader1@")
    use(settings, server, connections=4)
    with Transports() as transports:
        transports["default"].take(messages(campaign, 60), ours)
        # Where it is pipelined, another's envelope waits behind it.
        rest = 58 if server.extensions else 59
        account = wait_for(transports, rest)
        server_has = set(server.recipients())

    assert account.fates() == {Fate.SENT: rest}
    assert set(account.addresses(Fate.SENT)) == server_has


def test_a_letter_that_waits_behind_one_that_hangs_gets_a_connection_of_its_own(
    campaign, settings, server, monkeypatch
):
    monkeypatch.setattr(connections, "_TICK", 0.02)
    server.answer = answers("DOT", SILENCE, "reader1@")
    use(settings, server, connections=2)
    with Transports() as transports:
        transports["default"].take(messages(campaign, 1), ours)
        until(lambda: server.steps("DOT"))
        transports["default"].take(messages(campaign, 3, first=2), ours)
        # Where it is pipelined, another's envelope waits behind it.
        rest = 2 if server.extensions else 3
        account = wait_for(transports, rest)

    assert account.fates() == {Fate.SENT: rest}


def test_silence_after_the_dot_ends_sooner_once_we_are_told_to_stop(
    campaign, settings, server, monkeypatch
):
    monkeypatch.setattr(conversation, "FINAL_DOT_AT_STOP", 0.1)
    monkeypatch.setattr(connections, "_TICK", 0.02)
    server.answer = answers("DOT", SILENCE, "reader2@")
    use(settings, server)
    stopping.stop()
    try:
        account = hand_over(messages(campaign, 2))
    finally:
        stopping.go_on()

    assert account.fates() == {Fate.SENT: 1, Fate.UNCERTAIN: 1}
    assert account.of(2).text == "timed out"


# What cannot be sent at all.


def test_one_that_cannot_be_written_does_not_stop_those_behind_it(
    campaign, settings, server, caplog
):
    use(settings, server)
    taken = messages(campaign, 4)
    taken[1] = taken[1]._replace(reader=taken[1].reader._replace(address="bob@\r\nexample.com"))
    taken[2] = taken[2]._replace(reader=taken[2].reader._replace(name=17))

    account = hand_over(taken)

    assert (account.fate(2), account.of(2).code) == (Fate.FAILED, "address")
    assert (account.fate(3), account.of(3).code) == (Fate.FAILED, "content")
    assert account.fates() == {Fate.SENT: 2, Fate.FAILED: 2}
    assert "reader 3" in caplog.text


def test_a_message_larger_than_the_server_takes_is_not_offered(campaign, settings):
    with serving(RawServer(extensions=("PIPELINING", "SIZE 1000"))) as server:
        use(settings, server)
        account = hand_over(messages(campaign, 3))

    assert str(account.errors[0]).startswith("552 5.3.4")
    assert isinstance(account.errors[0], SendersFaultError)
    assert account.fates() == {Fate.RETURNED: 3}
    assert server.steps("MAIL") == []


@pytest.mark.parametrize("offered", [True, False])
def test_special_letters_need_a_server_that_takes_them(campaign, settings, offered):
    extensions = ("PIPELINING", "SMTPUTF8", "8BITMIME") if offered else ("PIPELINING",)
    taken = messages(campaign, 3)
    taken[1] = taken[1]._replace(reader=taken[1].reader._replace(address="jörg@example.com"))
    with serving(RawServer(extensions=extensions)) as server:
        use(settings, server)
        account = hand_over(taken)

    said = [said.argument for said in server.steps("MAIL") if "SMTPUTF8" in said.argument]
    assert len(said) == offered
    assert account.fate(2) is (Fate.SENT if offered else Fate.FAILED)
    if not offered:
        assert account.of(2).code == "553 5.6.7"
    assert len(server.received) == 2 + offered


def test_a_crash_is_the_workers_to_die_of(campaign, settings, server):
    def is_ours():
        raise _BugError

    use(settings, server)
    with pytest.raises(_BugError):
        hand_over(messages(campaign, 2), is_ours)

    assert server.received == []


def test_after_a_crash_nothing_more_is_begun(campaign, settings, server):
    def is_ours():
        raise _BugError

    use(settings, server, connections=2)
    with Transports() as transports:
        transports["default"].take(messages(campaign, 8), ours)
        wait_for(transports, 8)
        transports["default"].take(messages(campaign, 1, first=9), is_ours)
        with pytest.raises(_BugError):
            wait_for(transports, 2)
        transports["default"].take(messages(campaign, 4, first=10), ours)
        later = transports.outbox.collect(4, 0.3)

    assert not [one for one in later if one.fate is Fate.SENT]
    assert len(server.received) == 8


def test_a_crash_at_opening_is_the_workers_to_die_of_too(campaign, settings, server, monkeypatch):
    connect, opened = login.connect, []

    async def second_crashes(server):
        opened.append(server)
        if len(opened) == 2:
            raise _BugError
        return await connect(server)

    monkeypatch.setattr(login, "connect", second_crashes)
    use(settings, server, connections=4)
    with pytest.raises(_BugError):
        hand_over(messages(campaign, 64))

    assert server.received == []


class _BugError(Exception):
    pass


def test_closing_ends_the_thread(campaign, settings, server):
    use(settings, server)

    hand_over(messages(campaign, 2))

    assert not [thread for thread in threading.enumerate() if thread.name == "smtp"]
