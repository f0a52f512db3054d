"""The Celery application, and the heartbeat that every worker keeps."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_ready, worker_shutting_down

from newsletter import stopping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Celery would run the system checks and ignore what they say; we run them and obey.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

logger = logging.getLogger(__name__)

app = Celery("broadsheet")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_stopping = threading.Event()


@worker_init.connect
def refuse_errors(**_: Any) -> None:
    from django.core.exceptions import ImproperlyConfigured

    from config import checks

    try:
        checks.refuse_errors()
    except ImproperlyConfigured as error:
        # Celery swallows exceptions of its signals; an exit it lets through.
        raise SystemExit(str(error)) from None


@worker_ready.connect
def start_heartbeat(**_: Any) -> None:
    threading.Thread(target=_beat, name="heartbeat", daemon=True).start()


@worker_shutting_down.connect
def stop(**_: Any) -> None:
    """The heartbeat ends, and whoever sends finishes and writes down what is in hand."""
    _stopping.set()
    stopping.stop()


def _beat() -> None:
    """Look for what is due until the worker stops; an outage only makes the next look later."""
    from django.conf import settings

    from newsletter.models import Campaign

    # A release may have brought other rules of time zones.
    _attempt(Campaign.objects.reckon)
    while not _stopping.wait(settings.HEARTBEAT):
        for look in _looks():
            _attempt(look)


def _looks() -> list[Callable[[], object]]:
    """One that stumbles must not hold up the others."""
    from newsletter.tasks import look_for_bounces, look_for_due_campaigns, look_for_reports
    from subscribers.tasks import (
        look_for_due_letters,
        look_for_readers_to_ask,
        look_for_the_end_of_an_attack,
        look_for_unknown_domains,
        look_for_unsealed_consents,
        look_for_what_was_kept_long_enough,
    )

    return [
        look_for_due_letters,
        look_for_due_campaigns,
        look_for_reports,
        look_for_bounces,
        look_for_unsealed_consents,
        look_for_readers_to_ask,
        look_for_what_was_kept_long_enough,
        look_for_the_end_of_an_attack,
        look_for_unknown_domains,
    ]


def _attempt(look: Callable[[], object]) -> None:
    from django.db import DatabaseError, connection
    from kombu.exceptions import OperationalError

    from newsletter import outages

    try:
        look()
        outages.answered()
    except DatabaseError as error:
        outages.failed()
        logger.warning("The heartbeat missed a beat: %s", error)
        connection.close()
    except OperationalError as error:
        logger.warning("The heartbeat missed a beat: %s", error)
    except Exception:
        # Ours, so loudly; but a worker whose heart stopped would be deaf without a sign of it.
        logger.exception("The heartbeat stumbled")
