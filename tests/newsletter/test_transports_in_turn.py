"""Transports that take one message after the other, as the engine knows them all."""

import threading

import pytest
from django.core import mail

from newsletter.delivery.outcomes import Fate, Outbox, UnreachableError, sent
from newsletter.delivery.transports import Transports
from newsletter.delivery.transports.in_turn import InTurn
from tests.newsletter.transports import hand_over, messages, ours, wait_for


@pytest.fixture
def memory(settings):
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}


class Slow:
    """Says to whom it sent, and breaks at the second message in the way it is told."""

    in_hand = 4

    def __init__(self, error):
        self.error = error
        self.is_closed = False

    def hand_over(self, messages):
        for number, message in enumerate(messages):
            if number == 1:
                raise self.error
            yield sent(message.reader)

    def close(self):
        self.is_closed = True


class Only:
    def __init__(self, transport):
        self.outbox = Outbox()
        self.transport = InTurn(transport, self.outbox)


def test_each_has_an_outcome(campaign, memory):
    account = hand_over(messages(campaign, 5))

    assert account.fates() == {Fate.SENT: 5}
    assert len(mail.outbox) == 5


def test_it_is_asked_before_each_whether_it_is_ours(campaign, memory):
    account = hand_over(messages(campaign, 5), lambda: len(mail.outbox) < 2)

    assert account.fates() == {Fate.SENT: 2, Fate.RETURNED: 3}
    assert len(mail.outbox) == 2


def test_an_error_about_all_comes_before_those_it_returns(campaign):
    only = Only(Slow(UnreachableError("away")))

    only.transport.take(messages(campaign, 4), ours)
    account = wait_for(only, 4)
    only.transport.close()

    assert [str(error) for error in account.errors] == ["away"]
    assert account.fates() == {Fate.SENT: 1, Fate.RETURNED: 3}


def test_any_other_error_is_the_workers_to_die_of(campaign):
    only = Only(Slow(ZeroDivisionError()))

    only.transport.take(messages(campaign, 4), ours)
    with pytest.raises(ZeroDivisionError):
        wait_for(only, 4)
    only.transport.close()


def test_closing_ends_the_thread_and_the_transport(campaign):
    slow = Slow(ZeroDivisionError())
    only = Only(slow)

    only.transport.close()

    assert slow.is_closed
    assert not [thread for thread in threading.enumerate() if thread.name == "transport"]


def test_one_that_cannot_be_written_does_not_stop_those_behind_it(campaign, memory, caplog):
    taken = messages(campaign, 3)
    taken[1] = taken[1]._replace(reader=taken[1].reader._replace(name=17))

    account = hand_over(taken)

    assert account.of(2).code == "content"
    assert account.fates() == {Fate.SENT: 2, Fate.FAILED: 1}
    assert "reader 2" in caplog.text


def test_a_mailers_transport_is_made_once(memory):
    with Transports() as transports:
        assert transports["default"] is transports["default"]
