"""Starting the campaigns that are due, and working off their batches."""

import threading

from celery import current_app, shared_task
from django.conf import settings

from newsletter import delivery, stopping
from newsletter.models import Batch, Bounce, Campaign

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
    for campaign in Campaign.objects.due():
        campaign.hold() or campaign.start()
    for campaign in Campaign.objects.unplanned():
        # The first batches need not wait until the others are planned.
        _call_workers()
        campaign.plan()
    Batch.objects.settle_abandoned()
    Batch.objects.write_off_called_off(_A_WHILE)
    for campaign in Campaign.objects.handed_over():
        campaign.finish()
    Bounce.objects.judge()
    _call_workers()


def _call_workers() -> None:
    if Batch.objects.ready().exists() and not _is_call_waiting():
        send_batches.delay()


def _is_call_waiting() -> bool:
    """A call that nobody has taken up yet: all are busy, and another would only pile up."""
    queue = current_app.amqp.router.route({}, send_batches.name)["queue"]
    with current_app.connection_for_write() as connection:
        waiting = queue.bind(connection.default_channel).queue_declare()[1]
    return bool(waiting)
