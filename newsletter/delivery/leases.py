"""Keeping a batch ours while its readers are with the transport."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from django.db import DatabaseError, connection

from newsletter.models import Batch
from newsletter.models.batches import LEASE, LeaseLostError

logger = logging.getLogger(__name__)

RENEWAL = 5.0


class Lease:
    """Renewed beside the work, as one slow server can outlast it; lost when it cannot be.

    Whether it is still ours we tell by our own clock, counted from before the database was last
    asked: a worker that slept, or is cut off, stops by itself before another may begin.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._ours_until = batch.claimed_at + LEASE.total_seconds()
        self._is_lost = False
        self._over = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._renewal.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._renewal.join()

    def is_ours(self) -> bool:
        return not self._is_lost and time.monotonic() < self._ours_until

    def lose(self) -> None:
        """It is known to be another's: nothing more may be handed over under it."""
        self._is_lost = True

    def renewed(self, asked_at: float) -> None:
        """The database was asked at this moment of our clock, and said yes."""
        self._ours_until = max(self._ours_until, asked_at + LEASE.total_seconds())

    def _renew(self) -> None:
        while not self._over.wait(RENEWAL):
            asked_at = time.monotonic()
            # While windows are written one after the other, each of them renews it.
            if self._ours_until - asked_at > LEASE.total_seconds() - RENEWAL / 2:
                continue
            try:
                self._batch.renew()
            except LeaseLostError:
                self.lose()
                break
            except DatabaseError as error:
                logger.warning("A lease could not be renewed: %s", error)
                connection.close()
            else:
                self.renewed(asked_at)
        connection.close()
