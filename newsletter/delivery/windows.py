"""One step of a batch: what became of those in hand, and who is in hand next."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.db.models.functions import Now

from newsletter import outages, stopping
from newsletter.models import Batch, Bounce, Deferral, Delivery
from newsletter.models.batches import LEASE, LeaseLostError
from newsletter.models.deliveries import LedgerRow
from newsletter.models.prepared import fetched

logger = logging.getLogger(__name__)

# SQLite has one writer: without a gap between windows a sign-up waits for seconds.
_GAP = 0.001
_PATIENCE = 0.5
# PostgreSQL's codes for a server that may only be read, as after a failover until the new one has
# the old one's name, and for having ended our connection, as we slept in a transaction.
_AWAY = {"25006", "25P03"}

# [subscriber, mailing list, version]
type InHand = tuple[int, int, int]


class StoppedError(Exception):
    """Told to stop while the database was away: nothing was lost, and nothing is to be done."""


@dataclass
class Window:
    """Decided once: where nobody knows whether it was written, it is written again as it is."""

    position: int
    left_aside: int = 0
    rows: list[LedgerRow] = field(default_factory=list)
    deferrals: list[Deferral] = field(default_factory=list)
    bounces: list[Bounce] = field(default_factory=list)
    # Who was deferred before, and is accounted for now.
    settled: list[int] = field(default_factory=list)
    # All who are with the transport once it is written, and whether some are new there.
    hand: list[InHand] = field(default_factory=list)
    takes_more: bool = False
    # The mailer that all who are left wait for, as it is down.
    held_by: str = ""

    @property
    def is_plain(self) -> bool:
        return not (self.deferrals or self.bounces or self.settled)

    @property
    def says_nothing(self) -> bool:
        return not (self.rows or self.deferrals or self.takes_more)


def move(batch: Batch, window: Window) -> bool:
    """Write the window. Only when this says True may the new ones in hand be handed over.

    False if the campaign is not being sent any more, and the window would take more in hand:
    nothing of it was written then. Raises LeaseLostError if the batch is no longer ours.
    """
    if _written(batch, window):
        if window.rows:
            batch.attempts = batch.failures = 0
        return True
    if window.takes_more and _is_ours(batch):
        return False
    raise LeaseLostError(f"batch {batch.pk} was taken over")


def release(batch: Batch, window: Window, rest: timedelta, trouble: str) -> None:
    """Write the last window, and let others go on with the batch after that time."""
    later = {"due_at": Now() + rest} if rest else {}
    _close(batch, window, trouble=trouble[:500], **later)


def give_way(batch: Batch, window: Window) -> None:
    """Write the last window, and stand in line again, behind who waits already."""
    _close(batch, window, lot=batch.place_behind(), due_at=Now())


def finish(
    batch: Batch, window: Window, again_at: datetime | None, seen_until: datetime | None
) -> None:
    """Write the last window; visit it again only for those deferred or left aside.

    Of the deferred the walk saw who was due until then: if they are still there, they were left
    aside, and would make the batch due at once, again and again.
    """
    with transaction.atomic():
        _close(batch, window, trouble="")
        visits = [visit for visit in [batch.next_visit(seen_until), again_at] if visit]
        batch.change(**({"due_at": min(visits)} if visits else {"finished_at": Now()}))


def write_off(batch: Batch, window: Window, reason: str) -> None:
    """Write the last window, and skip everybody who is left."""
    with transaction.atomic():
        _close(batch, window)
        batch.write_off(reason)


def _close(batch: Batch, window: Window, **fields: Any) -> None:
    with transaction.atomic():
        progress = {"attempts": 0, "failures": 0} if window.rows else {}
        batch.change(
            position=window.position,
            left_aside=window.left_aside,
            in_hand=[],
            lease_until=None,
            held_by=window.held_by,
            **progress,
            **fields,
        )
        _enter(batch, window)


def _enter(batch: Batch, window: Window) -> None:
    Delivery.objects.add(batch.campaign_id, window.rows)
    if window.bounces:
        Bounce.objects.add(window.bounces)
    if window.deferrals:
        Deferral.objects.put(window.deferrals)
    if window.settled:
        batch.deferrals.filter(subscriber__in=window.settled).delete()


def _written(batch: Batch, window: Window) -> bool:
    """The batch's row first: whoever has it may write the rest."""
    if connection.vendor == "postgresql" and window.is_plain:
        return _written_at_once(batch, window)
    with transaction.atomic():
        won = _advance(batch, window)
        if won:
            _enter(batch, window)
    if connection.vendor == "sqlite":
        time.sleep(_GAP)
    return won


# Written by hand, as `Batch.change` would cost more than all the rest of a window.
_ADVANCE = """
    UPDATE newsletter_batch
    SET position = %s, left_aside = %s, in_hand = %s, lease_until = {lease},
        attempts = attempts * %s, failures = failures * %s
    WHERE id = %s AND token = %s
"""
_WHILE_SENDING = """
    AND EXISTS (SELECT 1 FROM newsletter_campaign WHERE id = campaign_id AND status = 'sending')
"""
_SECONDS = f"{LEASE.total_seconds():.0f} seconds"
_LEASE_UNTIL = {
    "postgresql": f"STATEMENT_TIMESTAMP() + INTERVAL '{_SECONDS}'",
    "sqlite": f"STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', '+{_SECONDS}')",
}
_TOKEN = models.UUIDField()


def _advance(batch: Batch, window: Window) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(*_statement_to_advance(batch, window))
        return bool(cursor.rowcount)


def _written_at_once(batch: Batch, window: Window) -> bool:
    """Most windows, in one statement: each statement more is a journey to the database and back."""
    advance, values = _statement_to_advance(batch, window)
    add, rows = Delivery.objects.statement_to_add(batch.campaign_id, window.rows, "advanced")
    statement = (
        f"WITH advanced AS ({advance} RETURNING id), added AS ({add})"  # noqa: S608  No value in it.
        " SELECT count(*) FROM advanced"
    )
    return bool(fetched(statement, [*values, *rows])[0][0])


def _statement_to_advance(batch: Batch, window: Window) -> tuple[str, list[Any]]:
    statement = _ADVANCE.format(lease=_LEASE_UNTIL[connection.vendor])
    kept = 0 if window.rows else 1
    values = [
        window.position,
        window.left_aside,
        json.dumps(window.hand),
        kept,
        kept,
        batch.pk,
        _TOKEN.get_db_prep_value(batch.token, connection),
    ]
    return statement + (_WHILE_SENDING if window.takes_more else ""), values


def _is_ours(batch: Batch) -> bool:
    return Batch.objects.filter(pk=batch.pk, token=batch.token).exists()


def insist[T](step: Callable[[], T]) -> T:
    """Do it, again and again while the database is away: what we know must not be lost.

    Also when told to stop: whoever cannot wait for us kills us, and loses what we know.
    """
    while True:
        try:
            return step()
        except DatabaseError as error:
            _wait_for_it(error)


def ask[T](question: Callable[[], T]) -> T:
    """The same for what is only asked. Raises StoppedError if we are to stop meanwhile."""
    while True:
        try:
            return question()
        except DatabaseError as error:
            if stopping.is_stopping() and _is_away(error):
                raise StoppedError from error
            _wait_for_it(error)


def _wait_for_it(error: DatabaseError) -> None:
    if connection.in_atomic_block or not _is_away(error):
        raise error
    outages.failed()
    logger.warning("The database is away, we wait for it: %s", error)
    connection.close()
    time.sleep(_PATIENCE)


def _is_away(error: DatabaseError) -> bool:
    code = getattr(error.__cause__, "sqlstate", None)
    return code in _AWAY or isinstance(error, (OperationalError, InterfaceError))
