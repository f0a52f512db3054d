"""A newsroom to be measured: its database, its readers, its workers and web server."""

import contextlib
import json
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psycopg
import redis

from tests import services
from tests.benchmarks.passes import LINK_KEY
from tests.benchmarks.processes import (
    ROOT,
    FailedError,
    Program,
    output,
    running,
    say,
    wait_until,
)
from tests.benchmarks.sink import PostfixSink, Sink

# Of the environment that we are run in; nothing else of it may change what is measured.
_KEPT = {"HOME", "LANG", "PATH", "TMPDIR"}
_PYTHON = (sys.executable, "-P", "-m")
_QUIET = ("--without-gossip", "--without-mingle", "--loglevel", "INFO")
# Above what the slowest engine takes for a reader, so that a figure ends in any case.
_SECONDS_A_READER = 0.004


@dataclass(frozen=True)
class Booked:
    """A campaign that will start; the moment is one of the machine's monotonic clock."""

    campaign: int
    due: float


class Newsroom:
    """One database with its readers. Campaigns follow each other in it."""

    def __init__(self, readers: int, database: str, redis_url: str, folder: Path) -> None:
        self.readers = readers
        self.port = services.free_port()
        self.database = database
        self._redis_url = redis_url
        self._environment = _environment(folder) | {
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "SITE_URL": f"http://localhost:{self.port}",
        }

    @property
    def patience(self) -> float:
        """Seconds after which a campaign to all has gone wrong."""
        return 60 + self.readers * _SECONDS_A_READER

    def close(self) -> None:
        self._connection.close()

    def open(self) -> None:
        """Found the paper and let the readers in."""
        began = time.monotonic()
        self.desk("found")
        loading = ["load_readers", "--count", str(self.readers), "--list", "morning-briefing"]
        output([sys.executable, "manage.py", *loading], self._environment, self.patience)
        self._tidy()
        say(f"{self.readers:,} readers loaded in {time.monotonic() - began:.0f} s")

    def desk(self, *words: str, **environment: str) -> str:
        """What tests.benchmarks.desk says to this."""
        return output([*_PYTHON, "tests.benchmarks.desk", *words], self._environment | environment)

    def returned(self, *words: str) -> str:
        """What tests.benchmarks.returned says of this."""
        return output([*_PYTHON, "tests.benchmarks.returned", *words], self._environment)

    def receiving(self, folder: Path) -> contextlib.AbstractContextManager[Program]:
        """`receive_bounces` at a Maildir; its summary is the last line that it says."""
        words = ["receive_bounces", "--maildir", str(folder), "--json"]
        return running([sys.executable, "manage.py", *words], self._environment)

    def book(self, within: float = 1) -> Booked:
        """Schedule a campaign to everybody in so many seconds."""
        said = json.loads(self.desk("book", str(within)))
        return Booked(said["campaign"], said["due"] - time.time() + time.monotonic())

    @contextlib.contextmanager
    def bulk_workers(self, sink: Sink | PostfixSink, connections: int = 16) -> Iterator[Program]:
        """Two processes that send campaigns."""
        self._forget_calls()
        environment = self._mailing(sink) | {"SMTP_CONNECTIONS": str(connections)}
        with self._worker(environment, "-Q", "bulk", "-c", "2", "-n", "bulk@%h") as workers:
            yield workers

    @contextlib.contextmanager
    def urgent_worker(self, sink: Sink) -> Iterator[Program]:
        """Sends the letters that people wait for."""
        words = ["-Q", "urgent", "-c", "2", "-n", "urgent@%h"]
        with self._worker(self._mailing(sink), *words) as worker:
            yield worker

    @contextlib.contextmanager
    def embedded_worker(self, sink: Sink | PostfixSink, connections: int = 16) -> Iterator[Program]:
        """The one of a newsroom without Redis, as bin/start starts it."""
        environment = self._mailing(sink) | {"SMTP_CONNECTIONS": str(connections)}
        words = ["-Q", "urgent,bulk", "-P", "threads", "-c", "4"]
        with self._worker(environment, *words) as worker:
            yield worker

    @contextlib.contextmanager
    def web_server(self, **settings: str) -> Iterator[Program]:
        """Listens on `port`."""
        words = ["gunicorn", "-c", "python:config.gunicorn", "-b", f"127.0.0.1:{self.port}"]
        with running([*_PYTHON, *words], self._environment | settings) as server:
            wait_until(lambda: _answers(self.port), 60, "the web server answers")
            yield server

    @contextlib.contextmanager
    def crowd(self, *words: object) -> Iterator[Program]:
        """Who comes to the web server when told to; see tests.benchmarks.crowd."""
        verb, *numbers = map(str, words)
        command = [*_PYTHON, "tests.benchmarks.crowd", verb, str(self.port), *numbers]
        with running(command, self._environment) as crowd:
            crowd.wait_until_it_says("ready", within=300)
            yield crowd

    def cost(self, sink: Sink, way: str, count: int) -> float:
        """Microseconds of CPU for a message, of a way that tests.benchmarks.costs knows."""
        words = [*_PYTHON, "tests.benchmarks.costs", way, str(count)]
        return float(json.loads(output(words, self._mailing(sink)))["microseconds"])

    def callers(self, way: str, backend: str, options: str, count: int) -> dict[str, float]:
        """What tests.benchmarks.callers says of a way."""
        words = [*_PYTHON, "tests.benchmarks.callers", way, backend, options, str(count)]
        said: dict[str, float] = json.loads(output(words, self._environment, self.patience))
        return said

    def bare_sender(
        self, sink: Sink | PostfixSink, connections: int, first: int, count: int
    ) -> contextlib.AbstractContextManager[Program]:
        """A process that asks no database; see tests.benchmarks.senders."""
        numbers = [str(number) for number in (sink.port, connections, first, count)]
        return running([*_PYTHON, "tests.benchmarks.senders", *numbers], self._mailing(sink))

    def reporter(
        self, connections: int, numbers: range, campaign: int, key: str
    ) -> contextlib.AbstractContextManager[Program]:
        """A provider that tells the web server of these readers; see tests.benchmarks.reporters."""
        told = [self.port, connections, numbers.start, len(numbers), campaign, key]
        words = ["tests.benchmarks.reporters", *map(str, told)]
        return running([*_PYTHON, *words], self._environment)

    def wait_until_sent(self, campaign: int, largest_hand: int) -> None:
        """Raises FailedError if it comes to anything else, or a worker has more in hand."""
        wait_until(
            lambda: self._is_sent(campaign, largest_hand), self.patience, "it is sent", pause=0.1
        )

    def per_second(self, campaign: int) -> float:
        """Readers of a campaign that is over, by the times in the ledger."""
        seconds = (
            "(julianday(max(at)) - julianday(min(at))) * 86400"
            if self._is_on_sqlite
            else "extract(epoch FROM max(at) - min(at))"
        )
        ledger = f"newsletter_delivery WHERE campaign_id = {campaign}"
        count, lasted = self.ask(f"SELECT count(*), {seconds} FROM {ledger}")
        return float(str(count)) / float(str(lasted))

    def hand(self) -> int:
        """How many readers the fullest hand of all workers holds now."""
        length = "json_array_length" if self._is_on_sqlite else "jsonb_array_length"
        at_work = "newsletter_batch WHERE lease_until IS NOT NULL"
        (most,) = self.ask(f"SELECT coalesce(max({length}(in_hand)), 0) FROM {at_work}")
        return int(str(most))

    def is_planned(self, campaign: int) -> bool:
        """Its audience is counted and all its batches are cut."""
        return self.ask(f"SELECT audience FROM newsletter_campaign WHERE id = {campaign}") != [None]

    def is_sending(self, campaign: int) -> bool:
        return self._status(campaign) == ["sending"]

    def stop_sending(self, campaign: int) -> None:
        self.desk("pause", str(campaign))

    def ask(self, query: str) -> list[object]:
        """The first row of an answer."""
        return list(self._connection.execute(query).fetchone() or [])

    @cached_property
    def _connection(self) -> "psycopg.Connection | sqlite3.Connection":
        """Kept: who asks often must not cost more than what he asks about."""
        if self._is_on_sqlite:
            path = self.database.removeprefix("sqlite:///")
            return sqlite3.connect(path, timeout=20, isolation_level=None)
        return psycopg.connect(self.database, autocommit=True)

    @property
    def _is_on_sqlite(self) -> bool:
        return self.database.startswith("sqlite")

    def _status(self, campaign: int) -> list[object]:
        return self.ask(f"SELECT status FROM newsletter_campaign WHERE id = {campaign}")

    def _is_sent(self, campaign: int, largest_hand: int) -> bool:
        if (hand := self.hand()) > largest_hand:
            raise FailedError(f"A worker has {hand} readers in hand, not {largest_hand} at most.")
        status = self._status(campaign)
        if status not in [["scheduled"], ["sending"], ["sent"]]:
            trouble = self.ask(f"SELECT trouble FROM newsletter_campaign WHERE id = {campaign}")
            raise FailedError(f"The campaign is {status[0]}: {trouble[0]}")
        return status == ["sent"]

    def _tidy(self) -> None:
        """What autovacuum would do in the minutes after; it must not fall into a run."""
        for words in ["ANALYZE"] if self._is_on_sqlite else ["VACUUM ANALYZE", "CHECKPOINT"]:
            self._connection.execute(words)

    def _forget_calls(self) -> None:
        with redis.Redis.from_url(self._redis_url) as client:
            client.flushdb()

    def _mailing(self, sink: Sink | PostfixSink) -> dict[str, str]:
        return self._environment | {"EMAIL_URL": sink.url}

    @contextlib.contextmanager
    def _worker(self, environment: Mapping[str, str], *words: str) -> Iterator[Program]:
        command = [*_PYTHON, "celery", "-A", "config", "worker", *words, *_QUIET]
        with running(command, environment) as worker:
            worker.wait_until_it_says(" ready.")
            yield worker


class Newsrooms:
    """Opened when first asked for, and kept: figures with as many readers share one."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._kept: dict[tuple[str, int], Newsroom] = {}
        self._servers: tuple[str, str] | None = None

    def on_postgres(self, readers: int) -> Newsroom:
        if ("postgres", readers) not in self._kept:
            server, redis_url = self._services()
            database = self._stack.enter_context(services.new_database(server))
            self._open("postgres", readers, database, redis_url)
        return self._kept["postgres", readers]

    def on_sqlite(self, readers: int) -> Newsroom:
        if ("sqlite", readers) not in self._kept:
            path = self._folder() / "broadsheet.sqlite3"
            self._open("sqlite", readers, f"sqlite:///{path}", "")
        return self._kept["sqlite", readers]

    def _open(self, kind: str, readers: int, database: str, redis_url: str) -> None:
        newsroom = Newsroom(readers, database, redis_url, self._folder())
        newsroom.open()
        self._stack.callback(newsroom.close)
        self._kept[kind, readers] = newsroom

    def _services(self) -> tuple[str, str]:
        if not self._servers:
            # No settings of ours: a commit is on the disk before it is acknowledged.
            server = self._stack.enter_context(services.postgres(settings=[]))
            self._servers = server, self._stack.enter_context(services.redis_server())
        return self._servers

    def _folder(self) -> Path:
        return self._stack.enter_context(services._folder(None))


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    return kept | {
        "ENVIRONMENT": "laptop",
        "SECRET_KEY": "what-is-measured-needs-no-secret",
        "DATA": str(folder),
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LOG_LEVEL": "INFO",
        "LINK_KEYS": LINK_KEY,
        # Everybody comes through a proxy, each from a network of their own, and all at once.
        "TRUSTED_PROXIES": "127.0.0.1",
        "CONFIRMATIONS_PER_MINUTE": "1000000",
        "CONFIRMATIONS_PER_HOUR": "10000000",
    }


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False
