"""Which mailbox providers are left alone for now, and how many of a campaign's readers wait."""

from django.core.cache import cache
from django.utils import timezone

from newsletter import reports
from newsletter.models import Campaign, Parking

# Pages that ask every two seconds need not count a million readers as often.
_COUNTED_EVERY = 30


def parked(campaign: Campaign) -> list[tuple[Parking, int]]:
    """Those refused by the ways that this campaign is sent, the first to be tried again first."""
    lists = _by_mailer(campaign)
    refusing = Parking.objects.filter(mailer__in=lists, until__gt=timezone.now()).order_by("until")
    return [(parking, _waiting(campaign, parking, lists[parking.mailer])) for parking in refusing]


def _by_mailer(campaign: Campaign) -> dict[str, list[int]]:
    lists: dict[str, list[int]] = {}
    for mailing_list in campaign.mailing_lists.select_related("sender", "publication__sender"):
        sender = mailing_list.effective_sender
        lists.setdefault(sender.mailer if sender else "default", []).append(mailing_list.pk)
    return lists


def _waiting(campaign: Campaign, parking: Parking, lists: list[int]) -> int:
    key = f"parked:{campaign.pk}:{parking.pk}"
    count = lambda: reports.readers_waiting_at(campaign, parking.house, lists)  # noqa: E731
    return cache.get_or_set(key, count, _COUNTED_EVERY) or 0
