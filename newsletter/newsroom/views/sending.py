"""When a campaign goes, and what stops it."""

from datetime import datetime

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from newsletter import reports
from newsletter.content import ContentError, freeze_versions
from newsletter.models import Campaign, Parking
from newsletter.newsroom import desk
from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import ConfirmedForm, ScheduleForm


@editors_only
@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks when; POST books what the review showed, for the number that it named."""
    campaign = _campaign(pk)
    if request.method != "POST":
        return _ask_when(request, campaign, ScheduleForm(campaign=campaign))
    form = ScheduleForm(request.POST, campaign=campaign)
    if not campaign.is_draft or not form.is_valid():
        return _ask_when(request, campaign, form)
    if not ConfirmedForm(request.POST).is_close_to(campaign.readers()):
        return _show(request, campaign, form, changed=True)
    return _book(request, campaign, form.due_at)


@editors_only
@require_GET
def review(request: HttpRequest, pk: int) -> HttpResponse:
    """All that will happen, on one page, with the number of readers on the button."""
    campaign = _campaign(pk)
    form = ScheduleForm(request.GET, campaign=campaign)
    if not campaign.is_draft or not form.is_valid():
        return _ask_when(request, campaign, form)
    return _show(request, campaign, form, changed=False)


@editors_only
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks, naming how many have it already; POST calls it off, or stops it for good."""
    campaign = _campaign(pk)
    if request.method != "POST":
        return _ask_whether(request, campaign)
    if campaign.cancel():
        messages.success(request, _stopped(campaign))
    else:
        messages.error(request, _("Too late to call it off: it is over."))
    return redirect("newsroom:campaign", pk)


@editors_only
@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    if not _campaign(pk).pause():
        messages.error(request, _("There is nothing to pause: it is not being handed over."))
    return redirect("newsroom:campaign", pk)


@editors_only
@require_POST
def resumption(request: HttpRequest, pk: int) -> HttpResponse:
    campaign = _campaign(pk)
    if not (campaign.resume() or campaign.put_back()):
        messages.error(request, _("It is not paused any more."))
    return redirect("newsroom:campaign", pk)


@editors_only
@require_POST
def parking(request: HttpRequest, pk: int, parking: int) -> HttpResponse:
    """Try a mailbox provider again at once that refused us: a few readers first."""
    campaign = _campaign(pk)
    if Parking.objects.release(parking):
        campaign.batches.filter(left_aside__gt=0).update(due_at=Now())
        messages.success(request, _("A few readers there are tried now; if they get it, all do."))
    else:
        messages.info(request, _("They are being tried again already."))
    return redirect("newsroom:campaign", pk)


@editors_only
@require_POST
def draft(request: HttpRequest, pk: int) -> HttpResponse:
    if not _campaign(pk).redraft():
        messages.error(request, _("Only a campaign that was called off can be a draft again."))
    return redirect("newsroom:campaign", pk)


def _campaign(pk: int) -> Campaign:
    return get_object_or_404(Campaign.objects.select_related("publication__sender"), pk=pk)


def _ask_whether(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    if not campaign.is_booked or campaign.started_at is None:
        return redirect("newsroom:campaign", campaign.pk)
    context = {"campaign": campaign, "progress": reports.progress(campaign)}
    return render(request, "newsroom/campaign_stop.html", context)


def _stopped(campaign: Campaign) -> str:
    campaign.refresh_from_db()
    if campaign.started_at is None:
        return _("Called off. Nobody was written to.")
    have = reports.progress(campaign).sent
    words = ngettext(
        "Stopped for good. %(n)s reader has it.", "Stopped for good. %(n)s readers have it.", have
    )
    return words % {"n": intcomma(have)}


def _ask_when(request: HttpRequest, campaign: Campaign, form: ScheduleForm) -> HttpResponse:
    if not campaign.is_draft:
        messages.info(request, _("This campaign was scheduled already."))
        return redirect("newsroom:campaign", campaign.pk)
    context = {"campaign": campaign, "form": form, "readers": campaign.readers()}
    status = 422 if form.errors else 200
    return render(request, "newsroom/campaign_schedule.html", context, status=status)


def _show(
    request: HttpRequest, campaign: Campaign, form: ScheduleForm, *, changed: bool
) -> HttpResponse:
    context = desk.review(campaign, form.due_at) | {"form": form, "changed": changed}
    status = 409 if changed else 200
    return render(request, "newsroom/campaign_review.html", context, status=status)


def _book(request: HttpRequest, campaign: Campaign, due_at: datetime) -> HttpResponse:
    try:
        versions = freeze_versions(campaign)
    except ContentError:
        # The campaign's page lists what is wrong, each with its remedy.
        messages.error(request, _("Not scheduled: something has to be mended first."))
        return redirect("newsroom:campaign", campaign.pk)
    if campaign.schedule(versions, due_at):
        messages.success(request, _("Scheduled."))
    else:
        messages.info(request, _("This campaign was scheduled already."))
    return redirect("newsroom:campaign", campaign.pk)
