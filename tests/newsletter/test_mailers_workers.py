"""Two workers and two mail servers in processes of their own: the first dies and comes back."""

import pytest

from tests.faults.mail import mail_server
from tests.newsletter.test_delivery_workers import BULK, READERS, Office

# Three batches, so that both workers have one.
MORE = 1000
_MARK = """
from subscribers.models import Sender
sender = Sender.objects.get()
sender.standby = "relay"
sender.mark_standby(None)
sender.save()
"""
_DOWN = "SELECT mailer FROM subscribers_breaker WHERE down_since IS NOT NULL"
# Slow enough that it dies, and comes back, in the middle.
_SLOW = 0.1


@pytest.fixture
def first():
    with mail_server() as server:
        server.be(delay=_SLOW)
        yield server


@pytest.fixture
def relay():
    with mail_server() as server:
        server.be(delay=_SLOW)
        yield server


@pytest.fixture
def office(tmp_path, first, relay, postgres_url, redis_url):
    office = Office(
        tmp_path,
        DATABASE_URL=postgres_url,
        REDIS_URL=redis_url,
        EMAIL_URL=first.url,
        MAILERS="relay",
        EMAIL_URL_RELAY=relay.url,
    )
    office.manage("load_readers", "--count", str(MORE), "--list", "briefing", "-v0")
    yield office
    office.close()


def test_a_standby_takes_the_rest_until_the_first_is_back_and_nobody_gets_it_twice(
    office, first, relay
):
    office.manage("shell", "-v0", "-c", _MARK)
    for number in range(2):
        office.worker(*BULK[:-1], f"bulk{number}@%h")
    office.wait_for(lambda: first.count() > 20)

    first.be(is_deaf=True)
    died_at = first.count()
    office.wait_for(lambda: relay.count() > 100)
    first.be()
    office.wait_for(lambda: first.count() > died_at)
    relay.be()
    office.wait_until_sent(120)

    taken = [one.recipient for server in (first, relay) for one in server.all_taken()]
    found = office.statuses()
    assert len(taken) == len(set(taken))
    assert found["sent"] + found.get("uncertain", 0) == READERS + MORE
    # What was in hand when it died: four readers for each of four connections.
    assert found.get("uncertain", 0) <= 16
    assert found["sent"] <= len(taken) <= READERS + MORE
    assert office.ask(_DOWN) == []


def test_a_standby_that_nobody_marked_takes_nobody(office, first, relay):
    office.worker(*BULK)
    office.wait_for(lambda: first.count() > 20)

    first.be(is_deaf=True)
    office.wait_for(lambda: office.ask(_DOWN) == ["default"])
    held = office.ask("SELECT status FROM newsletter_campaign")
    first.be()
    office.wait_until_sent(120)

    assert held == ["sending"]
    assert relay.count() == 0
    assert first.count() >= office.statuses()["sent"]
