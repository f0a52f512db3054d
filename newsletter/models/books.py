"""Closing the books of a campaign: what the ledger comes to, and what is wrong with it."""

from typing import TYPE_CHECKING

from django.db.models import Count, Exists, OuterRef
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from newsletter.models.campaigns import Campaign

TOTALS = ["sent", "failed", "skipped", "uncertain"]


def totals(campaign: "Campaign") -> dict[str, int]:
    """By status, as the ledger has them."""
    counted = campaign.deliveries.order_by().values_list("status").annotate(Count("subscriber"))
    known = {str(status): count for status, count in counted}
    return {total: known.get(total, 0) for total in TOTALS}


def trouble(campaign: "Campaign") -> str:
    """In words for the newsroom; empty if everybody is accounted for.

    The campaign's totals are entered; its audience is counted anew where they do not agree.
    """
    return _unfinished(campaign) or _unaccounted(campaign)


def _unfinished(campaign: "Campaign") -> str:
    aside = campaign.batches.filter(set_aside_at__isnull=False, finished_at__isnull=True).count()
    words = ngettext(
        "%(count)d batch failed again and again, and was set aside.",
        "%(count)d batches failed again and again, and were set aside.",
        aside,
    )
    return words % {"count": aside} if aside else ""


def _unaccounted(campaign: "Campaign") -> str:
    accounted = sum(getattr(campaign, total) for total in TOTALS)
    if accounted == campaign.audience:
        return ""
    # Whoever confirmed or left in the very moment of the start is only visible now, and whoever
    # was erased meanwhile is only in the ledger.
    known = campaign.deliveries.filter(subscriber_id=OuterRef("subscriber_id"))
    left = campaign.periods_at_start().exclude(Exists(known))
    missing = left.values("subscriber").distinct().count()
    campaign.audience = accounted + missing
    words = ngettext(
        "%(count)d reader is not accounted for.",
        "%(count)d readers are not accounted for.",
        missing,
    )
    return words % {"count": missing} if missing else ""
