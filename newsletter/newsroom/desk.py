"""What the pages about campaigns show, gathered in few queries."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from newsletter import reports
from newsletter.content import LIMIT, ContentError, compile_versions, size, unpublished
from newsletter.models import Batch, Campaign, Delivery, Entry, Parking, Version
from newsletter.models.campaigns import SEND_FOR
from newsletter.newsroom.bands import Band, bands
from newsletter.reports import Progress
from subscribers.models import Breaker, Subscription, Suppression

# How many of those who did not get it are named on the page.
SHOWN = 200
_LIVE = [Campaign.Status.SCHEDULED, Campaign.Status.SENDING]
# A countdown is for who hesitates; what is further away has a date.
_COUNTED_DOWN = 15 * 60


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
    # None while those of a campaign that has begun are being counted.
    readers: int | None
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
    begun = [campaign for campaign in chosen if _has_begun(campaign)]
    expected = _expected([campaign for campaign in chosen if not _has_begun(campaign)])
    progress = reports.progress_of(begun)
    return [
        Row(campaign, expected.get(campaign.pk, campaign.audience), progress.get(campaign.pk))
        for campaign in chosen
    ]


def troubled() -> list[tuple[Campaign, Band]]:
    """What an editor has to look at, the newest first, each with the worst of it."""
    wrong = ~Q(trouble="") | Q(pk__in=Batch.objects.set_aside().values("campaign"))
    refusing = Parking.objects.filter(until__gt=timezone.now())
    if refusing.exists() or Breaker.objects.down().exists():
        wrong |= Q(status=Campaign.Status.SENDING)
    chosen = campaigns().filter(wrong, pk__in=Campaign.objects.booked())
    return [
        (row.campaign, worst)
        for row in rows(chosen)
        for worst in bands(row.campaign, row.readers or 0, row.progress)[:1]
    ]


def versions(campaign: Campaign) -> list[Version]:
    """What was frozen; of a draft, what would be. Raises ContentError."""
    if campaign.is_draft:
        return compile_versions(campaign)
    return list(campaign.versions.current().select_related("mailing_list").defer("message"))


def review(campaign: Campaign, due_at: datetime) -> dict[str, Any]:
    """All that will happen: a draft, from when to when it goes, and whom it leaves out."""
    first, last = campaign.hours(due_at)
    funnel = reports.funnel(campaign)
    return _made(campaign) | {
        "readers": funnel.readers,
        "everybody": funnel.everybody,
        "excluded": [(_excluded(reason), number) for reason, number in funnel.excluded],
        "due_at": due_at,
        "first": max(first, timezone.now()),
        "last": last,
    }


def draft(campaign: Campaign) -> dict[str, Any]:
    """A campaign that is being made: content, audience, checks."""
    return _made(campaign) | {"readers": campaign.readers()}


def sending(campaign: Campaign) -> dict[str, Any]:
    """A campaign that waits, goes out, or is out."""
    progress = reports.progress(campaign) if _has_begun(campaign) else None
    readers = campaign.audience if progress else _readers_lately(campaign)
    seconds_left = _seconds_left(campaign)
    return {
        "campaign": campaign,
        "readers": readers,
        "progress": progress,
        "bands": bands(campaign, readers or 0, progress),
        "seconds_left": seconds_left,
        "deferred": campaign.deferrals.filter(attempts__gt=0).count() if progress else 0,
        "done_about": done_about(campaign, progress) if progress else None,
        "last_hour": _last_hour(campaign),
        "is_live": campaign.status in _LIVE or _is_being_closed(campaign),
        "every": 2 if progress or seconds_left is not None else 30,
    }


def correction(campaign: Campaign) -> dict[str, Any]:
    """What would replace the wording of a campaign that is booked, and for how many."""
    progress = reports.progress(campaign)
    current = list(campaign.versions.current().select_related("mailing_list").defer("message"))
    wordings, problems = _compiled(campaign)
    new = [wording.version for wording in wordings]
    return {
        "campaign": campaign,
        "entries": campaign.entries.select_related("article").defer("article__body"),
        "progress": progress if _has_begun(campaign) else None,
        "waiting": progress.waiting,
        "current": current,
        "wordings": wordings,
        "problems": problems,
        "is_the_same": _words(current) == _words(new),
    }


def _words(versions: list[Version]) -> set[tuple[int, str, str, str]]:
    return {(each.mailing_list_id, each.subject, each.html, each.text) for each in versions}


def frozen(campaign: Campaign) -> dict[str, Any]:
    """What does not change any more while it goes out."""
    return {
        "entries": campaign.entries.select_related("article").defer("article__body"),
        "lists": campaign.mailing_lists.all(),
        "wordings": _measured(versions(campaign)),
        "earlier": _earlier(campaign),
    }


def _earlier(campaign: Campaign) -> list[tuple[Version, int]]:
    """Wordings that were replaced while it went out, and how many readers were handed each."""
    replaced = campaign.versions.filter(replaced_at__isnull=False).select_related("mailing_list")
    known = {version.pk: version for version in replaced.defer("html", "text", "message")}
    if not known:
        return []
    ledger = campaign.deliveries.filter(version__in=known, status=Delivery.Status.SENT)
    counted = ledger.order_by("version").values_list("version").annotate(readers=Count("*"))
    return [(known[pk], readers) for pk, readers in counted]


def done_about(campaign: Campaign, progress: Progress) -> datetime | None:
    """When all will be handed over if it goes on as so far; None where that is not to be told."""
    if (
        campaign.status != Campaign.Status.SENDING
        or not campaign.started_at
        or not progress.accounted
        or campaign.audience is None
        or campaign.readers_hour
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


def _made(campaign: Campaign) -> dict[str, Any]:
    lists = campaign.mailing_lists.all()
    readers = _readers_by_list(lists)
    wordings, problems = _compiled(campaign)
    return {
        "campaign": campaign,
        "sender": campaign.publication.sender,
        "entries": campaign.entries.select_related("article").defer("article__body"),
        "lists": [(mailing_list, readers.get(mailing_list.pk, 0)) for mailing_list in lists],
        "wordings": wordings,
        "problems": problems,
    }


def _excluded(reason: str) -> str:
    """A reason of reports.Funnel, in words."""
    ours = {
        "unconfirmed": _("have not confirmed"),
        "paused": _("paused by the reader"),
        "duplicates": _("on several of the lists, counted once"),
        "not_yet": _("left for later, while the mailer is warmed up"),
        "terms": _("have not agreed to the new terms"),
        Suppression.Reason.UNSUBSCRIBED: _("unsubscribed"),
        Suppression.Reason.NOT_ME: _("said “this wasn’t me”"),
        Suppression.Reason.COMPLAINED: _("complained of our mail"),
        Suppression.Reason.BOUNCED: _("get none: it comes back"),
        Suppression.Reason.ERASED: _("were erased at their wish"),
        Suppression.Reason.BY_STAFF: _("were removed by the newsroom"),
    }
    return ours.get(reason, reason)


def _measured(compiled: list[Version]) -> list[Wording]:
    return [Wording(version, size(version)) for version in compiled]


def _compiled(campaign: Campaign) -> tuple[list[Wording], list[str]]:
    try:
        return _measured(compile_versions(campaign)), unpublished(campaign)
    except ContentError as error:
        return [], error.problems + unpublished(campaign)


def _has_begun(campaign: Campaign) -> bool:
    return campaign.started_at is not None or campaign.audience is not None


def _is_being_closed(campaign: Campaign) -> bool:
    """Stopped for good, and the workers still write down who does not get it."""
    stopped = campaign.status == Campaign.Status.CANCELLED
    return stopped and campaign.finished_at is None


def _readers_lately(campaign: Campaign) -> int:
    """Pages that ask every two seconds need not count a million readers as often."""
    key = f"readers:{campaign.pk}:{campaign.due_at}".replace(" ", "T")
    return cache.get_or_set(key, campaign.readers, 30) or 0


def _last_hour(campaign: Campaign) -> datetime | None:
    """When the last readers get it who get it by their own clocks; None if nobody waits so."""
    if not campaign.readers_hour or campaign.status != Campaign.Status.SENDING:
        return None
    return campaign.send_until and campaign.send_until - SEND_FOR


def _seconds_left(campaign: Campaign) -> int | None:
    """Until it starts, if that is soon."""
    if campaign.status != Campaign.Status.SCHEDULED or campaign.due_at is None:
        return None
    left = ceil((campaign.due_at - timezone.now()).total_seconds())
    return max(left, 0) if left <= _COUNTED_DOWN else None


def _expected(waiting: list[Campaign]) -> dict[int, int]:
    """To how many each would go now; whoever is on two of its lists counts once."""
    if not waiting:
        return {}
    periods = Subscription.objects.mailable().filter(mailing_list__campaigns__in=waiting)
    counted = periods.order_by().values_list("mailing_list__campaigns")
    known = dict(counted.annotate(readers=Count("subscriber", distinct=True)))
    return {campaign.pk: known.get(campaign.pk, 0) for campaign in waiting}


def _readers_by_list(lists: Iterable[Any]) -> dict[int, int]:
    periods = Subscription.objects.mailable().filter(mailing_list__in=lists).order_by()
    return dict(periods.values_list("mailing_list").annotate(readers=Count("pk")))
