"""Which mailers are down, whose mail they would take, and what becomes of it meanwhile."""

from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django.db.models import Q

from newsletter import reports
from newsletter.models import Campaign
from subscribers.models import Breaker, Letter, Sender

# Pages that ask every two seconds need not count a million readers as often.
_COUNTED_EVERY = 30


@dataclass(frozen=True)
class Down:
    """A sender's mailer that is down, and how many readers of the campaign, or letters, wait."""

    breaker: Breaker
    sender: Sender | None
    waiting: int
    # Its standby, if that takes over now; or if it could, and nobody has marked it.
    takes_over: str = ""
    could: str = ""


def down(campaign: Campaign) -> list[Down]:
    """Of those by which this campaign leaves."""
    known = _known()
    lists = _by_sender(campaign) if known else {}
    return [
        _down(known, sender, sender.mailer if sender else "default", _waiting(campaign, mine))
        for sender, mine in lists.items()
        if (sender.mailer if sender else "default") in known
    ]


def letters_down() -> list[Down]:
    """Of those by which letters leave."""
    known = _known()
    senders = Sender.objects.select_related("publication").order_by("pk") if known else []
    return [
        _down(known, sender, sender.letter_mailers[0], _letters(sender))
        for sender in senders
        if sender.letter_mailers[0] in known
    ]


def _known() -> dict[str, Breaker]:
    return {mailer: row for mailer, row in Breaker.objects.known().items() if row.is_down}


def _down(known: dict[str, Breaker], sender: Sender | None, mailer: str, waiting: int) -> Down:
    if sender is None or not _is_able(known, sender.standby, mailer):
        return Down(known[mailer], sender, waiting)
    if sender.has_warm_standby:
        return Down(known[mailer], sender, waiting, takes_over=sender.standby)
    return Down(known[mailer], sender, waiting, could=sender.standby)


def _is_able(known: dict[str, Breaker], standby: str, mailer: str) -> bool:
    return standby in settings.MAILERS and standby not in known and standby != mailer


def _by_sender(campaign: Campaign) -> dict[Sender | None, list[int]]:
    lists: dict[Sender | None, list[int]] = {}
    for mailing_list in campaign.mailing_lists.select_related("sender", "publication__sender"):
        lists.setdefault(mailing_list.effective_sender, []).append(mailing_list.pk)
    return lists


def _waiting(campaign: Campaign, lists: list[int]) -> int:
    key = f"held:{campaign.pk}:{'-'.join(map(str, lists))}"
    count = lambda: reports.readers_waiting_on(campaign, lists)  # noqa: E731
    return cache.get_or_set(key, count, _COUNTED_EVERY) or 0


def _letters(sender: Sender) -> int:
    lists = Q(subscription__mailing_list__sender=sender)
    if sender.publication.sender_id == sender.pk:
        lists |= Q(subscription__mailing_list__sender__isnull=True)
    return Letter.objects.filter(lists, sent_at__isnull=True, given_up_at__isnull=True).count()
