"""Sending the letters that are due."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from celery import Task, shared_task
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from subscribers import emails, renewals, retention
from subscribers.models import Attack, Bucket, Letter, MailDomain, Seal, SignUp, Spent, Subscriber

logger = logging.getLogger(__name__)

# A wake-up that no worker heard for this long says nothing new any more.
STALE_AFTER = 10
A_MINUTE = 60
A_DAY = 24 * 60 * 60
# Seconds: so long one task goes on by steps, and so long it lets others write in between.
_A_WHILE = 20
_GAP = 0.001
# Seconds: of thousands who sign up at once, few calls are made.
_BETWEEN_CALLS = 0.05
# Held by the one thread of this process that asks name servers.
_looking_up = threading.Lock()


@shared_task
def send_letters() -> None:
    """Let in who has signed up, and work off what is due, one letter after another."""
    were_some = True
    while were_some:
        were_some = bool(SignUp.objects.let_in())
        # Whoever was let in is written to before the next ones are let in.
        while letter := Letter.objects.claim():
            emails.send(letter)


@shared_task
def seal_consents() -> None:
    """Set the seals that are due, one after another."""
    _in_steps(seal_consents, Seal.objects.seal)


@shared_task
def purge_unconfirmed() -> int:
    """Forget who never confirmed (DOI-10). Run twice, it finds nothing the second time."""
    before = _days_ago(settings.KEEP_UNCONFIRMED_DAYS)
    purged = _in_steps(purge_unconfirmed, lambda: retention.purge_unconfirmed(before))
    purged += SignUp.objects.filter(asked_at__lt=before).delete()[0]
    Subscriber.objects.forget_strangers(before)
    now = time.time()
    Bucket.objects.forget(now)
    Spent.objects.forget(now)
    logger.info("Forgot %d sign-ups that nobody confirmed before %s.", purged, before)
    return purged


@shared_task
def purge_left() -> int:
    """Forget what was agreed to by who left long ago (EVD-08)."""
    before = _days_ago(settings.KEEP_EVIDENCE_DAYS)
    purged = _in_steps(purge_left, lambda: retention.purge_left(before))
    logger.info("Forgot %d subscriptions that ended before %s.", purged, before)
    return purged


@shared_task
def trim_traces() -> int:
    """Empty network address and browser of older evidence (EVD-08)."""
    before = _days_ago(settings.KEEP_TRACES_DAYS)
    trimmed = _in_steps(trim_traces, lambda: retention.trim_traces(before))
    logger.info("Emptied network address and browser of %d consents before %s.", trimmed, before)
    return trimmed


def look_for_readers_to_ask() -> None:
    """Called by every worker's heartbeat: some more letters about new terms, if there are any."""
    renewals.ask_some()


def look_for_unsealed_consents() -> None:
    """Called by every worker's heartbeat; once a minute one of them does something."""
    if cache.add("seal-consents", True, timeout=A_MINUTE) and Seal.objects.is_due():
        seal_consents.apply_async(expires=A_MINUTE)


def look_for_what_was_kept_long_enough() -> None:
    """Called by every worker's heartbeat; once a day one of them does something."""
    if cache.add("kept-long-enough", True, timeout=A_DAY):
        for task in [purge_unconfirmed, purge_left, trim_traces]:
            task.apply_async(expires=A_DAY)


def _in_steps(task: Task[[], object], step: Callable[[], int]) -> int:
    """Step after step until one has nothing to do; what is left after a while is a task again.

    Small steps hold up nobody: each is a transaction of its own.
    """
    done, until = 0, time.monotonic() + _A_WHILE
    while some := step():
        done += some
        if time.monotonic() > until:
            task.apply_async(expires=A_DAY)
            break
        if connection.vendor == "sqlite":
            # It has one writer: without a gap a sign-up waits for seconds.
            time.sleep(_GAP)
    return done


def _days_ago(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)


def look_for_due_letters() -> None:
    """Called by every worker's heartbeat: finds what the broker lost or nobody published."""
    if SignUp.objects.due().exists() or Letter.objects.due().exists():
        send_letters.apply_async(expires=STALE_AFTER)


def look_for_the_end_of_an_attack() -> None:
    """Called by every worker's heartbeat."""
    a_minute = settings.CONFIRMATIONS_PER_MINUTE
    # Half of what may go out: those who sign up now are not to queue behind those who waited.
    most = max(a_minute, settings.CONFIRMATIONS_PER_HOUR // 4)
    if Attack.objects.end_when_quiet(most=most, per_minute=a_minute // 2):
        logger.warning("The attack on the sign-up form is over; who waited is let in by and by.")


def look_for_unknown_domains() -> None:
    """Called by every worker's heartbeat, which waits for no name server.

    No call for a queue: the urgent one is for letters, and in the bulk one it would wait behind
    a campaign.
    """
    if MailDomain.objects.due().exists() and _looking_up.acquire(blocking=False):
        threading.Thread(target=_look_up_domains, name="domains", daemon=True).start()


def _look_up_domains() -> None:
    try:
        while MailDomain.objects.look_up():
            pass
    except DatabaseError as error:
        logger.warning("Mail domains are looked up later: %s", error)
    finally:
        connection.close()
        _looking_up.release()


def wake_on_commit() -> None:
    """Tell a worker, once this is committed, that somebody waits; ask nothing of the request.

    The broker may be slow or down: a thread of its own calls it, and the heartbeat looks anyway.
    """
    if not settings.EMBEDDED:
        transaction.on_commit(_caller.call)


class _Caller:
    """One thread a process that calls the broker; calls asked for while it is at it become one."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def call(self) -> None:
        self._asked.set()
        with self._starting:
            # A thread does not survive the fork of a web server's process.
            if not (self._thread and self._thread.is_alive()):
                self._thread = threading.Thread(target=self._work, name="caller", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while self._asked.wait():
            self._asked.clear()
            try:
                send_letters.apply_async(expires=STALE_AFTER)
            except OperationalError as error:
                logger.warning("The broker could not be told of a letter: %s", error)
            # Whoever signs up meanwhile is found by the worker that was told of the first.
            time.sleep(_BETWEEN_CALLS)


_caller = _Caller()
