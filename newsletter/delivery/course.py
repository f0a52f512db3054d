"""How a campaign stands while one of its batches is walked: looked at again every half second."""

import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext

from newsletter.content import Reader
from newsletter.delivery.limits import Limits
from newsletter.delivery.outcomes import Fate, Message, Outcome, TransportError, UnreachableError
from newsletter.delivery.routes import Routes
from newsletter.delivery.verdicts import Answer
from newsletter.delivery.windows import ask
from newsletter.delivery.wordings import Wordings
from newsletter.models import Batch, Campaign, Deferral, Delivery
from newsletter.models.deliveries import LedgerRow
from newsletter.models.parkings import house

if TYPE_CHECKING:
    from newsletter.delivery.workers import Worker

# Pausing, cancelling and correcting take hold within two seconds.
_LOOK = 0.5
# After so long, others who wait in line come first.
_TURN = 5.0
# So many in a row of whom nobody knows whether they got it: a call or two, or a hand.
_SILENCE = 50


class Course:
    """What a walk asks before it takes more readers in hand."""

    wordings: Wordings

    def __init__(self, batch: Batch, worker: "Worker") -> None:
        self._batch = batch
        self._worker = worker
        self._began_at = time.monotonic()
        self._looked_at = 0.0
        self._unanswered: Counter[str] = Counter()
        self._is_sending = self.is_late = self.gives_way = False
        self._routes = Routes()

    def readers(self) -> tuple[dict[int, Deferral], list[int]]:
        """Of this batch: who was tried before and is due, and whom the walk has not come to."""
        deferred = {row.subscriber_id: row for row in self._batch.deferrals.due()}
        return deferred, self._batch.readers_left()

    def goes_on(self) -> bool:
        """Whether the campaign is being sent, is still news, nobody has to come first, and some
        mailer takes its mail."""
        if time.monotonic() - self._looked_at > _LOOK:
            self._look()
        is_on = self._is_sending and not self.is_late and not self.gives_way
        return is_on and not self._routes.holding

    def stop(self) -> None:
        """It was just told to stop: no need to look."""
        self._is_sending = False

    @property
    def in_hand(self) -> int:
        """How many readers may be with the transport at once."""
        return min(self._worker.transports[mailer].in_hand for mailer in self._routes.mailers)

    @property
    def call(self) -> int:
        """How many readers the transport best takes together."""
        return min(self._worker.transports[mailer].call for mailer in self._routes.mailers)

    def mailable(self, subscribers: list[int]) -> dict[int, Reader]:
        return self.wordings.audience.mailable(subscribers)

    def skipped(self, subscribers: list[int]) -> dict[int, LedgerRow]:
        """Why these may not be mailed, as the ledger will have it."""
        found = self.wordings.audience.reasons(subscribers)
        erased = (str(Delivery.Reason.ERASED), self.wordings.first_list)
        rows = {}
        for subscriber in subscribers:
            reason, mailing_list = found.get(subscriber, erased)
            version = self.wordings.of(mailing_list).version_id
            rows[subscriber] = LedgerRow(
                subscriber, mailing_list, version, Delivery.Status.SKIPPED, reason
            )
        return rows

    def later(self, reader: Reader) -> datetime | None:
        """When this reader may be mailed, if not now: at their hour, or when their mailer or their
        provider may be tried again."""
        now = timezone.now()
        if self._batch.campaign.at_readers_hour:
            due_at = self._batch.campaign.due_for(reader.time_zone)
            if due_at > now:
                return due_at
        if until := self._routes.take(reader):
            return until
        standing = self._worker.standing(self.mailer(reader))
        if not (parked := standing.parked(now)) or standing.may_take(reader, now):
            return None
        self._routes.drop(reader)
        until = parked[house(reader.mailbox_provider, reader.address)]
        return max(until, now + timedelta(seconds=1))

    def is_parked(self, reader: Reader, mailer: str) -> bool:
        """Whether their provider refuses everybody, whoever of its readers is tried as a probe."""
        parked = self._worker.standing(mailer).parked(timezone.now())
        return house(reader.mailbox_provider, reader.address) in parked

    def row(self, reader: Reader) -> LedgerRow:
        """What the ledger will say if all goes well."""
        version = self.wordings.to(reader).version_id
        return LedgerRow(
            reader.subscriber_id, reader.mailing_list_id, version, Delivery.Status.SENT
        )

    def messages(self, readers: Iterable[Reader]) -> dict[str, list[Message]]:
        """By mailer."""
        messages: dict[str, list[Message]] = {}
        for reader in readers:
            mailing = self.wordings.to(reader).mailing
            message = Message(mailing, reader, self._batch.campaign_id)
            messages.setdefault(self.mailer(reader), []).append(message)
        return messages

    def mailer(self, reader: Reader) -> str:
        """By which this one, once chosen, goes."""
        return self._routes.mailer(reader)

    def look_at(self, answers: list[Answer]) -> str:
        """What these answers say about us: words if the campaign has to pause."""
        now = timezone.now()
        by_mailer: dict[str, list[Outcome]] = {}
        for outcome, _row, mailer in answers:
            by_mailer.setdefault(mailer, []).append(outcome)
        # The same list each time it is asked again, or it would be counted twice.
        words = [self._noted(mailer, outcomes, now) for mailer, outcomes in by_mailer.items()]
        for mailer, outcomes in by_mailer.items():
            self._welcome(mailer, [one.reader for one in outcomes if one.fate is Fate.SENT])
        return " ".join(filter(None, words))

    def silences(self, answers: list[Answer]) -> list[UnreachableError]:
        """Of mailers that take mail and leave us without an answer, again and again: whoever else
        was handed over to them would be as uncertain."""
        for outcome, _row, mailer in answers:
            if _is_no_answer(outcome):
                self._unanswered[mailer] += 1
            elif outcome.fate is not Fate.RETURNED:
                self._unanswered[mailer] = 0
        return [
            _silence(mailer)
            for mailer, count in self._unanswered.items()
            if count >= _SILENCE or (count and self._routes.is_down(mailer))
        ]

    def _noted(self, mailer: str, outcomes: list[Outcome], now: datetime) -> str:
        return ask(lambda: self._worker.standing(mailer).note(outcomes, now))

    def _welcome(self, mailer: str, readers: list[Reader]) -> None:
        if readers:
            ask(lambda: self._routes.succeeded(mailer, readers))

    def part(self, troubles: Iterable[TransportError]) -> None:
        """The walk is over: what it learnt of the mailers, all shall know."""
        for trouble in troubles:
            ask(partial(self._routes.failed, trouble))
        ask(self._routes.leave)

    @property
    def held_by(self) -> str:
        """The mailer that nobody can go without, as it is down; blank if some can."""
        row = self._routes.holding
        return row.mailer if row else ""

    def rest(self) -> timedelta:
        """How long it holds them."""
        return self._routes.rest()

    def is_down(self, mailer: str) -> bool:
        return self._routes.is_down(mailer)

    @property
    def locked_out(self) -> str:
        """Words, if the campaign has to pause: a mailer lets us not in, and none takes over."""
        row = self._routes.locked_out
        return row.said if row else ""

    def drop(self, reader: Reader) -> None:
        """This one, chosen a moment ago, is not handed over now."""
        self._worker.standing(self.mailer(reader)).drop(reader)
        self._routes.drop(reader)

    def give_back(self, answers: list[Answer]) -> None:
        """What the limits had granted those who were not handed over."""
        unused: dict[str, Counter[str]] = {}
        for outcome, _row, mailer in answers:
            if outcome.fate is Fate.RETURNED:
                unused.setdefault(mailer, Counter())[outcome.reader.mailbox_provider] += 1
        for mailer, tokens in unused.items():
            self._worker.limits.give_back(mailer, tokens)

    def rates(self, readers: list[Reader]) -> "Rates | None":
        """How many of these the rate limits allow now; None if there are no limits."""
        limits = self._worker.limits
        wanted: dict[str, Counter[str]] = {}
        for reader in readers:
            mailer = self.mailer(reader)
            wanted.setdefault(mailer, Counter())[reader.mailbox_provider] += 1
        if not any(limits.is_limiting(mailer) for mailer in wanted):
            return None
        return Rates(self, limits, wanted)

    def _look(self) -> None:
        late = ExpressionWrapper(Q(send_until__lt=Now()), output_field=BooleanField())
        sending = Campaign.objects.sending().filter(pk=self._batch.campaign_id)
        row = sending.annotate(late=late).values_list("late", "is_breaking").first()
        self._is_sending = row is not None
        self.is_late = bool(row and row[0])
        self.gives_way = bool(row) and self._must_give_way(is_breaking=bool(row and row[1]))
        self._refresh_wordings()
        self._routes.look(self.wordings.lists)
        self._looked_at = time.monotonic()

    def _refresh_wordings(self) -> None:
        current = self._batch.campaign.versions.current().values_list("pk", flat=True)
        self.wordings = self._worker.wordings(self._batch.campaign, set(current))

    def _must_give_way(self, *, is_breaking: bool) -> bool:
        others = Batch.objects.ready().exclude(campaign=self._batch.campaign_id)
        if not is_breaking and others.filter(campaign__is_breaking=True).exists():
            return True
        peers = others.filter(campaign__is_breaking=is_breaking)
        return time.monotonic() - self._began_at > _TURN and peers.exists()


def _is_no_answer(outcome: Outcome) -> bool:
    """A provider's own failure (500) of all of a call says as little; SMTP defers by 4xx."""
    is_broken = outcome.fate is Fate.DEFERRED and outcome.code.startswith("5")
    return outcome.fate is Fate.UNCERTAIN or is_broken


def _silence(mailer: str) -> UnreachableError:
    silence = UnreachableError(gettext("It does not say what becomes of the mail it is given."))
    silence.mailer = mailer
    return silence


class Rates:
    """What the limits granted some readers, taken one by one."""

    def __init__(self, course: Course, limits: Limits, wanted: dict[str, Counter[str]]) -> None:
        self._course = course
        self._limits = limits
        self._grants = {mailer: limits.take(mailer, count) for mailer, count in wanted.items()}
        self._left = {mailer: Counter(grant.granted) for mailer, grant in self._grants.items()}
        # Seconds until a mailer that is used up gives a token again.
        self.wait = 0.0

    def allow(self, reader: Reader) -> bool:
        mailer, provider = self._course.mailer(reader), reader.mailbox_provider
        if self._left[mailer][provider] <= 0:
            return False
        self._left[mailer][provider] -= 1
        return True

    def again_in(self, reader: Reader) -> float | None:
        """Seconds until their provider is asked again; None if all have to wait for the mailer."""
        grant = self._grants[self._course.mailer(reader)]
        seconds: float | None = grant.again_in.get(reader.mailbox_provider)
        if seconds is None:
            self.wait = max(self.wait, grant.mailer_again_in or 0.0)
        return seconds

    def give_back(self) -> None:
        """What was granted to readers whom nobody came to."""
        for mailer, left in self._left.items():
            if unused := +left:
                self._limits.give_back(mailer, unused)
