"""Working off a batch: window by window, until its readers are accounted for or we must stop."""

import logging
import random
import time
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now
from django.utils import timezone

from newsletter import stopping
from newsletter.content import Mailing, Reader
from newsletter.delivery import audience, windows
from newsletter.delivery.leases import Lease
from newsletter.delivery.outcomes import (
    Message,
    Outcome,
    SendersFaultError,
    TransportError,
    UnreachableError,
)
from newsletter.delivery.transports import Transports
from newsletter.delivery.windows import Window, insist
from newsletter.models import Batch, Campaign, Deferral, Delivery, Version
from newsletter.models.deliveries import LeaseLostError

logger = logging.getLogger(__name__)

# How many are looked at in one window where nobody of the last could be mailed.
_PIECE = 500
_NONE = timedelta(0)
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_FIRST_REST = timedelta(seconds=5)
_LONGEST_REST = timedelta(minutes=5)


def send(batch: Batch, transports: Transports) -> None:
    """Hand over to the readers of a batch that this worker has claimed."""
    try:
        with Lease(batch) as lease:
            _Walk(batch, transports, lease).go()
    except LeaseLostError as error:
        logger.warning("Stopped: %s", error)


class _Walk:
    """A batch's readers in their order, those first whose deferral is due."""

    def __init__(self, batch: Batch, transports: Transports, lease: Lease) -> None:
        self._batch = batch
        self._transports = transports
        self._lease = lease
        self._versions = _versions(batch.campaign)
        self._lists = list(self._versions)
        self._mailings = {key: Mailing(version) for key, version in self._versions.items()}
        self._mailers = {key: mailer(version) for key, version in self._versions.items()}
        self._in_hand = min(transports[mailer].in_hand for mailer in self._mailers.values())
        self._piece = self._in_hand
        self._deferred = {row.subscriber_id: row for row in batch.deferrals.due()}
        self._left = deque([*self._deferred, *batch.readers_left()])
        self._position = batch.position
        self._is_late = False
        self._trouble: TransportError | None = None

    def go(self) -> None:
        window = Window(position=self._position)
        while self._left and self._may_go_on():
            hand = self._move(window)
            window = self._recorded(hand, self._hand_over(hand))
        self._leave(window)

    def _may_go_on(self) -> bool:
        """Asked before every window; what is in hand by then is finished and written down."""
        if stopping.is_stopping() or self._trouble or not self._lease.is_ours():
            return False
        return insist(self._is_sending)

    def _is_sending(self) -> bool:
        late = ExpressionWrapper(Q(send_until__lt=Now()), output_field=BooleanField())
        sending = Campaign.objects.sending().filter(pk=self._batch.campaign_id)
        is_late = sending.annotate(is_late=late).values_list("is_late", flat=True).first()
        self._is_late = bool(is_late)
        return is_late is not None

    def _move(self, window: Window) -> list[Reader]:
        """Write the window, with the next readers in hand; they may be handed over then."""
        hand = insist(lambda: self._fill(window))
        asked_at = time.monotonic()
        insist(lambda: windows.move(self._batch, window))
        self._lease.renewed(asked_at)
        return hand

    def _fill(self, window: Window) -> list[Reader]:
        """Take the next who may be mailed in hand, and pass over those before who may not."""
        piece = list(islice(self._left, self._piece))
        readers = {} if self._is_late else audience.mailable(piece, self._lists)
        hand: list[Reader] = []
        passed: list[int] = []
        for subscriber in piece:
            if subscriber not in readers:
                passed.append(subscriber)
            elif len(hand) < self._in_hand:
                hand.append(readers[subscriber])
            else:
                break
        window.deliveries += self._skipped(passed)
        window.settled += [subscriber for subscriber in passed if subscriber in self._deferred]
        window.hand = [self._in_writing(reader) for reader in hand]
        window.position = self._take(len(hand) + len(passed))
        # Where nobody can be mailed, look further ahead at once.
        self._piece = self._in_hand if hand else _PIECE
        return hand

    def _skipped(self, passed: list[int]) -> list[Delivery]:
        if not passed:
            return []
        why = audience.reasons(passed, self._lists)
        gone = (Delivery.Reason.ERASED, self._lists[0])
        deliveries = []
        for subscriber in passed:
            reason, mailing_list = why.get(subscriber, gone)
            reason = Delivery.Reason.EXPIRED if self._is_late else reason
            deliveries.append(
                self._delivery(subscriber, mailing_list, Delivery.Status.SKIPPED, code=reason)
            )
        return deliveries

    def _in_writing(self, reader: Reader) -> tuple[int, int, int]:
        version = self._versions[reader.mailing_list_id]
        return reader.subscriber_id, reader.mailing_list_id, version.pk

    def _take(self, count: int) -> int:
        for _ in range(count):
            # Who was deferred lies behind us already.
            self._position = max(self._position, self._left.popleft())
        return self._position

    def _hand_over(self, hand: list[Reader]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for mailer in dict.fromkeys(self._mailers.values()):
            try:
                for outcome in self._transports[mailer].hand_over(self._messages(hand, mailer)):
                    outcomes.append(outcome)  # noqa: PERF402  What came before an error counts.
            except TransportError as error:
                self._trouble = error
                break
        return outcomes

    def _messages(self, hand: list[Reader], mailer: str) -> Iterator[Message]:
        """One by one, as the transport comes for them; none once the batch may be another's."""
        for reader in hand:
            if self._mailers[reader.mailing_list_id] == mailer and self._lease.is_ours():
                mailing = self._mailings[reader.mailing_list_id]
                yield Message(mailing, reader, self._batch.campaign_id)

    def _recorded(self, hand: list[Reader], outcomes: list[Outcome]) -> Window:
        """What became of those who were in hand; whoever has no outcome goes back."""
        window = Window(position=self._position)
        left = {reader.subscriber_id for reader in hand}
        for outcome in outcomes:
            subscriber = outcome.reader.subscriber_id
            left.discard(subscriber)
            if outcome.status is None:
                window.deferrals.append(self._deferral(outcome))
                continue
            window.deliveries.append(self._outcome(outcome, outcome.status))
            if subscriber in self._deferred:
                window.settled.append(subscriber)
        window.deferrals += [self._returned(subscriber) for subscriber in sorted(left)]
        return window

    def _outcome(self, outcome: Outcome, status: Delivery.Status) -> Delivery:
        return self._delivery(
            outcome.reader.subscriber_id,
            outcome.reader.mailing_list_id,
            status,
            code=outcome.code,
            text=outcome.text,
            provider_id=outcome.provider_id,
        )

    def _delivery(
        self, subscriber: int, mailing_list: int, status: Delivery.Status, **answer: str
    ) -> Delivery:
        return Delivery(
            campaign_id=self._batch.campaign_id,
            subscriber_id=subscriber,
            mailing_list_id=mailing_list,
            version_id=self._versions[mailing_list].pk,
            status=status,
            at=timezone.now(),
            **answer,
        )

    def _deferral(self, outcome: Outcome) -> Deferral:
        subscriber = outcome.reader.subscriber_id
        before = self._deferred.get(subscriber)
        attempts = before.attempts + 1 if before else 1
        pause = max(_growing(_FIRST_PAUSE, attempts, _LONGEST_PAUSE), outcome.rest or _NONE)
        return Deferral(
            batch=self._batch,
            campaign_id=self._batch.campaign_id,
            subscriber_id=subscriber,
            attempts=attempts,
            due_at=timezone.now() + min(pause, _LONGEST_PAUSE),
            code=outcome.code[:20],
            text=outcome.text[:500],
        )

    def _returned(self, subscriber: int) -> Deferral:
        """Never handed over: due at once, and no attempt is counted."""
        before = self._deferred.get(subscriber)
        return Deferral(
            batch=self._batch,
            campaign_id=self._batch.campaign_id,
            subscriber_id=subscriber,
            attempts=before.attempts if before else 0,
            due_at=timezone.now(),
            text=str(self._trouble or "")[:500],
        )

    def _leave(self, window: Window) -> None:
        if not self._left and self._trouble is None:
            insist(lambda: windows.finish(self._batch, window))
            return
        rest = self._rest()
        insist(lambda: windows.release(self._batch, window, rest))
        if isinstance(self._trouble, SendersFaultError):
            self._batch.campaign.pause(str(self._trouble))

    def _rest(self) -> timedelta:
        """How long the batch lies: as they asked who did not take our mail, else ever longer."""
        if not isinstance(self._trouble, UnreachableError):
            return _NONE
        rest = _growing(_FIRST_REST, self._batch.attempts, _LONGEST_REST)
        return min(max(rest, self._trouble.rest or _NONE), _LONGEST_PAUSE)


def _versions(campaign: Campaign) -> dict[int, Version]:
    """What each list gets, in the paper's order of lists: the first that may mail a reader does."""
    versions = campaign.versions.current().select_related(
        "campaign__publication",
        "mailing_list__sender",
        "mailing_list__publication__sender",
    )
    ordered = versions.order_by("mailing_list__position", "mailing_list__name")
    return {version.mailing_list_id: version for version in ordered}


def mailer(version: Version) -> str:
    sender = version.mailing_list.effective_sender
    return sender.mailer if sender else "default"


def _growing(first: timedelta, attempts: int, longest: timedelta) -> timedelta:
    """Twice as long each time, and never quite the same: they must not all come back at once."""
    doubled = min(first * 2 ** min(attempts - 1, 20), longest) if attempts > 1 else first
    return doubled * random.uniform(0.75, 1.25)  # noqa: S311  Jitter, not a secret.
