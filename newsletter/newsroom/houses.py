"""Mailbox providers as the newsroom reads of them, and what they reported."""

from dataclasses import dataclass

from django.core.cache import cache
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
# Counting a million readers takes a second.
_COUNTED_EVERY = 60


def house_name(house: str) -> str:
    return _("All others") if house == OTHER else _NAMES.get(house, house)


@dataclass(frozen=True)
class Returns:
    """What came back of a campaign: each shown mailbox provider by its name, and the rates."""

    houses: list[tuple[str, House]]
    rates: Rates


def returns(campaign: Campaign) -> Returns:
    """As of the last minute."""
    key = f"rates:{campaign.pk}"
    counted = cache.get_or_set(key, lambda: rates.rates(campaign), _COUNTED_EVERY)
    counted = counted or Rates([])
    shown = [(house_name(house.name), house) for house in counted.houses[:_SHOWN]]
    return Returns(shown, counted)
