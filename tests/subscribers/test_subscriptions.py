"""Periods, evidence and refusals, whoever comes at the same moment."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event

import pytest
import redis
import time_machine
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from config.celery import app
from subscribers import tasks
from subscribers.addresses import parse
from subscribers.models import (
    Consent,
    Evidence,
    Letter,
    SignUp,
    Subscriber,
    Subscription,
    Suppression,
)
from subscribers.models.consents import AppendOnlyError
from subscribers.tokens import Purpose, sign

BY_LINK = Evidence(method=Consent.Method.LINK)
AT_ONCE = 30


@pytest.fixture
def broker_down(settings):
    """Nobody listens where the broker should be."""
    settings.EMBEDDED = False
    good = app.conf.broker_write_url, app.conf.broker_transport_options
    _talk_to("redis://127.0.0.1:9/0", {})
    yield
    _talk_to(*good)


def _talk_to(broker, options):
    app.conf.broker_write_url, app.conf.broker_transport_options = broker, options
    app.amqp._producer_pool = None
    app._pool = None


def at_once(call, arguments):
    """Call it for all of them in the same moment, each in a thread and connection of its own."""
    start = Barrier(len(arguments))

    def one(argument):
        start.wait()
        try:
            return call(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(one, arguments))


@pytest.mark.django_db(transaction=True)
def test_thirty_sign_ups_at_once_are_one_row_one_mail_and_no_error(form):
    answers = at_once(
        lambda filled: Client().post("/sign-up/", filled).status_code, [form()] * AT_ONCE
    )
    at_once(lambda _worker: tasks.send_letters(), range(4))

    assert answers == [303] * AT_ONCE
    assert Subscriber.objects.count() == 1
    assert Subscription.objects.count() == 1
    assert Consent.objects.count() == 1
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_thirty_aliases_of_a_mailbox_at_once_are_one_mail_and_few_rows(form):
    forms = [form(f"ann+{number}@example.com") for number in range(AT_ONCE)]

    answers = at_once(lambda filled: Client().post("/sign-up/", filled).status_code, forms)
    tasks.send_letters()

    assert answers == [303] * AT_ONCE
    assert Subscriber.objects.count() == 5
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_ten_confirmations_at_once_are_one_and_all_see_success(form):
    Client().post("/sign-up/", form())
    SignUp.objects.let_in()
    path = f"/c/{sign(Purpose.CONFIRM, Subscription.objects.get().pk, int(time.time()))}"

    pages = at_once(lambda _tab: Client().post(path).content, range(10))

    assert len(set(pages)) == 1
    assert "You’re subscribed" in pages[0].decode()
    assert Consent.objects.filter(action="confirmed").count() == 1
    assert Letter.objects.filter(kind="welcome").count() == 1


@pytest.mark.django_db(transaction=True)
def test_ten_ways_out_at_once_are_one_withdrawal(subscribe):
    ann = subscribe("ann@example.com")
    path = f"/u/{sign(Purpose.UNSUBSCRIBE, ann.subscriber_id, ann.mailing_list_id, 0)}"

    answers = at_once(lambda _click: Client().post(path).status_code, range(10))

    assert answers == [200] * 10
    assert Consent.objects.filter(action="withdrawn").count() == 1
    assert Suppression.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_ten_undos_at_once_are_one_period(subscribe):
    ann = subscribe("ann@example.com")
    ann.end(Subscription.EndReason.UNSUBSCRIBED, BY_LINK)
    path = f"/r/{sign(Purpose.UNDO, ann.pk, int(time.time()))}"

    answers = at_once(lambda _click: Client().post(path).status_code, range(10))

    assert answers == [200] * 10
    assert Subscription.objects.count() == 2
    assert Subscription.objects.mailable().count() == 1


@pytest.mark.django_db(transaction=True)
def test_confirming_leaving_and_refusing_at_once_do_not_block_each_other(form, weekend):
    Client().post("/sign-up/", form(lists=["morning-briefing", "weekend-reader"]))
    SignUp.objects.let_in()
    first, second = Subscription.objects.order_by("id")
    now = int(time.time())
    paths = [
        f"/c/{sign(Purpose.CONFIRM, first.pk, now)}",
        f"/u/{sign(Purpose.UNSUBSCRIBE, second.subscriber_id, second.mailing_list_id, 0)}",
        f"/b/{sign(Purpose.BLOCK, first.subscriber_id, now)}",
    ] * 4

    answers = at_once(lambda path: Client().post(path).status_code, paths)

    assert answers == [200] * len(paths)
    assert Consent.objects.filter(action="withdrawn", subscription=second).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_click_that_waited_for_somebody_leaving_confirms_nothing(form):
    Client().post("/sign-up/", form())
    SignUp.objects.let_in()
    period, left, clicked = Subscription.objects.get(), Event(), Event()

    def leave():
        with transaction.atomic():
            period.close(Subscription.EndReason.NOT_ME, BY_LINK)
            left.set()
            clicked.wait(10)
            # The click has begun; so long it has to reach the row that we hold.
            Event().wait(0.3)

    def click():
        left.wait(10)
        clicked.set()
        return Subscription.objects.get(pk=period.pk).confirm(BY_LINK)

    _nothing, has_confirmed = at_once(lambda step: step(), [leave, click])

    period.refresh_from_db()
    assert not has_confirmed
    assert period.confirmed_at is None
    assert not Consent.objects.filter(action="confirmed").exists()


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_never_take_the_same_letter(form):
    for number in range(12):
        Client().post("/sign-up/", form(f"reader{number}@example.com"))

    at_once(lambda _worker: tasks.send_letters(), range(6))

    assert sorted(message.to[0] for message in mail.outbox) == sorted(
        f"reader{number}@example.com" for number in range(12)
    )


def test_a_reader_has_one_open_period_a_list(subscribe):
    ann = subscribe("ann@example.com")

    with pytest.raises(IntegrityError), transaction.atomic():
        Subscription.objects.create(subscriber=ann.subscriber, mailing_list=ann.mailing_list)


def test_the_audience_of_a_moment_stays_what_it_was(subscribe):
    ann = subscribe("ann@example.com")
    moment = timezone.now()
    ann.end(Subscription.EndReason.UNSUBSCRIBED, BY_LINK)
    Subscription.objects.filter(pk=ann.pk).update(confirmed_at=moment - timedelta(hours=1))

    assert list(Subscription.objects.audience(moment - timedelta(minutes=1))) == [ann]
    assert not Subscription.objects.audience(timezone.now() + timedelta(minutes=1)).exists()


@pytest.mark.parametrize("scope", ["list", "publication", "everything"])
def test_nobody_suppressed_is_mailable(subscribe, scope):
    ann = subscribe("ann@example.com")
    where = {
        "list": {"mailing_list": ann.mailing_list},
        "publication": {"publication": ann.mailing_list.publication},
        "everything": {},
    }[scope]

    Suppression.objects.create(
        key=ann.subscriber.suppression_key, scope=scope, reason="complained", **where
    )

    assert not Subscription.objects.mailable().exists()


def test_a_suppression_ends_when_it_says(subscribe):
    ann = subscribe("ann@example.com")
    Suppression.objects.create(
        key=ann.subscriber.suppression_key,
        scope="everything",
        reason="bounced",
        ends_at=timezone.now() - timedelta(seconds=1),
    )

    assert Subscription.objects.mailable().count() == 1


def test_a_suppression_holds_under_an_older_key(settings, subscribe, briefing):
    settings.SUPPRESSION_KEYS = {"1": "old"}
    key = parse("ann@example.com").suppression_keys()[0]
    Suppression.objects.create(key=key, scope="everything", reason="complained")
    settings.SUPPRESSION_KEYS = {"2": "new", "1": "old"}

    subscribe("Ann@example.com")

    assert not Subscription.objects.mailable().exists()


def test_who_paused_is_not_mailable_until_then(subscribe):
    ann = subscribe("ann@example.com")
    Subscription.objects.filter(pk=ann.pk).update(paused_until=timezone.now() + timedelta(days=1))

    assert not Subscription.objects.mailable().exists()


def test_evidence_is_neither_changed_nor_removed(subscribe, publication):
    subscribe("ann@example.com")
    consent, terms = Consent.objects.first(), publication.current_terms()

    for forbidden in [
        consent.save,
        consent.delete,
        Consent.objects.all().delete,
        lambda: Consent.objects.update(browser=""),
        terms.save,
    ]:
        with pytest.raises(AppendOnlyError):
            forbidden()


def test_what_nobody_confirmed_is_forgotten_after_a_month(sign_up, subscribe, letters, caplog):
    subscribe("old@example.com")
    with time_machine.travel(time.time() - 31 * 24 * 60 * 60):
        sign_up("old@example.com")
        sign_up("gone@example.com")
        letters()
    with time_machine.travel(time.time() - 29 * 24 * 60 * 60):
        sign_up("fresh@example.com")

    with caplog.at_level(logging.INFO, logger="subscribers"):
        call_command("purge_unconfirmed")

    kept = set(Subscriber.objects.values_list("address", flat=True))
    assert kept == {"old@example.com", "fresh@example.com"}
    assert not Consent.objects.filter(address="gone@example.com").exists()
    assert Consent.objects.filter(address="old@example.com").count() == 2
    assert "Forgot 1 sign-ups" in caplog.text
    assert "gone@" not in caplog.text


def test_forgetting_somebody_does_not_forget_how_often_he_was_written_to(sign_up, letters):
    with time_machine.travel(time.time() - 40 * 24 * 60 * 60, tick=False) as clock:
        for _day in range(5):
            sign_up()
            letters()
            clock.shift(24 * 60 * 60)
    assert len(letters()) == 5

    tasks.purge_unconfirmed()
    sign_up()

    assert len(letters()) == 5


def test_who_asked_again_lately_is_not_forgotten(sign_up, letters):
    with time_machine.travel(time.time() - 31 * 24 * 60 * 60):
        sign_up()
        letters()
    sign_up()

    assert tasks.purge_unconfirmed() == 0


def test_who_refused_stays_refused_when_the_rows_are_forgotten(client, sign_up, letters, link):
    with time_machine.travel(time.time() - 31 * 24 * 60 * 60):
        sign_up()
    client.post(link("b", letters()[0]))

    assert tasks.purge_unconfirmed() == 1
    sign_up()

    assert len(letters()) == 1


def test_the_heartbeat_forgets_once_a_day(sign_up, eager, django_assert_num_queries):
    cache.clear()
    tasks.look_for_what_was_kept_long_enough()

    with django_assert_num_queries(0):
        tasks.look_for_what_was_kept_long_enough()


def test_a_form_with_a_broker_that_is_down_answers_at_once_and_loses_no_letter(
    sign_up, broker_down, django_capture_on_commit_callbacks, caplog
):
    began = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        assert sign_up().status_code == 303

    assert time.monotonic() - began < 0.5
    assert Letter.objects.due().count() == 1
    while "The broker could not be told" not in caplog.text:
        assert time.monotonic() - began < 10
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
def test_a_form_wakes_a_worker_over_the_broker(form, settings, redis_url):
    settings.EMBEDDED = False
    good = app.conf.broker_write_url, app.conf.broker_transport_options
    _talk_to(redis_url, {})

    try:
        Client().post("/sign-up/", form())
        with redis.Redis.from_url(redis_url) as broker:
            message = broker.blpop("urgent", timeout=10)
    finally:
        _talk_to(*good)

    assert b"subscribers.tasks.send_letters" in message[1]
    assert b"ann@" not in message[1]
