"""What became of a campaign, and before it goes: who of its lists would get it."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from newsletter.models import Campaign, Delivery
from newsletter.models.parkings import lives_at
from subscribers.models import Subscription


@dataclass(frozen=True)
class Progress:
    """Of how many readers the campaign was to reach, what has become of how many."""

    audience: int
    sent: int = 0
    failed: int = 0
    skipped: int = 0
    uncertain: int = 0

    @property
    def accounted(self) -> int:
        return self.sent + self.failed + self.skipped + self.uncertain

    @property
    def waiting(self) -> int:
        """Nothing has become of them yet: not handed over, in hand or deferred."""
        return max(self.audience - self.accounted, 0)

    @property
    def percent(self) -> int:
        """Rounded down: only everybody is a hundred."""
        return 100 * self.accounted // self.audience if self.audience else 100


def progress(campaign: Campaign) -> Progress:
    """As the ledger stands; before the start the audience is who would be mailed now.

    While the readers of a campaign that began are still being counted, the audience is 0.
    """
    if campaign.started_at is None and campaign.audience is None:
        return Progress(audience=campaign.readers())
    return progress_of([campaign])[campaign.pk]


def progress_of(begun: list[Campaign]) -> dict[int, Progress]:
    """As the books say where they are closed; the others are counted, in one query for all."""
    live = [campaign for campaign in begun if not campaign.is_closed]
    counted: dict[int, dict[str, int]] = {campaign.pk: {} for campaign in live}
    if live:
        ledger = Delivery.objects.filter(campaign__in=live).order_by()
        for pk, status, readers in ledger.values_list("campaign", "status").annotate(n=Count("*")):
            counted[pk][str(status)] = readers
    return {campaign.pk: _progress(campaign, counted.get(campaign.pk)) for campaign in begun}


def _progress(campaign: Campaign, counted: dict[str, int] | None) -> Progress:
    if counted is None:
        counted = {name: getattr(campaign, name) or 0 for name in Delivery.Status.values}
    known = {name: counted.get(name, 0) for name in Delivery.Status.values}
    return Progress(audience=campaign.audience or 0, **known)


def skipped(campaign: Campaign) -> dict[str, int]:
    """How many readers were passed over, by Delivery.Reason."""
    passed = campaign.deliveries.filter(status=Delivery.Status.SKIPPED).order_by()
    return dict(passed.values_list("code").annotate(Count("subscriber")))


@dataclass(frozen=True)
class Funnel:
    """Everybody who ever confirmed or asked for the lists, and what keeps whom from getting it.

    One person on two lists stands for two until `duplicates`; all numbers add up to `everybody`.
    """

    readers: int
    unconfirmed: int = 0
    paused: int = 0
    # On the list still, but the address is suppressed; by Suppression.Reason.
    suppressed: dict[str, int] = field(default_factory=dict)
    # Not on the list any more; by Subscription.EndReason.
    left: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    # Not in the cohort of a mailer that is being warmed up.
    not_yet: int = 0

    @property
    def everybody(self) -> int:
        return self.readers + sum(number for _reason, number in self.excluded)

    @property
    def excluded(self) -> list[tuple[str, int]]:
        """Why, as a Delivery.Reason or the name of the field, and how many."""
        gone = Counter(self.suppressed) + Counter(self.left)
        counted = {"unconfirmed": self.unconfirmed, "paused": self.paused, **gone}
        counted |= {"duplicates": self.duplicates, "not_yet": self.not_yet}
        return [(reason, number) for reason, number in counted.items() if number]


def funnel(campaign: Campaign) -> Funnel:
    """Who would get it if it went now, and why not the others."""
    lists = list(campaign.mailing_lists.values_list("pk", flat=True))
    on_them = Subscription.objects.filter(mailing_list__in=lists, ended_at__isnull=True)
    now_on = on_them.aggregate(
        every=Count("pk"),
        unconfirmed=Count("pk", filter=Q(confirmed_at__isnull=True)),
        paused=Count("pk", filter=Q(confirmed_at__isnull=False, paused_until__gt=Now())),
    )
    suppressed = Subscription.objects.filter(mailing_list__in=lists).kept_out()
    mailable = now_on["every"] - now_on["unconfirmed"] - now_on["paused"]
    mailable = max(mailable - sum(suppressed.values()), 0)
    # On one list nobody can be twice.
    distinct = _people(campaign.periods_now()) if len(lists) > 1 else mailable
    readers = campaign.readers() if campaign.confirmed_since else distinct
    return Funnel(
        readers=readers,
        unconfirmed=now_on["unconfirmed"],
        paused=now_on["paused"],
        suppressed=suppressed,
        left=_left(lists),
        duplicates=max(mailable - distinct, 0),
        not_yet=max(distinct - readers, 0),
    )


def _people(periods: QuerySet[Subscription]) -> int:
    return periods.values("subscriber").distinct().count()


def _left(lists: list[int]) -> dict[str, int]:
    """Whose last period on a list is over."""
    later = Subscription.objects.filter(
        subscriber=OuterRef("subscriber"),
        mailing_list=OuterRef("mailing_list"),
        pk__gt=OuterRef("pk"),
    )
    over = Subscription.objects.filter(
        ~Exists(later), mailing_list__in=lists, ended_at__isnull=False, confirmed_at__isnull=False
    )
    return dict(over.order_by().values_list("end_reason").annotate(n=Count("pk")))


def readers_set_aside(campaign: Campaign) -> int:
    """How many wait in batches that crash whoever works on them."""
    ranges = Q()
    for first, last in campaign.batches.set_aside().values_list("first", "last"):
        ranges |= Q(subscriber__gte=first, subscriber__lte=last)
    if not ranges:
        return 0
    audience = _people(campaign.periods_at_start().filter(ranges))
    return audience - campaign.deliveries.filter(ranges).count()


def readers_waiting_at(campaign: Campaign, house: str, lists: list[int]) -> int:
    """How many of these lists have nothing in the ledger yet, at one mailbox provider or domain."""
    return _people(_waiting(campaign, lists).filter(lives_at(house)))


def readers_waiting_on(campaign: Campaign, lists: list[int]) -> int:
    """How many of these lists have nothing in the ledger yet."""
    return _people(_waiting(campaign, lists))


def _waiting(campaign: Campaign, lists: list[int]) -> QuerySet[Subscription]:
    known = campaign.deliveries.filter(subscriber=OuterRef("subscriber"))
    audience = campaign.periods_at_start().filter(mailing_list__in=lists)
    return audience.exclude(Exists(known))
