"""What became of a campaign."""

from dataclasses import dataclass

from django.db.models import Count

from newsletter.models import Campaign, Delivery


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
    """As the ledger stands; before the start the audience is who would be mailed now."""
    if campaign.audience is None:
        return Progress(audience=campaign.readers())
    counted = campaign.deliveries.order_by().values_list("status").annotate(Count("subscriber"))
    known = {str(status): count for status, count in counted}
    return Progress(
        audience=campaign.audience, **{str(s): known.get(s, 0) for s in Delivery.Status}
    )


def skipped(campaign: Campaign) -> dict[str, int]:
    """How many readers were passed over, by Delivery.Reason."""
    passed = campaign.deliveries.filter(status=Delivery.Status.SKIPPED).order_by()
    return dict(passed.values_list("code").annotate(Count("subscriber")))
