"""One step of a batch: what became of those in hand, and who is in hand next."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Min
from django.db.models.functions import Now

from newsletter import stopping
from newsletter.models import Batch, Deferral, Delivery
from newsletter.models.deliveries import LEASE

logger = logging.getLogger(__name__)

# SQLite has one writer: without a gap between windows a sign-up waits for seconds.
_GAP = 0.001
_PATIENCE = 0.5


@dataclass
class Window:
    """Decided once: where nobody knows whether it was written, it is written again as it is."""

    deliveries: list[Delivery] = field(default_factory=list)
    deferrals: list[Deferral] = field(default_factory=list)
    # Who was deferred before, and is accounted for now.
    settled: list[int] = field(default_factory=list)
    # [subscriber, mailing list, version] each.
    hand: list[tuple[int, int, int]] = field(default_factory=list)
    position: int = 0


def move(batch: Batch, window: Window) -> None:
    """Write the window. Only when this returns may those in hand be handed over.

    Raises LeaseLostError if the batch is no longer ours: then nothing of it was written.
    """
    progress = {"attempts": 0} if window.deliveries else {}
    with transaction.atomic():
        batch.change(
            position=window.position,
            in_hand=window.hand,
            lease_until=Now() + LEASE,
            **progress,
        )
        _enter(batch, window)
    if connection.vendor == "sqlite":
        time.sleep(_GAP)


def release(batch: Batch, window: Window, rest: timedelta) -> None:
    """Write the last window, and let others go on with the batch after that time."""
    later = {"due_at": Now() + rest} if rest else {}
    with transaction.atomic():
        batch.change(position=window.position, in_hand=[], lease_until=None, **later)
        _enter(batch, window)


def finish(batch: Batch, window: Window) -> None:
    """Write the last window; the batch is visited again only for those it deferred."""
    with transaction.atomic():
        batch.change(position=window.position, in_hand=[], lease_until=None)
        _enter(batch, window)
        next_visit = batch.deferrals.aggregate(at=Min("due_at"))["at"]
        batch.change(**({"due_at": next_visit} if next_visit else {"finished_at": Now()}))


def _enter(batch: Batch, window: Window) -> None:
    Delivery.objects.add(window.deliveries)
    if window.deferrals:
        Deferral.objects.put(window.deferrals)
    if window.settled:
        batch.deferrals.filter(subscriber__in=window.settled).delete()


def insist[T](step: Callable[[], T]) -> T:
    """Do it, again and again while the database is away: what we know must not be lost."""
    while True:
        try:
            return step()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or stopping.is_stopping():
                raise
            logger.warning("The database is away, we wait for it: %s", error)
            connection.close()
            time.sleep(_PATIENCE)
