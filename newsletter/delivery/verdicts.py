"""What an outcome comes to in the books: a row of the ledger, a deferral, or a place in line."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from django.utils import timezone

from newsletter.content import Reader
from newsletter.delivery import pauses
from newsletter.delivery.outcomes import Fate, Outcome
from newsletter.delivery.windows import Window
from newsletter.models import Batch, Bounce, Campaign, Deferral, Delivery
from newsletter.models.batches import Learnt
from newsletter.models.deliveries import LedgerRow

Status = Delivery.Status

_FIRST_PAUSE = timedelta(minutes=1)
# Whoever refuses us by policy is asked once more, when it has become clear whether it is them.
_SECOND_THOUGHTS = timedelta(minutes=10)
_FOR_GOOD = {
    Fate.SENT: Status.SENT,
    Fate.FAILED: Status.FAILED,
    Fate.NO_MAILBOX: Status.FAILED,
    Fate.UNCERTAIN: Status.UNCERTAIN,
}


class Verdicts:
    """Over the readers of one batch. `deferred` are those of them who were tried before;
    `is_parked` says whether a reader's house refuses everybody by this mailer."""

    def __init__(
        self,
        batch: Batch,
        deferred: dict[int, Deferral],
        is_parked: Callable[[Reader, str], bool],
    ) -> None:
        self._batch = batch
        self._deferred = deferred
        self._is_parked = is_parked
        self._repeats = batch.campaign.if_uncertain == Campaign.IfUncertain.REPEAT

    def enter(self, answers: "Sequence[Answer]", window: Window) -> int:
        """Write these into the window; how many were never handed over, and are taken again."""
        returned = 0
        for outcome, row, mailer in answers:
            if outcome.fate is Fate.RETURNED:
                returned += 1
            elif self._is_for_good(outcome, mailer):
                window.rows.append(_entered(outcome, row))
                self._settle(row.subscriber, window)
                if outcome.fate is Fate.NO_MAILBOX:
                    window.bounces.append(self._bounce(outcome, mailer))
            else:
                window.deferrals.append(self._deferral(outcome))
        return returned

    def skip(self, rows: Iterable[LedgerRow], window: Window) -> None:
        """Those who may not be mailed any more."""
        for row in rows:
            window.rows.append(row)
            self._settle(row.subscriber, window)

    def learnt(self, answers: "Sequence[Answer]") -> Learnt:
        """What is certain of these, and who certainly did not get it."""
        learnt = Learnt([], [], [])
        for outcome, row, mailer in answers:
            if outcome.fate is Fate.UNCERTAIN:
                continue
            if self._is_for_good(outcome, mailer):
                learnt.rows.append(_entered(outcome, row))
            else:
                learnt.returned.append(row.subscriber)
            if outcome.fate is Fate.NO_MAILBOX:
                learnt.bounces.append(self._bounce(outcome, mailer))
        return learnt

    def _is_for_good(self, outcome: Outcome, mailer: str) -> bool:
        if outcome.fate is Fate.REFUSED:
            before = self._deferred.get(outcome.reader.subscriber_id)
            is_second = before is not None and before.code.startswith("5")
            # Whoever is refused where all are is not to blame.
            return is_second and not self._is_parked(outcome.reader, mailer)
        if outcome.fate is Fate.UNCERTAIN:
            return not self._repeats
        return outcome.fate in _FOR_GOOD

    def _settle(self, subscriber: int, window: Window) -> None:
        if subscriber in self._deferred:
            window.settled.append(subscriber)

    def _deferral(self, outcome: Outcome) -> Deferral:
        subscriber = outcome.reader.subscriber_id
        before = self._deferred.get(subscriber)
        attempts = before.attempts + 1 if before else 1
        first = _SECOND_THOUGHTS if outcome.fate is Fate.REFUSED else _FIRST_PAUSE
        pause = max(pauses.growing(first, attempts), outcome.rest or pauses.NONE)
        return Deferral(
            batch=self._batch,
            campaign_id=self._batch.campaign_id,
            subscriber_id=subscriber,
            attempts=attempts,
            due_at=timezone.now() + min(pause, pauses.LONGEST),
            code=outcome.code[:20],
            text=outcome.text[:500],
        )

    def _bounce(self, outcome: Outcome, mailer: str) -> Bounce:
        reader = outcome.reader
        return Bounce.of(
            reader.address,
            reader.mailbox_provider,
            subscriber_id=reader.subscriber_id,
            campaign_id=self._batch.campaign_id,
            mailer=mailer,
            code=outcome.code[:20],
            text=outcome.text[:500],
            at=timezone.now(),
        )


# An outcome, the row it had in hand, and by which mailer it went.
type Answer = tuple[Outcome, LedgerRow, str]


def _entered(outcome: Outcome, row: LedgerRow) -> LedgerRow:
    return LedgerRow(
        row.subscriber,
        row.mailing_list,
        row.version,
        _FOR_GOOD.get(outcome.fate, Status.FAILED),
        outcome.code,
        outcome.text,
        outcome.provider_id,
    )
