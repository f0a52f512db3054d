"""What may break, one function each: it plays the fault and tells what became of everybody.

A scenario raises BrokenPromiseError where more was promised than the account shows.
"""

import contextlib
import itertools
import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests import services
from tests.benchmarks.processes import ROOT
from tests.faults.disk import Disk, small_disk
from tests.faults.office import (
    CONNECTIONS,
    PROCESSES,
    Account,
    BrokenPromiseError,
    Ground,
    Office,
    Worker,
)
from tests.faults.proxy import ANSWER, QUESTION
from tests.faults.server import ONE, falls_on

# A worker's lease, what the survivors need to be sure, and a heartbeat.
_TAKEN_UP = 30.0
_STATUSES = ["sent", "failed", "skipped", "uncertain"]
_BLOCKED = "550 5.7.1 Our policy does not allow mail from you"
_WORKERS = 2
# Of PostgreSQL's files, those that are there before the first reader are to be small.
_PLAIN = ("fsync=off", "shared_buffers=32MB", "max_wal_size=64MB", "min_wal_size=32MB")


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    readers: int
    # What a campaign takes if nothing breaks.
    seconds: float
    kills: int
    # Seconds that something is gone.
    outage: float
    cuts: int
    clicks: int

    @property
    def patience(self) -> float:
        """Seconds after which a campaign has gone wrong."""
        return 90 + 4 * self.seconds + 2 * self.outage


type Scenario = Callable[[Ground, Scale], Account]


def killed(ground: Ground, scale: Scale) -> Account:
    """A random worker killed again and again, while sending and while paused"""
    with _sending(ground.on_services(), scale, workers=3) as office:
        allowed = 0
        for number in range(scale.kills):
            time.sleep(scale.seconds / 2 / scale.kills)
            allowed += _kill_one(office, number)
        office.desk("pause")
        allowed += _kill_all(office)
        office.worker()
        office.wait_until_taken_up(_TAKEN_UP)
        mailed = office.mail.count()
        _promise(office.status == "paused", "it is paused all the time", office)
        office.desk("resume")
        office.worker()
        office.wait_until("sent", scale.patience)
        _promise(office.mail.count() >= mailed, "it went on", office)
        return office.account(uncertain=allowed)


def killed_while_cancelled(ground: Ground, scale: Scale) -> Account:
    """All workers killed as the campaign is cancelled"""
    with _sending(ground.on_services(), scale) as office:
        with office.meanwhile("cancel"):
            office.wait_until("cancelled", 20)
            allowed = _kill_all(office)
        mailed = len(office.mail.all_taken())
        office.worker()
        office.wait_until_taken_up(_TAKEN_UP)
        office.wait_until_accounted(scale.patience)
        _promise(office.mail.count() == mailed, "nobody is mailed any more", office)
        return office.account(uncertain=allowed)


def rolling_restart(ground: Ground, scale: Scale) -> Account:
    """All workers restarted one after the other by SIGTERM, again and again"""
    with _sending(ground.on_services(), scale) as office:
        for _ in range(max(1, scale.kills // 4)):
            for worker in office.running:
                office.worker()
                worker.end()
        office.wait_until("sent", scale.patience)
        return office.account()


def redis_restarted(ground: Ground, scale: Scale) -> Account:
    """Redis restarted and empty"""
    with _sending(ground.on_services(), scale) as office:
        for _ in range(2):
            ground.redis.stop()
            time.sleep(scale.outage / 10)
            ground.redis.start()
            time.sleep(scale.seconds / 4)
        office.wait_until("sent", scale.patience)
        _promise_all_live(office)
        return office.account()


def postgres_restarted(ground: Ground, scale: Scale) -> Account:
    """PostgreSQL restarted, and once ended at once"""
    with _sending(ground.on_services(), scale) as office:
        for ending in [signal.SIGINT, signal.SIGQUIT]:
            ground.postgres.stop(ending)
            time.sleep(scale.outage / 10)
            ground.postgres.start()
            time.sleep(scale.seconds / 4)
        office.wait_until("sent", scale.patience)
        _promise_all_live(office)
        return office.account()


def services_gone(ground: Ground, scale: Scale) -> Account:
    """PostgreSQL and Redis both gone for a while"""
    with _sending(ground.on_services(), scale) as office:
        ground.redis.stop()
        ground.postgres.stop()
        time.sleep(scale.outage)
        ground.postgres.start()
        ground.redis.start()
        office.wait_until("sent", scale.patience)
        _promise_all_live(office)
        return office.account()


def mail_server_gone(ground: Ground, scale: Scale) -> Account:
    """The mail server gone for a while"""
    with _sending(ground.on_services(), scale) as office:
        allowed = _WORKERS * office.hand
        with office.mail.being(is_deaf=True):
            time.sleep(scale.outage * 2)
        office.wait_until("sent", scale.patience, hurry=True)
        return office.account(uncertain=allowed)


def ill_tempered(ground: Ground, scale: Scale) -> Account:
    """5 % answered with 451, 1 % unknown, 1 % of the connections broken after the final dot"""
    with ground.usual() as office:
        office.mail.be(busy=0.05, unknown=0.01, dropped=0.01)
        office.go()
        unknown = [who for who in office.everybody if falls_on("unknown", 0.01, who)]
        _start(office)
        office.wait_until("sent", scale.patience, hurry=True)
        # They settle for a while before they are judged; see newsletter.models.bounces.
        office.write(
            "UPDATE newsletter_bounce SET at = {}", datetime.now(UTC) - timedelta(seconds=60)
        )
        suppressed = "SELECT count(*) FROM subscribers_suppression WHERE reason = 'bounced'"
        office.wait_for(
            lambda: office.ask(suppressed) == [len(unknown)], 20, f"{len(unknown)} are suppressed"
        )
        dropped = {one.recipient for one in office.mail.all_taken() if one.is_dropped}
        account = office.account(uncertain=len(dropped))
        _promise(set(account.uncertain) <= dropped, "only the dropped are uncertain", office)
        return account


def all_refuse(ground: Ground, scale: Scale) -> Account:
    """Everybody answers 550 5.7.1: the campaign pauses, nobody bounces"""
    with ground.usual() as office:
        office.mail.be(answers={"": _BLOCKED})
        office.go()
        _start(office)
        office.wait_until("paused", 60)
        for table in ["newsletter_bounce", "subscribers_suppression"]:
            _promise(office.ask(f"SELECT count(*) FROM {table}") == [0], "nobody bounced", office)
        office.mail.be()
        office.desk("resume")
        office.wait_until("sent", scale.patience, hurry=True)
        _promise(office.ledger().keys() == {"sent"}, "nobody is given up", office)
        return office.account()


def one_refuses(ground: Ground, scale: Scale) -> Account:
    """One mailbox provider answers 550 5.7.1 to all: it alone is parked"""
    with ground.usual() as office:
        office.mail.be(answers={ONE: _BLOCKED})
        office.go()
        others = sum(not who.endswith(f"@{ONE}") for who in office.everybody)
        _start(office)
        office.wait_until_taken(others, scale.patience)
        _promise(office.status == "sending", "it goes on", office)
        houses = office.ask("SELECT house FROM newsletter_parking")
        _promise(houses == [ONE], "one is parked", office)
        office.mail.be()
        office.wait_until("sent", scale.patience, hurry=True)
        _promise(office.ledger().keys() == {"sent"}, "nobody is given up", office)
        return office.account()


def twofold(ground: Ground, scale: Scale) -> Account:
    """Two heartbeats more, tasks delivered three times, clocks five seconds apart"""
    with ground.on_services() as office:
        wrong = f"{ROOT}:{ROOT / 'tests' / 'faults' / 'clock'}"
        for ahead in ["5", "0", "-5"]:
            office.worker(CLOCK_AHEAD=ahead, PYTHONPATH=wrong)
        office.mail.be(delay=_delay(scale))
        office.go()
        looks = str(int(scale.seconds * 10))
        with office.meanwhile("look", looks), office.meanwhile("look", looks):
            office.desk("call", "3")
            office.wait_until("sent", scale.patience)
        return office.account()


def frozen(ground: Ground, scale: Scale) -> Account:
    """A worker frozen past its lease, then woken: it settles what it knows"""
    with _sending(ground.on_services(), scale, workers=1) as office:
        return _thawed(office, office.workers[0], scale)


def frozen_for_long(ground: Ground, scale: Scale) -> Account:
    """A worker frozen until the books are closed, then woken: they are corrected"""
    with _sending(ground.on_services(), scale, workers=1) as office:
        sleeper = office.workers[0]
        sleeper.signal(signal.SIGSTOP)
        office.worker()
        office.wait_until("sent", scale.patience)
        _promise(office.uncertain() <= office.hand, "at most its hand is uncertain", office)
        sleeper.signal(signal.SIGCONT)
        mailed = {one.recipient for one in office.mail.all_taken()}
        office.wait_for(
            lambda: mailed.isdisjoint(office.account().uncertain), 20, "it has settled its hand"
        )
        totals = office.ask("SELECT sent, failed, skipped, uncertain FROM newsletter_campaign")[0]
        ledger = office.ledger()
        entered = [ledger.get(status, 0) for status in _STATUSES]
        _promise(list(totals) == entered, "the totals are corrected too", office)
        return office.account(uncertain=office.hand)


def frozen_in_transaction(ground: Ground, scale: Scale) -> Account:
    """A worker frozen past its lease inside a transaction, then woken"""
    with _sending(ground.on_services(), scale, workers=1, busy=0.3) as office:
        (sleeper,) = office.workers
        open_ones = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )

        def is_caught() -> bool:
            sleeper.signal(signal.SIGSTOP)
            if office.ask(open_ones) != [0]:
                return True
            sleeper.signal(signal.SIGCONT)
            time.sleep(random.uniform(0.001, 0.02))
            return False

        office.wait_for(is_caught, scale.seconds, "it is caught in a transaction")
        return _thawed(office, sleeper, scale)


def answers_lost(ground: Ground, scale: Scale) -> Account:
    """The connection to PostgreSQL cut at every step in turn, the answer to a commit too"""
    with ground.behind_proxy() as (office, way):
        places = itertools.product(range(1, scale.cuts // 2 + 1), [ANSWER, QUESTION])
        office.mail.be(delay=_delay(scale))
        _start(office)
        office.go()
        office.wait_until_taken(1)
        way.cut_in_turn((piece, step) for step, piece in places)
        office.wait_until("sent", scale.patience + scale.cuts)
        _promise_all_live(office)
        return office.account()


def network_frozen(ground: Ground, scale: Scale) -> Account:
    """Nothing passes between the workers and PostgreSQL for longer than a lease"""
    with ground.behind_proxy() as (office, way):
        office.mail.be(delay=_delay(scale))
        _start(office)
        office.go()
        office.wait_until_taken(20)
        way.freeze()
        time.sleep(20)
        way.restore()
        office.wait_until("sent", scale.patience)
        return office.account()


def planner_killed(ground: Ground, scale: Scale) -> Account:
    """The planner killed half-way"""
    with ground.on_services() as office:
        office.worker()
        batches = "SELECT count(*) FROM newsletter_batch"
        with office.holding("LOCK TABLE newsletter_batch IN SHARE MODE"):
            office.go()
            waiting = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted"
                " AND relation = 'newsletter_batch'::regclass"
            )
            office.wait_for(lambda: office.ask(waiting) != [0], 30, "it is planning")
            office.kill_all()
        _promise(office.ask(batches) == [0], "nothing is planned half", office)
        _start(office)
        office.wait_until("sent", scale.patience)
        return office.account()


def wanderers(ground: Ground, scale: Scale) -> Account:
    """Readers who leave, come back, move, or change their address or list, mid-send"""
    with _sending(ground.usual(), scale) as office:
        office.desk("wander", str(scale.clicks))
        office.wait_until("sent", scale.patience)
        return office.account()


def unsubscribes(ground: Ground, scale: Scale) -> Account:
    """Many unsubscribe at once: mailed after the click are at most those in hand"""
    with _sending(ground.usual(), scale) as office:
        clicked = json.loads(office.desk("leave", str(scale.clicks)))
        office.wait_until("sent", scale.patience)
        gone = set(clicked["addresses"])
        late = [one for one in office.mail.all_taken() if one.at > clicked["at"]]
        mailed = [one.recipient for one in late if one.recipient in gone]
        hands = office.hand * len(office.workers)
        _promise(len(mailed) <= hands, f"{len(mailed)} are at most {hands}", office)
        return office.account()


def sqlite_disk_full(ground: Ground, scale: Scale) -> Account:
    """No room for SQLite mid-campaign, then room again"""
    writers: list[int] = []
    with (
        small_disk(_megabytes(scale), lambda: writers) as disk,
        _sending(ground.embedded(inside=disk.path), scale) as office,
    ):
        writers += office.processes
        _fill(disk, office, scale)
        office.wait_until("sent", scale.patience)
        _promise_all_live(office)
        return office.account(uncertain=office.hand)


def postgres_disk_full(ground: Ground, scale: Scale) -> Account:
    """No room for PostgreSQL mid-campaign, then room again"""
    writers: list[int] = []
    with (
        small_disk(_megabytes(scale) + 200, lambda: writers) as disk,
        services.postgres_server(_PLAIN, disk.path) as server,
        ground.elsewhere(server) as there,
        _sending(there, scale) as office,
    ):
        writers += server.processes
        _fill(disk, office, scale)
        if server.has_ended:
            server.start()
        office.wait_until("sent", scale.patience)
        _promise_all_live(office)
        return office.account(uncertain=office.hand * _WORKERS)


def newsroom_killed(ground: Ground, scale: Scale) -> Account:
    """A newsroom on SQLite killed with its web server, and started again"""
    with ground.embedded() as office:
        office.mail.be(delay=_delay(scale, CONNECTIONS))
        port = services.free_port()
        office.newsroom(port)
        office.go()
        office.wait_until_taken(20)
        office.kill_all()
        office.newsroom(port)
        began = time.monotonic()
        office.wait_until_taken_up(_TAKEN_UP)
        _promise(time.monotonic() - began < _TAKEN_UP, "it is taken up in time", office)
        office.wait_until("sent", scale.patience)
        return office.account(uncertain=office.hand)


# Where there is no other database to break.
ON_SQLITE = {"sqlite_disk_full", "newsroom_killed"}
ON_EITHER = {"ill_tempered", "all_refuse", "one_refuses", "wanderers", "unsubscribes"}
SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in [
        killed,
        killed_while_cancelled,
        rolling_restart,
        redis_restarted,
        postgres_restarted,
        services_gone,
        mail_server_gone,
        ill_tempered,
        all_refuse,
        one_refuses,
        twofold,
        frozen,
        frozen_for_long,
        frozen_in_transaction,
        answers_lost,
        network_frozen,
        planner_killed,
        wanderers,
        unsubscribes,
        sqlite_disk_full,
        postgres_disk_full,
        newsroom_killed,
    ]
}


@contextlib.contextmanager
def _sending(
    opened: contextlib.AbstractContextManager[Office],
    scale: Scale,
    workers: int = _WORKERS,
    **temper: float,
) -> Iterator[Office]:
    """An office in the middle of its campaign."""
    with opened as office:
        office.mail.be(delay=_delay(scale, CONNECTIONS if office.is_embedded else 0), **temper)
        _start(office, workers)
        office.go()
        office.wait_until_taken(20)
        yield office


def _start(office: Office, workers: int = _WORKERS) -> None:
    # A second one beside SQLite would be two writers for one file.
    for _ in range(1 if office.is_embedded else workers):
        office.worker()


def _delay(scale: Scale, connections: int = 0) -> float:
    """Seconds for each message, so that the campaign takes as long as it should."""
    connections = connections or CONNECTIONS * PROCESSES * _WORKERS
    return scale.seconds * connections / scale.readers


def _kill_one(office: Office, number: int) -> int:
    """Kill a worker, or one of its children; how many may be uncertain for it."""
    victim = random.choice(office.running)
    if number % 2:
        victim.kill_a_child(number)
        return office.hand // PROCESSES
    victim.kill()
    office.worker()
    return office.hand


def _kill_all(office: Office) -> int:
    hands = office.hand * len(office.running)
    office.kill_all()
    return hands


def _thawed(office: Office, sleeper: Worker, scale: Scale) -> Account:
    """Wake it once another has taken over."""
    sleeper.signal(signal.SIGSTOP)
    office.worker()
    office.wait_for(lambda: office.uncertain() > 0, 2 * _TAKEN_UP, "its lease is taken over")
    _promise(office.uncertain() <= office.hand, "at most its hand is uncertain", office)
    sleeper.signal(signal.SIGCONT)
    office.wait_until("sent", scale.patience, hurry=True)
    office.wait_for(lambda: office.uncertain() == 0, 20, "it has settled its hand")
    return office.account()


def _promise(holds: bool, what: str, office: Office) -> None:
    if not holds:
        raise BrokenPromiseError(f"It is not so that {what}: {office}")


def _promise_all_live(office: Office) -> None:
    _promise(len(office.running) == len(office.workers), "all workers live on", office)


def _megabytes(scale: Scale) -> int:
    """Room for the readers, and for some of the ledger."""
    return 24 + scale.readers // 500


def _fill(disk: Disk, office: Office, scale: Scale) -> None:
    """And make room again once somebody has suffered from it."""
    disk.fill()
    office.wait_for(lambda: "we wait for it" in office.log(), 30, "the disk is full")
    time.sleep(scale.outage / 4)
    disk.make_room()
