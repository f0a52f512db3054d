"""Real Celery workers, started, stopped and killed while they send to a real mail server."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.smtp import SmtpServer, serving

ROOT = Path(__file__).resolve().parent.parent.parent
READERS = 240
_OURS = {"DATABASE_URL", "REDIS_URL", "EMAIL_URL", "EMAIL_PROVIDER", "SITE_URL", "DATA"}

SEED = f"""
from django.core.management import call_command
from django.utils import timezone
from newsletter.content import compile_versions
from newsletter.models import Article, Campaign, Entry
from subscribers.models import MailingList, Publication, Sender, Terms

paper = Publication.objects.create(
    name="The Harbour Post", legal_name="Harbour Post Ltd", postal_address="1 Quay Street",
    cancel_window=0,
)
paper.sender = Sender.objects.create(
    publication=paper, name="The Harbour Post", email="news@harbour.example"
)
paper.save()
Terms.objects.create(publication=paper, number=1, text="You get our news until you leave.")
briefing = MailingList.objects.create(publication=paper, slug="briefing", name="Briefing")
call_command("load_readers", count={READERS}, list="briefing", verbosity=0)
article = Article.objects.create(
    publication=paper, headline="The ferry returns", body="<p>The first boat left at six.</p>",
    published_at=timezone.now(),
)
campaign = Campaign.objects.create(publication=paper, subject=article.headline)
Entry.objects.create(campaign=campaign, article=article)
campaign.mailing_lists.add(briefing)
campaign.schedule(compile_versions(campaign), timezone.now())
"""


class SlowServer(SmtpServer):
    """Takes its time for each reader, so that a worker can be met in the middle."""

    async def handle_RCPT(self, *arguments):  # noqa: N802  The name of aiosmtpd's hook.
        await asyncio.sleep(0.02)
        return await super().handle_RCPT(*arguments)


class Office:
    """A database with a campaign that is due, and the workers that are started on it."""

    def __init__(self, folder, **variables):
        kept = {name: value for name, value in os.environ.items() if name not in _OURS}
        given = {"ENVIRONMENT": "laptop", "SECRET_KEY": "a key for the workers of one test"}
        self.environment = kept | given | {"DATA": str(folder), "PYTHONPATH": str(ROOT)}
        # One connection: four readers in hand.
        self.environment |= {"SMTP_CONNECTIONS": "1"} | variables
        self.database = variables.get("DATABASE_URL", "")
        self.folder = folder
        self.workers = []
        self.manage("migrate", "-v0")
        self.manage("shell", "-v0", "-c", SEED)

    def worker(self, *options):
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "config", "worker", *options]
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [*command, "--without-gossip", "--without-mingle"],
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def ask(self, question):
        """The first column of the answer, straight from the database."""
        if self.database:
            with psycopg.connect(self.database) as connection:
                return [row[0] for row in connection.execute(question)]
        connection = sqlite3.connect(self.folder / "broadsheet.sqlite3", timeout=20)
        try:
            return [row[0] for row in connection.execute(question)]
        finally:
            connection.close()

    def statuses(self):
        found = self.ask("SELECT status FROM newsletter_delivery")
        return {status: found.count(status) for status in set(found)}

    def wait_until_sent(self, seconds=60):
        self.wait_for(
            lambda: self.ask("SELECT status FROM newsletter_campaign") == ["sent"], seconds
        )

    def wait_for(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"It never came: {self.statuses()}\n{self.log()}")
            time.sleep(0.05)

    def log(self):
        return (self.folder / "worker.log").read_text()

    def close(self):
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(timeout=20)

    def manage(self, *words):
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        subprocess.run(command, env=self.environment, cwd=ROOT, check=True)


@pytest.fixture
def server():
    with serving(SlowServer()) as server:
        yield server


@pytest.fixture
def embedded(tmp_path, server):
    office = Office(tmp_path, EMAIL_URL=server.url)
    yield office
    office.close()


@pytest.fixture
def on_services(tmp_path, server, postgres_url, redis_url):
    urls = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url}
    office = Office(tmp_path, EMAIL_URL=server.url, **urls)
    yield office
    office.close()


EMBEDDED = ["-Q", "urgent,bulk", "-P", "threads", "-c", "4"]
BULK = ["-Q", "bulk", "-c", "2", "-n", "bulk@%h"]


def recipients(server):
    return [to for _sender, to in server.envelopes()]


def test_an_embedded_worker_finds_a_due_campaign_and_mails_everybody_once(embedded, server):
    embedded.worker(*EMBEDDED)

    embedded.wait_until_sent()

    assert len(recipients(server)) == len(set(recipients(server))) == READERS
    assert embedded.statuses() == {"sent": READERS}


def test_a_worker_on_redis_finds_a_due_campaign_and_mails_everybody_once(on_services, server):
    on_services.worker(*BULK)

    on_services.wait_until_sent()

    assert len(recipients(server)) == len(set(recipients(server))) == READERS
    assert on_services.statuses() == {"sent": READERS}


@pytest.mark.parametrize(("office", "options"), [("embedded", EMBEDDED), ("on_services", BULK)])
def test_a_worker_that_is_asked_to_end_leaves_nobody_uncertain(request, office, options, server):
    office = request.getfixturevalue(office)
    worker = office.worker(*options)
    office.wait_for(lambda: len(server.received) > 20)

    worker.terminate()
    worker.wait(timeout=10)
    halfway = len(server.received)

    assert 20 < halfway < READERS
    assert office.statuses() == {"sent": halfway}
    office.worker(*options)
    office.wait_until_sent()
    assert len(recipients(server)) == len(set(recipients(server))) == READERS


@pytest.mark.parametrize(("office", "options"), [("embedded", EMBEDDED), ("on_services", BULK)])
def test_a_worker_that_is_killed_loses_nobody_and_mails_nobody_twice(
    request, office, options, server
):
    office = request.getfixturevalue(office)
    worker = office.worker(*options)
    office.wait_for(lambda: len(server.received) > 20)

    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(timeout=10)
    office.worker(*options)
    office.wait_until_sent()

    found = office.statuses()
    mailed = recipients(server)
    assert len(mailed) == len(set(mailed))
    assert found["sent"] + found.get("uncertain", 0) == READERS
    assert found.get("uncertain", 0) <= 4
    assert found["sent"] <= len(mailed) <= READERS
