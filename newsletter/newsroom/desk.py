"""What the pages about campaigns show, gathered in few queries."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Prefetch, QuerySet
from django.utils import timezone

from newsletter import reports
from newsletter.content import LIMIT, ContentError, compile_versions, size, unpublished
from newsletter.models import Campaign, Delivery, Entry, Version
from newsletter.reports import Progress
from subscribers.models import Subscription

# How many of those who did not get it are named on the page.
SHOWN = 200
_LIVE = [Campaign.Status.SCHEDULED, Campaign.Status.SENDING]


@dataclass(frozen=True)
class Wording:
    """How one list gets it, and how long that is (HTM-01)."""

    version: Version
    size: int

    @property
    def is_clipped(self) -> bool:
        return self.size > LIMIT


@dataclass(frozen=True)
class Row:
    """One campaign in the table: what became of it, or to how many it would go now."""

    campaign: Campaign
    readers: int
    progress: Progress | None

    @property
    def done_about(self) -> datetime | None:
        return done_about(self.campaign, self.progress) if self.progress else None


def campaigns() -> QuerySet[Campaign]:
    """With all that a row names, in as many queries for many as for one."""
    entries = Entry.objects.select_related("article").defer("article__body")
    return Campaign.objects.select_related("publication").prefetch_related(
        "mailing_lists", Prefetch("entries", entries)
    )


def rows(chosen: Iterable[Campaign]) -> list[Row]:
    chosen = list(chosen)
    expected = _expected([campaign for campaign in chosen if campaign.audience is None])
    progress = _progress([campaign for campaign in chosen if campaign.audience is not None])
    return [
        Row(campaign, _readers(campaign, expected), progress.get(campaign.pk))
        for campaign in chosen
    ]


def troubled() -> list[Row]:
    """What an editor has to look at, the newest first."""
    over = [Campaign.Status.CANCELLED, Campaign.Status.SENT]
    return rows(campaigns().exclude(trouble="").exclude(status__in=over))


def versions(campaign: Campaign) -> list[Version]:
    """What was frozen; of a draft, what would be. Raises ContentError."""
    if campaign.is_draft:
        return compile_versions(campaign)
    return list(campaign.versions.current().select_related("mailing_list").defer("message"))


def draft(campaign: Campaign) -> dict[str, Any]:
    """A campaign that is being made: content, audience, checks."""
    lists = campaign.mailing_lists.all()
    readers = _readers_by_list(lists)
    wordings, problems = _compiled(campaign)
    return {
        "campaign": campaign,
        "sender": campaign.publication.sender,
        "entries": campaign.entries.select_related("article").defer("article__body"),
        "lists": [(mailing_list, readers.get(mailing_list.pk, 0)) for mailing_list in lists],
        "readers": campaign.readers(),
        "wordings": wordings,
        "problems": problems,
    }


def sending(campaign: Campaign) -> dict[str, Any]:
    """A campaign that waits, goes out, or is out."""
    progress = reports.progress(campaign) if campaign.audience is not None else None
    return {
        "campaign": campaign,
        "readers": campaign.readers() if campaign.audience is None else campaign.audience,
        "progress": progress,
        "done_about": done_about(campaign, progress) if progress else None,
        "is_live": campaign.status in _LIVE,
    }


def frozen(campaign: Campaign) -> dict[str, Any]:
    """What does not change any more while it goes out."""
    return {
        "entries": campaign.entries.select_related("article").defer("article__body"),
        "lists": campaign.mailing_lists.all(),
        "wordings": _measured(versions(campaign)),
    }


def done_about(campaign: Campaign, progress: Progress) -> datetime | None:
    """When all will be handed over if it goes on as so far; None where that is not to be told."""
    if (
        campaign.status != Campaign.Status.SENDING
        or not campaign.started_at
        or not progress.accounted
    ):
        return None
    now = timezone.now()
    return now + (now - campaign.started_at) * (progress.waiting / progress.accounted)


def reasons(campaign: Campaign) -> list[dict[str, Any]]:
    """Why readers did not get it, the commonest first."""
    counted = _missed(campaign).order_by().values("status", "code", "text")
    return [
        reason
        | {
            "label": Delivery.Status(reason["status"]).label,
            "why": _why(reason["code"], reason["text"]),
        }
        for reason in counted.annotate(readers=Count("*")).order_by("-readers")[:20]
    ]


def missed(campaign: Campaign) -> list[tuple[Delivery, str]]:
    """Who did not get it, each with the reason; as many as one reads through."""
    rows = _missed(campaign).select_related("subscriber").order_by("subscriber_id")
    return [(row, _why(row.code, row.text)) for row in rows[:SHOWN]]


def _missed(campaign: Campaign) -> QuerySet[Delivery]:
    return Delivery.objects.filter(campaign=campaign).exclude(status=Delivery.Status.SENT)


def _why(code: str, text: str) -> str:
    """Our own reasons in words, a server's as it said them."""
    if code in Delivery.Reason.values:
        return str(Delivery.Reason(code).label)
    return f"{code} {text}".strip() or "–"


def _measured(compiled: list[Version]) -> list[Wording]:
    return [Wording(version, size(version)) for version in compiled]


def _compiled(campaign: Campaign) -> tuple[list[Wording], list[str]]:
    try:
        return _measured(compile_versions(campaign)), unpublished(campaign)
    except ContentError as error:
        return [], error.problems + unpublished(campaign)


def _progress(started: list[Campaign]) -> dict[int, Progress]:
    """As reports.progress, of many campaigns in one query."""
    ledger = Delivery.objects.filter(campaign__in=started).order_by()
    counted: dict[int, dict[str, int]] = {campaign.pk: {} for campaign in started}
    for pk, status, readers in ledger.values_list("campaign", "status").annotate(n=Count("*")):
        counted[pk][status] = readers
    return {
        campaign.pk: Progress(
            audience=campaign.audience or 0,
            **{status: counted[campaign.pk].get(status, 0) for status in Delivery.Status.values},
        )
        for campaign in started
    }


def _readers(campaign: Campaign, expected: dict[int, int]) -> int:
    if campaign.audience is not None:
        return campaign.audience
    return expected.get(campaign.pk, 0)


def _expected(waiting: list[Campaign]) -> dict[int, int]:
    """To how many each would go now; whoever is on two of its lists counts once."""
    periods = Subscription.objects.mailable().filter(mailing_list__campaigns__in=waiting)
    counted = periods.order_by().values_list("mailing_list__campaigns")
    return dict(counted.annotate(readers=Count("subscriber", distinct=True)))


def _readers_by_list(lists: Iterable[Any]) -> dict[int, int]:
    periods = Subscription.objects.mailable().filter(mailing_list__in=lists).order_by()
    return dict(periods.values_list("mailing_list").annotate(readers=Count("pk")))
