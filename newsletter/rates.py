"""What was reported of a campaign, by mailbox provider: over those that report, and no others."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count, Q

from newsletter.models import Campaign, Delivery, Event
from newsletter.models.events import OUR_FAULT
from subscribers.mailbox_providers import OTHER
from subscribers.models import MailDomain

# Complaints in a hundred, as Gmail and Yahoo ask of who sends to many: they would rather see less
# than the first, and at the second they refuse (BNC-08).
WARNING = 0.1
STOP_LINE = 0.3
# They tell nobody who complained: what comes from there is a chance find, and no rate.
_SILENT = {"gmail"}
# Whoever has reported a complaint of one of so many campaigns would have reported one of this.
_CAMPAIGNS = 100

Kind = Event.Kind
_CAME_BACK = [Kind.BOUNCED, Kind.REJECTED]
# Beside the kinds, what of them is our fault.
_REFUSED = "refused"


@dataclass(frozen=True)
class House:
    """One mailbox provider, or all small ones together. None: nobody there reports it."""

    name: str
    handed_over: int
    delivered: int | None = None
    bounced: int | None = None
    # Of these, as far as it was reported later, for what we are or did (BNC-03).
    refused: int = 0
    complained: int | None = None

    @property
    def bounced_percent(self) -> float:
        return self._percent(self.bounced)

    @property
    def complained_percent(self) -> float:
        """0 also for the small ones, of which only some report."""
        return 0.0 if self.name == OTHER else self._percent(self.complained)

    def _percent(self, number: int | None) -> float:
        return 100 * (number or 0) / self.handed_over if self.handed_over else 0.0


@dataclass(frozen=True)
class Rates:
    # The largest first.
    houses: list[House]
    complaints: int = 0
    # To how many it was handed over where complaints are reported.
    complaints_of: int = 0

    @property
    def percent(self) -> float:
        return 100 * self.complaints / self.complaints_of if self.complaints_of else 0.0

    @property
    def is_warning(self) -> bool:
        return WARNING <= self.percent < STOP_LINE

    @property
    def is_stop_line(self) -> bool:
        return self.percent >= STOP_LINE


def rates(campaign: Campaign) -> Rates:
    """As far as it was handed over and reported. Costs as much as reading its ledger once."""
    ledger = _ledger(campaign)
    owners = MailDomain.objects.providers([domain for domain, *_ in ledger])
    told = _told(campaign, owners)
    complainants = _who_reports_complaints(campaign, owners)
    handed_over, failed, complaints_of = Counter[str](), Counter[str](), 0
    for domain, sent, refused in ledger:
        owner = owners[domain]
        handed_over[owner] += sent
        failed[owner] += refused
        if owner in complainants or domain in complainants:
            complaints_of += sent
    reporting = {_owner(house, owners) for house in complainants}
    houses = [
        _house(name, number, failed[name], told, name in reporting)
        for name, number in handed_over.most_common()
    ]
    return Rates(houses, sum(house.complained or 0 for house in houses), complaints_of)


def _house(
    name: str, handed_over: int, failed: int, told: "Counter[tuple[str, str]]", complains: bool
) -> House:
    kinds = {kind for kind, _house in told}
    is_heard = bool(kinds & {Kind.DELIVERED, Kind.DEFERRED, *_CAME_BACK})
    bounced = failed + sum(told[kind, name] for kind in _CAME_BACK)
    return House(
        name=name,
        handed_over=handed_over,
        delivered=told[Kind.DELIVERED, name] if Kind.DELIVERED in kinds else None,
        bounced=bounced if bounced or is_heard else None,
        refused=told[_REFUSED, name],
        complained=told[Kind.COMPLAINED, name] if complains else None,
    )


def _ledger(campaign: Campaign) -> list[tuple[str, int, int]]:
    """By domain: to how many it was handed over, and how many a server refused at once."""
    refused = Q(status=Delivery.Status.FAILED) & ~Q(code=Delivery.Reason.REPORTED)
    by_domain = campaign.deliveries.order_by().values_list("subscriber__domain")
    counted = by_domain.annotate(
        sent=Count("status", filter=Q(status=Delivery.Status.SENT)),
        refused=Count("status", filter=refused),
    )
    return [(domain, sent, refused) for domain, sent, refused in counted if sent or refused]


def _told(campaign: Campaign, owners: dict[str, str]) -> "Counter[tuple[str, str]]":
    """How many readers' messages were reported as what, by kind and mailbox provider."""
    events = campaign.events.exclude(subscriber_id=None).order_by().values_list("kind", "house")
    # Of what is delivered there are many, and of each message one.
    delivered = events.filter(kind=Kind.DELIVERED).annotate(n=Count("*"))
    others = events.exclude(kind=Kind.DELIVERED).annotate(n=Count("subscriber_id", distinct=True))
    ours = others.filter(kind__in=_CAME_BACK, fault__in=OUR_FAULT)
    refused = [(_REFUSED, house, number) for _kind, house, number in ours]
    told: Counter[tuple[str, str]] = Counter()
    for kind, house, number in [*delivered, *others, *refused]:
        told[kind, _owner(house, owners)] += number
    return told


def _who_reports_complaints(campaign: Campaign, owners: dict[str, str]) -> set[str]:
    """Mailbox providers, and small domains, that told of one lately: silence of these is none."""
    started = Campaign.objects.filter(started_at__isnull=False).order_by("-started_at")
    lately = {campaign.pk, *started.values_list("pk", flat=True)[:_CAMPAIGNS]}
    complaints = Event.objects.filter(campaign__in=lately, kind=Kind.COMPLAINED)
    houses = complaints.order_by().values_list("house", flat=True).distinct()
    known = {house if _owner(house, owners) == OTHER else _owner(house, owners) for house in houses}
    return known - _SILENT


def _owner(house: str, owners: dict[str, str]) -> str:
    """Of an event's house, which was a domain before its mailbox provider was known."""
    return owners.get(house, OTHER) if "." in house else house
