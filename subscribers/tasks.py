"""Sending the letters that are due."""

import logging
import threading
import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from subscribers import emails
from subscribers.models import (
    Attack,
    Bucket,
    Letter,
    MailDomain,
    SignUp,
    Spent,
    Subscriber,
    Subscription,
)

logger = logging.getLogger(__name__)

# A wake-up that no worker heard for this long says nothing new any more.
STALE_AFTER = 10
A_DAY = 24 * 60 * 60
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
def purge_unconfirmed() -> int:
    """Forget who never confirmed (DOI-10). Run twice, it finds nothing the second time."""
    before = timezone.now() - timedelta(days=settings.KEEP_UNCONFIRMED_DAYS)
    purged = Subscription.objects.purge_unconfirmed(before)
    purged += SignUp.objects.held().filter(asked_at__lt=before).drop()
    Subscriber.objects.forget_strangers(before)
    now = time.time()
    Bucket.objects.forget(now)
    Spent.objects.forget(now)
    logger.info("Forgot %d sign-ups that nobody confirmed before %s.", purged, before)
    return purged


def look_for_forgotten_sign_ups() -> None:
    """Called by every worker's heartbeat; once a day one of them does something."""
    if cache.add("purge-unconfirmed", True, timeout=A_DAY):
        purge_unconfirmed.apply_async(expires=A_DAY)


def look_for_due_letters() -> None:
    """Called by every worker's heartbeat: finds what the broker lost or nobody published."""
    if SignUp.objects.due().exists() or Letter.objects.due().exists():
        send_letters.apply_async(expires=STALE_AFTER)


def look_for_the_end_of_an_attack() -> None:
    """Called by every worker's heartbeat."""
    a_minute = settings.CONFIRMATIONS_PER_MINUTE
    # Half of what may go out: those who sign up now are not to queue behind those who waited.
    if Attack.objects.end_when_quiet(most=a_minute, per_minute=a_minute // 2):
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
