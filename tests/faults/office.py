"""A newsroom that is broken on purpose: its database, its workers, and what became of everybody."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests import services
from tests.benchmarks.newsroom import _environment
from tests.benchmarks.processes import Program, _descendants, output, running
from tests.faults.mail import MailServer, mail_server
from tests.faults.proxy import Proxy, proxy

EMBEDDED = ("-Q", "urgent,bulk", "-P", "threads", "-c", "4")
BULK = ("-Q", "bulk", "-c", "2")
PROCESSES = 2
# Few, so that a campaign to a few hundred readers has a middle.
CONNECTIONS = 4
IN_HAND = 4
_SHOWN = 5
_LINES = 120
# What was committed survives the server, though not the machine.
_DURABLE = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB")
# What Celery says at its start and of every task.
_CHATTER = re.compile(r"celery\.(worker\.strategy|app\.trace): |INFO|^ *[-*.]|^$|uid=|superuser")
_CLAIMED = "SELECT token FROM newsletter_batch WHERE lease_until IS NOT NULL"
_PYTHON = (sys.executable, "-P", "-m")


class BrokenPromiseError(AssertionError):
    """The engine did not do what it promises; the message says what the books say."""


class Worker(Program):
    """A Celery worker, or a whole newsroom, with its processes."""

    def signal(self, number: signal.Signals) -> None:
        """To all its processes at once."""
        for pid in self._tree() if self.is_running else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait(20)
        if self._process.stdin:
            self._process.stdin.close()

    def kill_a_child(self, place: int) -> None:
        """One of the processes that send; whoever it belongs to starts another."""
        if children := _descendants(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(children[place % len(children)], signal.SIGKILL)

    def end(self) -> None:
        """As it is asked to end for a new release."""
        self._process.terminate()
        self._process.wait(30)


@dataclass(frozen=True)
class Account:
    """What the ledger says of whom, beside what the mail server has written down."""

    audience: int
    # Of the ledger, by status.
    ledger: dict[str, int]
    # Nobody knows of them; or the ledger says sent, and the server has never seen it.
    lost: list[str]
    twice: list[str]
    uncertain: list[str]
    # Mailed, and the ledger says neither that, nor that it is uncertain.
    unlisted: list[str]
    reasons: dict[str, int]
    # So many may be uncertain.
    allowed: int
    # What the workers said last.
    log: str

    def check(self) -> None:
        """Raises BrokenPromiseError if anybody is lost or mailed twice, or too many uncertain."""
        self.check_sum()
        wrong = {"lost": self.lost, "twice": self.twice, "unlisted": self.unlisted}
        if len(self.uncertain) > self.allowed:
            wrong |= {f"uncertain (at most {self.allowed})": self.uncertain}
        if words := [
            f"{len(who)} {what}, like {who[:_SHOWN]}" for what, who in wrong.items() if who
        ]:
            raise BrokenPromiseError(f"{'; '.join(words)}: {self}")

    def check_sum(self) -> None:
        """Raises BrokenPromiseError unless the ledger comes to the audience at the start."""
        if sum(self.ledger.values()) != self.audience:
            raise BrokenPromiseError(f"The ledger does not come to {self.audience}: {self}")

    def __str__(self) -> str:
        return f"{self.ledger}, {self.reasons}\n{self.log}"


class Office:
    """A database with a campaign that is about to be due, and what is started on it."""

    def __init__(
        self, folder: Path, mail: MailServer, database: str, redis_url: str, **variables: str
    ) -> None:
        self.folder = folder
        self.mail = mail
        # Ours goes straight to the database, whatever is between it and the workers.
        self.database = database
        self.environment = {
            **_environment(folder),
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "EMAIL_URL": mail.url,
            "SMTP_CONNECTIONS": str(CONNECTIONS),
            **variables,
        }
        self.workers: list[Worker] = []
        self._addresses: dict[str, int] = {}

    @property
    def is_embedded(self) -> bool:
        return self.database.startswith("sqlite")

    @property
    def hand(self) -> int:
        """The most readers that a worker with all its processes may have in hand."""
        return CONNECTIONS * IN_HAND * (1 if self.is_embedded else PROCESSES)

    # People.

    def desk(self, *words: str, **environment: str) -> str:
        """What tests.faults.desk says to this."""
        command = [*_PYTHON, "tests.faults.desk", *words]
        direct = {"DATABASE_URL": self.database}
        return output(command, self.environment | direct | environment, 600)

    @contextlib.contextmanager
    def meanwhile(self, *words: str) -> Iterator[None]:
        """The same beside what is in the block; it is over when the block is left."""
        command = [*_PYTHON, "tests.faults.desk", *words]
        with running(command, self.environment | {"DATABASE_URL": self.database}) as program:
            yield
            program.result(600)

    def go(self) -> None:
        """The campaign is due now."""
        now = datetime.now(UTC)
        self.write("UPDATE newsletter_campaign SET due_at = {}, send_until = {}", now, _later(now))
        self._learn_addresses()

    def hurry(self) -> None:
        """Whatever was put off is due now, as if its time had passed."""
        now = datetime.now(UTC)
        for table in ["newsletter_deferral SET due_at", "newsletter_parking SET until"]:
            column = table.rpartition(" ")[2]
            self._try_to_write(f"UPDATE {table} = {{}} WHERE {column} > {{}}", now, now)
        self._try_to_write(
            "UPDATE newsletter_batch SET due_at = {}"
            " WHERE finished_at IS NULL AND lease_until IS NULL AND due_at > {}",
            now,
            now,
        )

    def _try_to_write(self, statement: str, *values: object) -> None:
        # In the way of the workers, who write the same rows in an order of their own.
        with contextlib.suppress(psycopg.OperationalError):
            self.write(statement, *values)

    # Machines.

    def worker(self, *options: str, **environment: str) -> Worker:
        """Another one; as bin/start starts it, if nothing else is said."""
        number = len(self.workers) + 1
        usual = EMBEDDED if self.is_embedded else (*BULK, "-n", f"bulk{number}@%h")
        words = ["celery", "-A", "config", "worker", *(options or usual)]
        quiet = ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
        log = self.folder / f"worker{number}.log"
        worker = Worker([*_PYTHON, *words, *quiet], self.environment | environment, log)
        self.workers.append(worker)
        return worker

    def newsroom(self, port: int) -> Worker:
        """Web server and workers, by bin/start."""
        log = self.folder / f"start{len(self.workers) + 1}.log"
        words = [*_PYTHON, "config.start", "--port", str(port), "--data", str(self.folder)]
        environment = self.environment | {"LOG_LEVEL": "INFO"}
        newsroom = Worker(words, environment, log)
        self.workers.append(newsroom)
        return newsroom

    def kill_all(self) -> None:
        """And nobody takes up what they had in hand, until others come."""
        for worker in self.running:
            worker.kill()

    def wait_until_taken_up(self, within: float = 30) -> float:
        """What the dead had claimed."""
        dead = {str(token) for token in self.ask(_CLAIMED)}

        def is_taken_up() -> bool:
            now = {str(token) for token in self.ask(_CLAIMED)}
            return not dead & now

        return self.wait_for(is_taken_up, within, "the work of the dead is taken up")

    @property
    def running(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_running]

    @property
    def processes(self) -> list[int]:
        return [pid for worker in self.running for pid in worker._tree()]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()

    def log(self) -> str:
        """What all workers have said."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')}" for log in logs)

    def _last_said(self) -> str:
        lines = [line for line in self.log().splitlines() if not _CHATTER.search(line)]
        return "\n".join(lines[-_LINES:])

    # Books.

    @property
    def everybody(self) -> list[str]:
        """The addresses of the readers, since `go`."""
        return list(self._addresses)

    @contextlib.contextmanager
    def holding(self, lock: str) -> Iterator[None]:
        """In PostgreSQL, until the block is left."""
        with psycopg.connect(self.database) as connection:
            connection.execute(lock)
            yield
            connection.rollback()

    def ask(self, question: str) -> list[Any]:
        """All rows, or the values if there is one column."""
        with self._connected() as connection:
            rows = connection.execute(question).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    def write(self, statement: str, *values: object) -> None:
        """Placeholders are {}."""
        place = "?" if self.is_embedded else "%s"
        given = [_plain(value) if self.is_embedded else value for value in values]
        with self._connected() as connection:
            connection.execute(statement.replace("{}", place), given)

    @property
    def status(self) -> str:
        return str(self.ask("SELECT status FROM newsletter_campaign")[0])

    def ledger(self) -> dict[str, int]:
        return dict(self.ask("SELECT status, count(*) FROM newsletter_delivery GROUP BY status"))

    def uncertain(self) -> int:
        return self.ledger().get("uncertain", 0)

    def wait_for(
        self, holds: Callable[[], bool], within: float, what: str, hurry: bool = False
    ) -> float:
        """How many seconds it took. Raises BrokenPromiseError if it does not come true."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > within:
                raise BrokenPromiseError(f"Waited {within:.0f} s in vain until {what}: {self}")
            if hurry:
                self.hurry()
            time.sleep(0.1)
        return time.monotonic() - began

    def wait_until_taken(self, count: int, within: float = 60) -> float:
        return self.wait_for(lambda: self.mail.count() >= count, within, f"{count} are mailed")

    def wait_until(self, status: str, within: float, hurry: bool = False) -> float:
        return self.wait_for(lambda: self.status == status, within, f"it is {status}", hurry)

    def wait_until_accounted(self, within: float) -> float:
        """The books are closed, whatever the campaign has come to."""
        closed = "SELECT count(*) FROM newsletter_campaign WHERE finished_at IS NOT NULL"
        return self.wait_for(lambda: self.ask(closed) == [1], within, "the books are closed")

    def __str__(self) -> str:
        columns = "status, audience, sent, failed, skipped, uncertain, trouble"
        campaign = self.ask(f"SELECT {columns} FROM newsletter_campaign")[0]
        batches = self.ask(
            "SELECT id, first, last, position, lease_until, due_at, attempts, left_aside, failures,"
            " trouble FROM newsletter_batch WHERE finished_at IS NULL"
        )
        deferrals = self.ask("SELECT count(*) FROM newsletter_deferral")
        return (
            f"campaign {campaign}, ledger {self.ledger()}, {deferrals} deferrals, "
            f"open batches {batches[:_SHOWN]}, mailed {self.mail.count()}\n{self._last_said()}"
        )

    def account(self, uncertain: int = 0) -> Account:
        """Who got what, now that it is over; so many may be uncertain."""
        self._learn_addresses()
        taken = Counter(self._addresses[one.recipient] for one in self.mail.all_taken())
        rows = self.ask("SELECT subscriber_id, status, code, text FROM newsletter_delivery")
        known = {subscriber: status for subscriber, status, *_ in rows}
        counted = self.ask("SELECT audience FROM newsletter_campaign")[0] or 0
        everybody = set(self._addresses.values())
        return Account(
            audience=counted,
            ledger=self.ledger(),
            lost=self._named(
                who
                for who in everybody
                if who not in known or (known[who] == "sent" and not taken[who])
            ),
            twice=self._named(who for who, times in taken.items() if times > 1),
            uncertain=self._named(who for who, status in known.items() if status == "uncertain"),
            unlisted=self._named(
                who for who in taken if known.get(who) not in {"sent", "uncertain"}
            ),
            reasons=dict(Counter(f"{s} {c} {t}"[:60] for _, s, c, t in rows if s != "sent")),
            allowed=uncertain,
            log=self._last_said(),
        )

    def _named(self, subscribers: Iterable[int]) -> list[str]:
        names = {subscriber: address for address, subscriber in self._addresses.items()}
        return sorted(names[who] for who in subscribers)

    def _learn_addresses(self) -> None:
        """Those of today; those of before stay known."""
        rows = self.ask("SELECT address, id FROM subscribers_subscriber WHERE kind = 'reader'")
        self._addresses |= dict(rows)

    @contextlib.contextmanager
    def _connected(self) -> "Iterator[psycopg.Connection[Any] | sqlite3.Connection]":
        if not self.is_embedded:
            with psycopg.connect(self.database, autocommit=True) as connection:
                yield connection
            return
        path = self.database.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as file:
            yield file


class Ground:
    """Where offices are opened, each with the same readers: whoever is first pays for it."""

    def __init__(self, readers: int, stack: ExitStack, *, is_embedded: bool = False) -> None:
        self.readers = readers
        self._is_embedded = is_embedded
        self._stack = stack
        self._template: dict[str, str] = {}
        self._servers: tuple[services.Server, services.Server] | None = None

    @property
    def postgres(self) -> services.Server:
        return self._services()[0]

    @property
    def redis(self) -> services.Server:
        return self._services()[1]

    def usual(self) -> contextlib.AbstractContextManager[Office]:
        """On that which this ground was asked for, where the fault is the same on both."""
        return self.embedded() if self._is_embedded else self.on_services()

    @contextlib.contextmanager
    def embedded(self, inside: Path | None = None, **variables: str) -> Iterator[Office]:
        """SQLite, and no Redis; the database's files are inside this folder."""
        with services._folder(None) as folder, mail_server() as mail:
            path = (inside or folder) / "broadsheet.sqlite3"
            shutil.copy(self._founded("sqlite"), path)
            yield from _opened(Office(folder, mail, f"sqlite:///{path}", "", **variables))

    @contextlib.contextmanager
    def on_services(self, **variables: str) -> Iterator[Office]:
        """PostgreSQL and Redis."""
        template = self._founded("postgres").rpartition("/")[2]
        with (
            services._folder(None) as folder,
            mail_server() as mail,
            services.new_database(self.postgres.url, template) as database,
        ):
            yield from _opened(Office(folder, mail, database, self.redis.url, **variables))

    @contextlib.contextmanager
    def elsewhere(
        self, postgres: services.Server
    ) -> Iterator[contextlib.AbstractContextManager[Office]]:
        """The same on another PostgreSQL, with readers of its own."""
        with services._folder(None) as folder, mail_server() as mail:
            database = found(folder, self.readers, postgres.url)
            yield contextlib.contextmanager(_opened)(Office(folder, mail, database, self.redis.url))

    @contextlib.contextmanager
    def behind_proxy(self) -> Iterator[tuple[Office, Proxy]]:
        """The same, and the workers reach PostgreSQL by a way that can be broken."""
        port = int(self.postgres.url.rpartition("/")[0].rpartition(":")[2])
        with proxy(port) as way, self.on_services() as office:
            name = office.database.rpartition("/")[2]
            office.environment["DATABASE_URL"] = (
                f"postgres://postgres@127.0.0.1:{way.port}/{name}?sslmode=disable"
            )
            yield office, way

    def _founded(self, kind: str) -> str:
        if kind not in self._template:
            folder = self._stack.enter_context(services._folder(None))
            self._template[kind] = found(folder, self.readers, self._place(kind, folder))
        return self._template[kind].removeprefix("sqlite:///")

    def _place(self, kind: str, folder: Path) -> str:
        if kind == "sqlite":
            return f"sqlite:///{folder / 'broadsheet.sqlite3'}"
        return self._stack.enter_context(services.new_database(self.postgres.url))

    def _services(self) -> tuple[services.Server, services.Server]:
        if not self._servers:
            postgres = self._stack.enter_context(services.postgres_server(_DURABLE))
            self._servers = postgres, self._stack.enter_context(services.forgetful_redis())
        return self._servers


def found(folder: Path, readers: int, database: str) -> str:
    """A newsroom in this database, which is given back."""
    environment = _environment(folder) | {"DATABASE_URL": database}
    output([*_PYTHON, "tests.faults.desk", "found", str(readers)], environment, 600)
    if database.startswith("sqlite"):
        # All of it in one file, that can be copied.
        path = database.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    return database


def _opened(office: Office) -> Iterator[Office]:
    try:
        yield office
    finally:
        office.close()


def _later(now: datetime) -> datetime:
    return now + timedelta(hours=12)


def _plain(value: object) -> object:
    """As Django writes it to SQLite."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    return value
