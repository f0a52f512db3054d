"""What is wrong with a campaign: the cause, what it means in readers, and the one thing to do."""

from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from newsletter import reports
from newsletter.models import Campaign, Parking
from newsletter.newsroom.parked import parked
from newsletter.reports import Progress

# What readers call a mailbox provider.
_HOUSES = {
    "gmail": "Gmail",
    "microsoft": "Microsoft (Outlook, Hotmail)",
    "yahoo": "Yahoo",
    "apple": "Apple (iCloud)",
    "proton": "Proton",
    "gmx": "GMX and web.de",
    "orange": "Orange",
    "laposte": "La Poste",
}


@dataclass(frozen=True)
class Band:
    cause: str
    effect: str
    button: str
    # Where the button posts to.
    url: str
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
            return [*_set_aside(campaign), *_parked(campaign)]
    return []


def _held(campaign: Campaign, readers: int) -> Band:
    send = ngettext("Send to %(n)s reader now", "Send to %(n)s readers now", readers)
    return Band(
        cause=campaign.trouble or _("It is held back."),
        effect=_waiting(readers),
        button=send % {"n": intcomma(readers)},
        url=_resumption(campaign),
    )


def _paused(campaign: Campaign, progress: Progress) -> Band:
    return Band(
        cause=campaign.trouble or _("Paused by the newsroom."),
        effect=" ".join([_have_and_wait(progress), *_past_its_time(campaign)]),
        button=_("Go on"),
        url=_resumption(campaign),
    )


def _broken(campaign: Campaign, progress: Progress) -> Band:
    return Band(
        cause=campaign.trouble or _("Our own program failed, again and again."),
        effect=" ".join([_have_and_wait(progress), *_past_its_time(campaign)]),
        button=_("Try again"),
        url=_resumption(campaign),
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
            url=_resumption(campaign),
        )
    ]


def _parked(campaign: Campaign) -> list[Band]:
    """Mailbox providers that refuse all our mail: everybody else is being served."""
    return [
        _refusing(campaign, parking, readers)
        for parking, readers in parked(campaign)
        # Of those that nobody here waits for, another campaign's page tells.
        if readers
    ]


def _refusing(campaign: Campaign, parking: Parking, readers: int) -> Band:
    house = _HOUSES.get(parking.house, parking.house)
    answer = f"{parking.code} {parking.text}".strip() or "–"
    cause = _("%(house)s refuses our mail: %(answer)s") % {"house": house, "answer": answer}
    at = formats.time_format(parking.until.astimezone(campaign.zone), "H:i")
    again = _("They are tried again at %(time)s; everybody else gets it meanwhile.")
    return Band(
        cause=cause,
        effect=f"{_waiting(readers)} {again % {'time': at}}",
        button=_("Try again now"),
        url=reverse("newsroom:campaign-parking", args=[campaign.pk, parking.pk]),
    )


def _resumption(campaign: Campaign) -> str:
    return reverse("newsroom:campaign-resumption", args=[campaign.pk])


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
