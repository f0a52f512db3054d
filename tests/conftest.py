"""Fixtures, named after what they give."""

import os
import sqlite3
from collections import Counter

import pytest
import redis
from django.contrib.auth import get_user_model
from django.core.cache import cache, caches
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils import timezone
from playwright.sync_api import sync_playwright

from newsletter import outages
from newsletter.models import Article, Campaign, Entry
from subscribers import door
from subscribers.addresses import parse
from subscribers.guards import work
from subscribers.models import (
    Consent,
    Evidence,
    MailingList,
    Publication,
    Sender,
    SignUp,
    Subscriber,
    Subscription,
    Terms,
    domains,
)
from tests import services
from tests.signing_up import solution, token
from tests.smtp import SmtpServer, certificate, serving

# The paper and its people --------------------------------------------------------------------


@pytest.fixture(autouse=True)
def empty_cache():
    """Counts of attempts and the like do not outlive the test that made them."""
    cache.clear()
    domains.forget()
    door.forget()


@pytest.fixture(autouse=True)
def light_work(monkeypatch):
    """What our script would compute takes no time."""
    monkeypatch.setattr(work, "COST", 1)
    monkeypatch.setattr(work, "FEWEST_TRIES", 1)
    monkeypatch.setattr(work, "MOST_TRIES", 1)


@pytest.fixture(autouse=True)
def no_outage(monkeypatch):
    """The database has answered for as long as anybody asks."""
    monkeypatch.setattr(outages, "seconds_without_one", lambda: 3600.0)


@pytest.fixture(autouse=True, scope="session")
def flushing_past_triggers():
    """Emptying tables between tests is no act on evidence. (PostgreSQL truncates.)"""
    operations = connection.ops
    flush = operations.execute_sql_flush
    if connection.vendor == "sqlite":
        operations.execute_sql_flush = lambda statements: _past_triggers(flush, statements)
    yield
    operations.execute_sql_flush = flush


def _past_triggers(flush, statements):
    connection.ensure_connection()
    connection.connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
    flush(statements)
    connection.connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, True)


@pytest.fixture
def publication(db):
    paper = Publication.objects.create(
        name="The Harbour Post",
        legal_name="Harbour Post Ltd",
        postal_address="1 Quay Street\nPort Ellis",
        cancel_window=0,
    )
    paper.sender = Sender.objects.create(
        publication=paper, name="The Harbour Post", email="news@harbour.example"
    )
    paper.save()
    Terms.objects.create(publication=paper, number=1, text="You get our news until you leave.")
    return paper


@pytest.fixture
def briefing(publication):
    return MailingList.objects.create(
        publication=publication, slug="morning-briefing", name="Morning Briefing"
    )


@pytest.fixture
def weekend(publication):
    return MailingList.objects.create(
        publication=publication, slug="weekend-reader", name="Weekend Reader", position=1
    )


@pytest.fixture
def subscribe(briefing):
    """Call it with an address: a confirmed subscription, to the briefing unless you say."""

    def subscribe(address, mailing_list=briefing, name=""):
        subscriber = Subscriber.objects.known(parse(address), name=name)
        subscription = Subscription.objects.create(
            subscriber=subscriber, mailing_list=mailing_list, confirmed_at=Now()
        )
        evidence = Evidence(method=Consent.Method.FORM)
        Consent.objects.record(Consent.Action.GIVEN, subscription, evidence)
        Consent.objects.record(Consent.Action.CONFIRMED, subscription, evidence)
        subscription.refresh_from_db()
        return subscription

    return subscribe


@pytest.fixture
def editor(db):
    """Signs in as "editor" with the password "harbour lights"."""
    return get_user_model().objects.create_user(
        "editor", "editor@harbour.example", "harbour lights", is_staff=True
    )


@pytest.fixture
def article(publication):
    return Article.objects.create(
        publication=publication,
        headline="The ferry returns",
        standfirst="After two years the morning boat sails again.",
        byline="Ida Marsh",
        body="<p>The first boat left at six.</p><p>Nobody was seasick.</p>",
        published_at=timezone.now(),
    )


@pytest.fixture
def campaign(article, briefing):
    """A draft of the article to the briefing."""
    draft = Campaign.objects.create(publication=article.publication, subject=article.headline)
    Entry.objects.create(campaign=draft, article=article)
    draft.mailing_lists.add(briefing)
    return draft


# Mail ----------------------------------------------------------------------------------------


@pytest.fixture
def smtp_server():
    """A server that takes any mail and can be told to answer anything; see tests/smtp.py."""
    with serving(SmtpServer()) as server:
        yield server


@pytest.fixture
def strict_smtp_server(tmp_path, monkeypatch):
    """One that insists on STARTTLS, with a certificate we trust, and on a sign-in."""
    path, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(SmtpServer(tls=context, credentials=("desk@harbour", "p/ss:w@rd%"))) as server:
        yield server


# Services: what is given in the environment, or private ones from installed programs -----------


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a PostgreSQL server on which databases can be made."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given
        return
    yield from _started(services.postgres)


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of a fresh PostgreSQL database."""
    with services.new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server_url():
    given = os.environ.get("REDIS_URL", "")
    if given:
        yield given
        return
    yield from _started(services.redis_server)


@pytest.fixture
def redis_url(redis_server_url, worker_id):
    """The URL of an empty Redis database; not the one that this process uses as its cache."""
    number = 8 + _worker_number(worker_id) % 8
    url = f"{redis_server_url.rpartition('/')[0]}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture(scope="session", autouse=True)
def own_redis_database(worker_id):
    """Tests that run side by side do not empty each other's cache."""
    from django.conf import settings

    if settings.REDIS_URL and worker_id != "master":
        number = _worker_number(worker_id) % 8
        url = f"{settings.REDIS_URL.rpartition('/')[0]}/{number}"
        settings.CACHES["default"]["LOCATION"] = settings.REDIS_URL = url
        # Whoever asked for the cache before us was given the one that all share.
        caches["default"] = caches.create_connection("default")


@pytest.fixture(scope="session")
def compiler():
    """The path of a C compiler."""
    try:
        return services.compiler()
    except services.MissingProgramError as missing:
        _skip_or_fail(missing)


@pytest.fixture(scope="session")
def chromium():
    """The path of an installed Chromium."""
    try:
        return services.chromium()
    except services.MissingProgramError as missing:
        _skip_or_fail(missing)


@pytest.fixture
def browser(chromium, monkeypatch):
    """A browser of Playwright's."""
    # Playwright keeps an event loop in this thread, in which Django would refuse its database.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()
        # Beside a running loop Django opens connections of its own, which nobody else closes.
        connections.close_all()


@pytest.fixture
def page(browser):
    """A fresh page in a fresh profile."""
    context = browser.new_context(locale="en-GB")
    yield context.new_page()
    context.close()


def _started(service):
    """Start a private server for the session, or skip (REQUIRE_SERVICES: fail) what needs it."""
    try:
        with service() as url:
            yield url
    except services.MissingProgramError as missing:
        _skip_or_fail(missing)


def _skip_or_fail(missing):
    if os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))


def _worker_number(worker_id):
    return 0 if worker_id == "master" else int(worker_id.removeprefix("gw"))


# What was left out, said loudly ----------------------------------------------------------------


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        tests = "1 test was" if count == 1 else f"{count} tests were"
        terminalreporter.write_line(f"{tests} skipped: {reason}", yellow=True, bold=True)


# Signing up --------------------------------------------------------------------------------


@pytest.fixture
def form(publication, briefing):
    """What a browser sends when somebody fills in the form; say what is different."""

    def form(email="ann@example.com", **other):
        filled = {
            "email": email,
            "name": "",
            "lists": ["morning-briefing"],
            "agree": "on",
            "reference": "",
            "terms": "1",
            "page": "/articles/the-ferry-returns/",
            "language": "en",
            "token": token(),
            "work": solution(),
        } | other
        return {name: value for name, value in filled.items() if value is not None}

    return form


@pytest.fixture
def sign_up(client, form):
    """Fill in the form and send it; a worker lets in whoever came through."""

    def sign_up(email="ann@example.com", headers=None, **other):
        door.forget()
        answer = client.post("/sign-up/", form(email, **other), headers=headers)
        SignUp.objects.let_in()
        return answer

    return sign_up
