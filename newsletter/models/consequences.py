"""What follows from what was reported: for the ledger, for an address, for a reader's lists."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Q

from newsletter.models.bounces import Bounce
from newsletter.models.campaigns import Campaign
from newsletter.models.deliveries import Delivery
from subscribers.models import Consent, Evidence, Subscriber, Subscription

if TYPE_CHECKING:
    from newsletter.models.events import Event


# Some providers tell the time in whole seconds, and no two clocks are the same.
_CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass
class Told:
    """An event beside what we know of its message and its reader."""

    event: "Event"
    delivery: Delivery | None
    reader: Subscriber | None

    @cached_property
    def is_readers(self) -> bool:
        """Whether it names the address that the reader has, or hides it."""
        return self.reader is not None and (
            not self.event.key or self.event.key in self.reader.mailbox.suppression_keys()
        )

    @property
    def key(self) -> str:
        """Of the address that it is about; as the reader's row has it, if it is still theirs."""
        if self.reader and self.is_readers:
            return self.reader.suppression_key
        return self.event.key

    @property
    def is_heard(self) -> bool:
        """About mail of ours, or of the reader's own address: no stranger's."""
        return bool(self.key) and (self.delivery is not None or self.is_readers)

    @property
    def evidence(self) -> Evidence:
        campaign = self.event.campaign_id
        return Evidence(
            method=Consent.Method.REPORT,
            source=f"campaign:{campaign}" if campaign else "",
            actor=self.event.source,
        )


def apply(events: "list[Event]") -> list[int]:
    """Do what follows from these; the keys of those that are done with.

    The others are about a message that is not in the ledger yet. Nobody else has these rows, and
    the caller writes down in the same transaction what is done with.
    """
    told = _told(events)
    _settle(one for one in told if one.is_readers)
    heard = [one for one in told if one.is_heard]
    Bounce.objects.add(_bounce(one) for one in heard if one.event.is_against_address)
    for one in heard:
        if one.event.is_complaint:
            Subscription.objects.complain(one.key, one.evidence)
        elif one.event.is_unsubscribe and one.delivery and one.is_readers:
            _leave(one, one.delivery)
    return [one.event.pk for one in told]


def _told(events: "list[Event]") -> list[Told]:
    """Without those that came before the row of their message."""
    deliveries = _deliveries(events)
    readers = Subscriber.objects.in_bulk([event.subscriber_id or 0 for event in events])
    missing = {event.campaign_id or 0 for event in events if event.message not in deliveries}
    ours = set(Campaign.objects.filter(pk__in=missing).values_list("pk", flat=True))
    return [
        Told(event, deliveries.get(event.message), readers.get(event.subscriber_id or 0))
        for event in events
        if event.message in deliveries or event.campaign_id not in ours
    ]


def _deliveries(events: "list[Event]") -> dict[tuple[int | None, int | None], Delivery]:
    by_campaign = defaultdict(set)
    for event in events:
        by_campaign[event.campaign_id].add(event.subscriber_id)
    any_of_them = Q()
    for campaign, subscribers in by_campaign.items():
        any_of_them |= Q(campaign=campaign, subscriber__in=subscribers)
    found = Delivery.objects.filter(any_of_them) if any_of_them else []
    return {(one.campaign_id, one.subscriber_id): one for one in found}


def _settle(told: Iterable[Told]) -> None:
    """Nobody knew what became of these messages: now we do. The totals of closed books follow."""
    by_campaign = defaultdict(list)
    for one in told:
        if one.delivery and one.event.settles(one.delivery):
            by_campaign[one.delivery.campaign_id].append((one.event, one.delivery))
    for pk in sorted(by_campaign):
        # The campaign's row first: whoever closes its books holds it.
        campaign = Campaign.objects.select_for_update(no_key=True).get(pk=pk)
        for event, delivery in by_campaign[pk]:
            event.settle(delivery)
        campaign.recount()


def _bounce(one: Told) -> Bounce:
    event, delivery = one.event, one.delivery
    return Bounce(
        key=one.key,
        subscriber_id=event.subscriber_id or 0,
        campaign_id=delivery.campaign_id if delivery else None,
        mailer=event.source,
        house=event.house,
        code=event.code,
        text=event.text,
        at=event.at,
        sent_at=delivery.at if delivery else None,
        is_hard=event.is_hard,
    )


def _leave(one: Told, delivery: Delivery) -> None:
    """Left at the provider: the list by which the message came, unless the reader is back since."""
    between = delivery.subscriber_id, delivery.mailing_list_id
    last = Subscription.objects.between(*between).last()
    if last and last.requested_at <= one.event.at + _CLOCKS_DIFFER:
        Subscription.objects.leave(*between, one.evidence)
