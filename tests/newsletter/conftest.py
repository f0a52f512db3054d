"""Moments in the middle of a walk, for tests of delivery."""

import pytest

from newsletter import stopping
from newsletter.delivery.outcomes import Outbox
from newsletter.delivery.transports.stock import StockTransport
from tests.newsletter.sending import stop_calls


@pytest.fixture
def calls(monkeypatch):
    """Those that the heartbeat made to workers; nobody hears them."""
    yield stop_calls(monkeypatch)
    stopping.go_on()


@pytest.fixture
def during(monkeypatch):
    """Call it with a function: it happens once, when the first outcomes of a hand have come."""

    def during(happens):
        usual, still_to_come = Outbox.collect, [happens]

        def collect(outbox, enough, within):
            items = usual(outbox, enough, within)
            if items and still_to_come:
                still_to_come.pop()()
            return items

        monkeypatch.setattr(Outbox, "collect", collect)

    return during


@pytest.fixture
def after_the_first_message(monkeypatch):
    """Call it with a function: it happens in the transport's thread, when one message is away."""

    def after_the_first_message(happens):
        usual, still_to_come = StockTransport.hand_over, [happens]

        def hand_over(transport, messages):
            for outcome in usual(transport, messages):
                yield outcome
                if still_to_come:
                    still_to_come.pop()()

        monkeypatch.setattr(StockTransport, "hand_over", hand_over)

    return after_the_first_message
