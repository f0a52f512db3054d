"""What is wrong with a campaign: the cause, what it means in readers, and the one thing to do."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.contrib.humanize.templatetags.humanize import intcomma
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from newsletter import reports
from newsletter.models import Campaign, Parking
from newsletter.newsroom.houses import house_name
from newsletter.newsroom.mailers import Down, down, letters_down
from newsletter.newsroom.parked import parked
from newsletter.reports import Progress
from subscribers.models import Breaker


@dataclass(frozen=True)
class Band:
    cause: str
    effect: str
    button: str
    # Where the button posts to.
    url: str
    is_bad: bool = False
    # What else one may decide, on a page of its own: its name and address.
    other: tuple[str, str] | None = None


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
            return [*_down(campaign), *_set_aside(campaign), *_parked(campaign)]
    return []


def letter_bands() -> list[Band]:
    """Mailers of letters that are down: what becomes of those who wait for one."""
    return [_letters_held(one) for one in letters_down()]


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
        other=next(filter(None, (_choice(campaign, one) for one in down(campaign))), None),
    )


def _broken(campaign: Campaign, progress: Progress) -> Band:
    return Band(
        cause=campaign.trouble or _("Our own program failed, again and again."),
        effect=" ".join([_have_and_wait(progress), *_past_its_time(campaign)]),
        button=_("Try again"),
        url=_resumption(campaign),
        is_bad=True,
    )


def _down(campaign: Campaign) -> list[Band]:
    return [_held_by(campaign, one) for one in down(campaign) if one.waiting]


def _held_by(campaign: Campaign, one: Down) -> Band:
    meanwhile = _("The standby “%(name)s” takes over: they get it by that one.")
    if one.takes_over:
        words = [_waiting(one.waiting), meanwhile % {"name": one.takes_over}]
    else:
        words = [_waiting(one.waiting), _nobody_takes_over(one)]
    return Band(
        cause=_is_down(one.breaker, campaign.zone),
        effect=" ".join([*words, _tried_again(one.breaker, campaign.zone)]),
        button=_("Try again now"),
        url=reverse("newsroom:campaign-mailer", args=[campaign.pk, one.breaker.mailer]),
        is_bad=not one.takes_over,
        other=_choice(campaign, one),
    )


def _choice(campaign: Campaign, one: Down) -> tuple[str, str] | None:
    """To let a standby take over that nobody has marked as warmed up."""
    if one.sender is None or not one.could:
        return None
    url = reverse("newsroom:campaign-standby", args=[campaign.pk, one.sender.pk])
    return _("Use “%(name)s” for this") % {"name": one.could}, url


def _letters_held(one: Down) -> Band:
    zone = _zone(one)
    if one.takes_over:
        words = _("Letters (confirmations, welcomes) go by “%(name)s” meanwhile.")
        effect = words % {"name": one.takes_over}
    elif not one.waiting:
        effect = _("Nobody waits for a letter (confirmation, welcome) just now.")
    else:
        effect = ngettext(
            "%(n)s letter waits (confirmations, welcomes), and goes as soon as it is taken.",
            "%(n)s letters wait (confirmations, welcomes), and go as soon as they are taken.",
            one.waiting,
        ) % {"n": intcomma(one.waiting)}
    return Band(
        cause=_is_down(one.breaker, zone),
        effect=f"{effect} {_tried_again(one.breaker, zone)}",
        button=_("Try again now"),
        url=reverse("newsroom:mailer", args=[one.breaker.mailer]),
        is_bad=not one.takes_over,
    )


def _zone(one: Down) -> ZoneInfo:
    return ZoneInfo(one.sender.publication.time_zone if one.sender else "UTC")


def _is_down(breaker: Breaker, zone: ZoneInfo) -> str:
    """Which, since when, and what it said."""
    causes = {
        Breaker.Kind.UNREACHABLE: _("The mailer “%(name)s” cannot be reached since %(since)s: "),
        Breaker.Kind.BUSY: _("The mailer “%(name)s” takes nothing since %(since)s, and says: "),
        Breaker.Kind.LOCKED_OUT: _("The mailer “%(name)s” does not let us in since %(since)s: "),
    }
    since = (breaker.down_since or breaker.clock).astimezone(zone)
    is_today = since.date() == breaker.clock.astimezone(zone).date()
    at = formats.date_format(since, "H:i" if is_today else "j M, H:i")
    return causes[Breaker.Kind(breaker.kind)] % {"name": breaker.mailer, "since": at} + (
        breaker.said or "–"
    )


def _tried_again(breaker: Breaker, zone: ZoneInfo) -> str:
    if breaker.is_being_tried:
        return _("A few readers are trying it now.")
    if breaker.rests_until is None:
        return _("It is tried again with the next mail.")
    at = formats.time_format(breaker.rests_until.astimezone(zone), "H:i")
    return _("It is tried again at %(time)s.") % {"time": at}


def _nobody_takes_over(one: Down) -> str:
    standby = one.sender.standby if one.sender else ""
    if one.could:
        words = _("Its standby “%(name)s” is not marked as warmed up, so it does not take over.")
    elif standby:
        words = _("Its standby “%(name)s” is down too, or not set up.")
    else:
        words = _("It has no standby.")
    return words % {"name": standby}


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
    house = house_name(parking.house)
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
