"""What follows from mail that came back: events recorded, subscriptions ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from newsletter.models import Event
from newsletter.models.events import Report
from newsletter.receivers.mail.ours import Ours
from newsletter.receivers.mail.reading import Kind, Reading
from subscribers.models import Consent, Evidence, Letter, Subscriber, Subscription

# A report that says to be older than servers keep trying has no date.
_OLDEST = timedelta(days=7)
_REPORTED = {
    Kind.BOUNCE: ("dsn", Event.Kind.BOUNCED),
    Kind.DELAY: ("dsn", Event.Kind.DEFERRED),
    Kind.RECEIPT: ("dsn", Event.Kind.DELIVERED),
    Kind.COMPLAINT: ("arf", Event.Kind.COMPLAINED),
    Kind.OPT_OUT: ("arf", Event.Kind.UNSUBSCRIBED),
}


def take_in(readings: Sequence[Reading]) -> None:
    """Do what follows from these, in one transaction; those that are no reports are passed over.

    Twice is as good as once, also at the same time.
    """
    arrivals = _Arrivals([reading for reading in readings if reading.is_report])
    with transaction.atomic():
        Event.objects.record(arrivals.reports())
        for subscriber, mailing_list, evidence in arrivals.ways_out():
            Subscription.objects.leave(subscriber, mailing_list, evidence)
        for letter, answer in arrivals.letters():
            letter.came_back(answer)


class _Arrivals:
    """Reports of mail of ours, beside the readers whom they are about."""

    def __init__(self, readings: list[Reading]) -> None:
        self._now = timezone.now()
        self._readings = readings
        ours = [reading.ours for reading in readings if reading.ours]
        self._letters = Letter.objects.in_bulk({one.letter for one in ours if one.letter})
        people = {one.subscriber for one in ours}
        people |= {letter.subscriber_id or 0 for letter in self._letters.values()}
        self._readers = Subscriber.objects.in_bulk(people)

    def reports(self) -> list[Report]:
        made = [self._report(reading) for reading in self._readings]
        return [report for report in made if report]

    def ways_out(self) -> list[tuple[int, int, Evidence]]:
        """Who leaves which list; in one order for all, as each is locked."""
        leaving = {
            (reading.ours.subscriber, reading.ours.mailing_list): _evidence(reading)
            for reading in self._readings
            if reading.ours and _is_way_out(reading)
        }
        return [(*between, leaving[between]) for between in sorted(leaving)]

    def letters(self) -> list[tuple[Letter, str]]:
        """Those that bounced, each with the answer."""
        return [
            (self._letters[reading.ours.letter], f"{reading.code} {reading.text}".strip())
            for reading in self._readings
            if reading.kind is Kind.BOUNCE and reading.ours and reading.ours.letter in self._letters
        ]

    def _report(self, reading: Reading) -> Report | None:
        subscriber = self._subscriber(reading)
        if reading.kind not in _REPORTED or not subscriber or not reading.ours:
            return None
        # Whoever was forwarded a mail has its links: they take off a list, and prove nothing else.
        if reading.kind is Kind.BOUNCE and reading.ours.is_by_way_out:
            return None
        if _is_way_out(reading) or self._is_of_another_address(reading, subscriber):
            return None
        reader = self._readers.get(subscriber)
        source, kind = _REPORTED[reading.kind]
        return Report(
            source=source,
            event_id=_event_id(reading, reading.ours),
            kind=kind,
            at=self._at(reading.at),
            campaign=reading.ours.campaign,
            subscriber=subscriber,
            # Never an address that only the mail names: anybody could write another's there.
            address=str(reader.address) if reader else "",
            code=reading.code,
            text=reading.text,
        )

    def _subscriber(self, reading: Reading) -> int:
        """Whom it was sent to; 0 for nobody: a test mail, or a reader who is forgotten."""
        if not reading.ours:
            return 0
        letter = self._letters.get(reading.ours.letter)
        return (letter.subscriber_id or 0) if letter else reading.ours.subscriber

    def _is_of_another_address(self, reading: Reading, subscriber: int) -> bool:
        """What we sent to an address that the reader has no more says nothing of the new one."""
        reader = self._readers.get(subscriber)
        sent_to = reading.address
        return bool(
            reader
            and sent_to
            and reading.kind is Kind.BOUNCE
            and sent_to.lower() != reader.address.lower()
        )

    def _at(self, at: datetime | None) -> datetime:
        return at if at and self._now - _OLDEST <= at <= self._now else self._now


def _is_way_out(reading: Reading) -> bool:
    """The token names the list: no ledger is asked, and a letter has none."""
    return bool(
        reading.kind is Kind.UNSUBSCRIBE
        or (reading.kind is Kind.OPT_OUT and reading.ours and not reading.ours.campaign)
    )


def _evidence(reading: Reading) -> Evidence:
    is_mail = reading.kind is Kind.UNSUBSCRIBE
    campaign = reading.ours.campaign if reading.ours else 0
    return Evidence(
        method=Consent.Method.MAIL if is_mail else Consent.Method.REPORT,
        source=f"campaign:{campaign}" if campaign else "",
    )


def _event_id(reading: Reading, ours: Ours) -> str:
    """One for all that says the same of one message of ours: also two servers, or two mails."""
    about = f"letter:{ours.letter}" if ours.letter else f"{ours.campaign}:{ours.subscriber}"
    # Of a delay there may be several.
    return f"{about}:{reading.digest if reading.kind is Kind.DELAY else reading.kind}"
