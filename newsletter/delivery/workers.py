"""What a worker keeps from batch to batch: connections, wordings, limits, and how we stand."""

import logging
from contextlib import suppress
from types import TracebackType
from typing import Self

from newsletter.delivery.leases import Lease
from newsletter.delivery.limits import Limits
from newsletter.delivery.standing import Standing
from newsletter.delivery.transports import Transports
from newsletter.delivery.walks import Walk
from newsletter.delivery.windows import StoppedError, insist
from newsletter.delivery.wordings import Wordings
from newsletter.models import Batch, Campaign
from newsletter.models.batches import LeaseLostError

logger = logging.getLogger(__name__)


class Worker:
    """One for each thread that sends."""

    def __init__(self) -> None:
        self.transports = Transports()
        self.limits = Limits()
        self._standings: dict[str, Standing] = {}
        self._wordings: Wordings | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.transports.__exit__(kind, error, traceback)

    def send(self, batch: Batch) -> None:
        """Hand over to the readers of a batch that this worker has claimed."""
        with Lease(batch) as lease:
            walk = Walk(batch, self, lease)
            try:
                walk.go()
            except LeaseLostError as error:
                logger.warning("Stopped: %s", error)
                lease.lose()
                walk.settle()
            except StoppedError:
                logger.warning("Told to stop while the database is away.")
            except Exception as error:
                # What the transports still have they give back.
                lease.lose()
                words = f"{type(error).__name__}: {error}"
                with suppress(LeaseLostError):
                    insist(lambda: batch.fail(words))
                raise

    def wordings(self, campaign: Campaign, version_ids: set[int]) -> Wordings:
        """Of this campaign as it is now; compiled messages are taken apart once, not per batch."""
        kept = self._wordings
        if kept and kept.campaign_id == campaign.pk and kept.version_ids == version_ids:
            return kept
        self._wordings = Wordings(campaign)
        return self._wordings

    def standing(self, mailer: str) -> Standing:
        if mailer not in self._standings:
            self._standings[mailer] = Standing(mailer)
        return self._standings[mailer]
