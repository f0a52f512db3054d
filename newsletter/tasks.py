"""Starting the campaigns that are due, and working off their batches."""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

from celery import current_app, shared_task
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from newsletter import delivery, stopping
from newsletter.models import Batch, Bounce, Campaign, Event

logger = logging.getLogger(__name__)

# Celery takes "no limit" of a task for the limit of all; this one lives by its lease.
_A_YEAR = 365 * 24 * 60 * 60
# Seconds that one look may spend on skipping readers: other campaigns are due too.
_A_WHILE = 0.5
# SQLite has one writer: a second sender beside the first would only make sign-ups wait.
_embedded_sender = threading.Lock()


@shared_task(soft_time_limit=_A_YEAR, acks_late=False)
def send_batches() -> None:
    """Work off what is due, one batch after another."""
    if not settings.EMBEDDED:
        _work_off()
    elif _embedded_sender.acquire(blocking=False):
        try:
            _work_off()
        finally:
            _embedded_sender.release()


def _work_off() -> None:
    with delivery.Worker() as worker:
        while not stopping.is_stopping() and (batch := Batch.objects.claim()):
            worker.send(batch)


def look_for_due_campaigns() -> None:
    """Called by every worker's heartbeat: starts, settles, closes the books, wakes workers.

    The tables are the queue: whatever worker, broker or database went away, the next look of
    any worker goes on.
    """
    _each(Campaign.objects.due(), lambda campaign: campaign.hold() or campaign.start())
    if unplanned := list(Campaign.objects.unplanned()):
        # The first batches need not wait until the others are planned.
        _call_workers()
        _each(unplanned, Campaign.plan)
    Batch.objects.settle_abandoned()
    Batch.objects.free_held()
    Batch.objects.write_off_called_off(_A_WHILE)
    _each(Campaign.objects.handed_over(), Campaign.finish)
    _call_workers()


def look_for_reports() -> None:
    """What came before the row of its message, and what is old."""
    Event.objects.apply_waiting()
    kept_for = timedelta(days=settings.KEEP_EVENTS_DAYS)
    Event.objects.delete_received_before(timezone.now() - kept_for)


def look_for_bounces() -> None:
    Bounce.objects.judge()


def _each(campaigns: Iterable[Campaign], step: Callable[[Campaign], object]) -> None:
    """One campaign that cannot be worked on, loudly, holds up no other."""
    for campaign in campaigns:
        try:
            step(campaign)
        except DatabaseError:
            raise
        except Exception:
            logger.exception("Campaign %s stumbled", campaign.pk)


def _call_workers() -> None:
    if Batch.objects.ready().exists() and not _is_call_waiting():
        send_batches.delay()


def _is_call_waiting() -> bool:
    """A call that nobody has taken up yet: all are busy, and another would only pile up."""
    queue = current_app.amqp.router.route({}, send_batches.name)["queue"]
    with current_app.connection_for_write() as connection:
        waiting = queue.bind(connection.default_channel).queue_declare()[1]
    return bool(waiting)
