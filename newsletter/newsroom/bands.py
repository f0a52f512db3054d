"""What is wrong with a campaign: the cause, what it means in readers, and the one thing to do."""

from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from newsletter import reports
from newsletter.models import Campaign
from newsletter.reports import Progress


@dataclass(frozen=True)
class Band:
    cause: str
    effect: str
    button: str
    # Where the button posts to, by its name in urls.py.
    address: str = "newsroom:campaign-resumption"
    is_bad: bool = False


def bands(campaign: Campaign, readers: int, progress: Progress | None) -> list[Band]:
    """The worst first; none if all is well."""
    match campaign.status:
        case Campaign.Status.PAUSED if progress is None:
            return [_held(campaign, readers)]
        case Campaign.Status.PAUSED if progress:
            return [_paused(campaign, progress)]
        case Campaign.Status.ATTENTION if progress:
            return [_broken(campaign, progress)]
        case Campaign.Status.SENDING:
            return _set_aside(campaign)
    return []


def _held(campaign: Campaign, readers: int) -> Band:
    send = ngettext("Send to %(n)s reader now", "Send to %(n)s readers now", readers)
    return Band(
        cause=campaign.trouble or _("It is held back."),
        effect=_waiting(readers),
        button=send % {"n": intcomma(readers)},
    )


def _paused(campaign: Campaign, progress: Progress) -> Band:
    return Band(
        cause=campaign.trouble or _("Paused by the newsroom."),
        effect=" ".join([_have_and_wait(progress), *_past_its_time(campaign)]),
        button=_("Go on"),
    )


def _broken(campaign: Campaign, progress: Progress) -> Band:
    return Band(
        cause=campaign.trouble or _("Our own program failed, again and again."),
        effect=" ".join([_have_and_wait(progress), *_past_its_time(campaign)]),
        button=_("Try again"),
        is_bad=True,
    )


def _set_aside(campaign: Campaign) -> list[Band]:
    """Others are still being served, so it goes on."""
    batches = campaign.batches.set_aside().order_by("pk")
    trouble = batches.values_list("trouble", flat=True).first()
    if trouble is None:
        return []
    cause = _("Our own program failed again and again with some of the readers: %(trouble)s")
    return [
        Band(
            cause=cause % {"trouble": trouble or "–"},
            effect=_waiting(reports.readers_set_aside(campaign)),
            button=_("Try again"),
        )
    ]


def _waiting(readers: int) -> str:
    waiting = ngettext("%(n)s reader waits.", "%(n)s readers wait.", readers)
    return waiting % {"n": intcomma(readers)}


def _have_and_wait(progress: Progress) -> str:
    have = ngettext("%(n)s reader has it.", "%(n)s readers have it.", progress.sent)
    return f"{have % {'n': intcomma(progress.sent)}} {_waiting(progress.waiting)}"


def _past_its_time(campaign: Campaign) -> list[str]:
    if campaign.send_until is None or not campaign.is_past_its_time:
        return []
    until = formats.date_format(campaign.send_until.astimezone(campaign.zone), "D j M, H:i")
    words = _("It was news until %(until)s: who goes on says that it still is, for 12 hours more.")
    return [words % {"until": until}]
