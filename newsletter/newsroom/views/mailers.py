"""Mailers that are down: tried again at once, or replaced by their standby."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from newsletter import reports
from newsletter.models import Batch, Campaign, RateLimit, WarmUp
from newsletter.models.limits import WHOLE, day_of
from newsletter.newsroom.access import editors_only, may_answer_for_standby
from newsletter.newsroom.mailers import down
from subscribers.models import Breaker, Sender


@editors_only
@require_POST
def of_campaign(request: HttpRequest, pk: int, mailer: str) -> HttpResponse:
    """Try it again at once: a few readers first."""
    campaign = get_object_or_404(Campaign, pk=pk)
    _try_now(request, mailer)
    return redirect("newsroom:campaign", campaign.pk)


@editors_only
@require_POST
def of_letters(request: HttpRequest, mailer: str) -> HttpResponse:
    _try_now(request, mailer)
    return redirect("newsroom:campaigns")


@editors_only
@require_http_methods(["GET", "HEAD", "POST"])
def standby(request: HttpRequest, pk: int, sender: int) -> HttpResponse:
    """GET asks whether mailbox providers know the standby; POST has somebody answer for it."""
    campaign = get_object_or_404(Campaign.objects.select_related("publication"), pk=pk)
    chosen = get_object_or_404(Sender, pk=sender)
    if request.method != "POST" or not may_answer_for_standby(request.user):
        return _ask(request, campaign, chosen)
    if request.POST.get("standby") != chosen.standby:
        messages.error(request, _("The standby was changed meanwhile. Look again."))
    else:
        chosen.mark_standby(request.user.pk)
        _go_on(campaign, chosen)
        words = _("“%(name)s” takes over whenever “%(first)s” is down.")
        names = {"name": chosen.standby, "first": chosen.mailer}
        messages.success(request, words % names)
    return redirect("newsroom:campaign", campaign.pk)


def _try_now(request: HttpRequest, mailer: str) -> None:
    if Breaker.objects.try_now([mailer]):
        Batch.objects.bring_forward([mailer])
        messages.success(request, _("It is tried now; if one mail gets through, all go by it."))
    else:
        messages.info(request, _("It takes our mail, or is tried with the next one anyway."))


def _ask(request: HttpRequest, campaign: Campaign, sender: Sender) -> HttpResponse:
    held = next((one for one in down(campaign) if one.sender == sender and one.could), None)
    if held is None:
        messages.info(request, _("There is nothing to take over any more."))
        return redirect("newsroom:campaign", campaign.pk)
    context: dict[str, Any] = {
        "campaign": campaign,
        "held": held,
        "most": _most_today(sender.standby),
        "progress": reports.progress(campaign),
        "may": may_answer_for_standby(request.user),
    }
    status = 403 if request.method == "POST" else 200
    return render(request, "newsroom/campaign_standby.html", context, status=status)


def _most_today(mailer: str) -> int | None:
    """What its limits and its warm-up let it send in a day; None: any number."""
    today = day_of(timezone.now())
    rate = RateLimit.objects.rates().get(mailer, {}).get(WHOLE)
    known = [rate.per_day if rate else None, WarmUp.objects.allowances(today).get(mailer)]
    return min((number for number in known if number is not None), default=None)


def _go_on(campaign: Campaign, sender: Sender) -> None:
    """Whoever waits for the first one need not any more."""
    if campaign.trouble and Breaker.objects.down().filter(mailer=sender.mailer).exists():
        campaign.resume()
    Batch.objects.bring_forward([sender.mailer])
