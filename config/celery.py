"""The Celery application, and the heartbeat that every worker keeps."""

import logging
import os
import threading
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

logger = logging.getLogger(__name__)

app = Celery("broadsheet")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_stopping = threading.Event()


@worker_ready.connect
def start_heartbeat(**_: Any) -> None:
    threading.Thread(target=_beat, name="heartbeat", daemon=True).start()


@worker_shutting_down.connect
def stop_heartbeat(**_: Any) -> None:
    _stopping.set()


def _beat() -> None:
    """Look for what is due until the worker stops; an outage only makes the next look later."""
    from django.conf import settings

    while not _stopping.wait(settings.HEARTBEAT):
        _look()


def _look() -> None:
    from django.db import DatabaseError, connection
    from kombu.exceptions import OperationalError

    from newsletter.tasks import look_for_due_campaigns
    from subscribers.tasks import look_for_due_letters

    try:
        look_for_due_letters()
        look_for_due_campaigns()
    except (DatabaseError, OperationalError) as error:
        logger.warning("The heartbeat missed a beat: %s", error)
        connection.close()
