"""Mailbox providers as the newsroom reads of them, and what they reported."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext as _

from newsletter import rates
from newsletter.models import Campaign
from newsletter.rates import House, Rates
from subscribers.mailbox_providers import OTHER

# What readers call a mailbox provider.
_NAMES = {
    "gmail": "Gmail",
    "microsoft": "Microsoft (Outlook, Hotmail)",
    "yahoo": "Yahoo",
    "apple": "Apple (iCloud)",
    "proton": "Proton",
    "gmx": "GMX and web.de",
    "orange": "Orange",
    "laposte": "La Poste",
}
# As many as one reads through; the others are small.
_SHOWN = 12
# Counting a million readers takes a second or two, and what comes back takes hours.
_COUNTED_EVERY = 60
_COUNTED_LATER_EVERY = 300


def house_name(house: str) -> str:
    return _("All others") if house == OTHER else _NAMES.get(house, house)


@dataclass(frozen=True)
class Returns:
    """What came back of a campaign: each shown mailbox provider by its name, and the rates."""

    houses: list[tuple[str, House]]
    rates: Rates
    # Too long ago: what was reported is not kept any more.
    is_forgotten: bool = False


def returns(campaign: Campaign) -> Returns:
    """As of the last minutes; of a campaign that has begun."""
    kept_since = timezone.now() - timedelta(days=settings.KEEP_EVENTS_DAYS)
    if campaign.started_at and campaign.started_at < kept_since:
        return Returns([], Rates([]), is_forgotten=True)
    key = f"rates:{campaign.pk}"
    every = _COUNTED_LATER_EVERY if campaign.is_closed else _COUNTED_EVERY
    counted = cache.get_or_set(key, lambda: rates.rates(campaign), every)
    counted = counted or Rates([])
    shown = [(house_name(house.name), house) for house in counted.houses[:_SHOWN]]
    return Returns(shown, counted)
