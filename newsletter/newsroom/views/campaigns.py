"""What goes out: the list of campaigns, and one of them."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from newsletter.models import Campaign
from newsletter.newsroom import desk
from newsletter.newsroom.access import editors_only
from newsletter.newsroom.bands import letter_bands
from newsletter.newsroom.forms import CampaignForm, TestForm
from newsletter.newsroom.houses import returns
from subscribers.models import Publication

_A_PAGE = 25


@editors_only
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    page = Paginator(desk.campaigns(), _A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "rows": desk.rows(page), "troubled": desk.troubled()}
    context["letter_bands"] = letter_bands()
    return render(request, "newsroom/campaigns.html", context)


@editors_only
def new(request: HttpRequest) -> HttpResponse:
    campaign = Campaign(publication=Publication.objects.current(), created_by_id=request.user.pk)
    chosen = {"articles": request.GET.getlist("article")}
    return _compose(request, CampaignForm(request.POST or None, instance=campaign, initial=chosen))


@editors_only
def content(request: HttpRequest, pk: int) -> HttpResponse:
    campaign = get_object_or_404(Campaign, pk=pk)
    if not campaign.is_draft:
        return _too_late(request, campaign)
    return _compose(request, CampaignForm(request.POST or None, instance=campaign))


@editors_only
@require_GET
def page(request: HttpRequest, pk: int) -> HttpResponse:
    campaign = get_object_or_404(Campaign.objects.select_related("publication__sender"), pk=pk)
    if not campaign.is_draft:
        context = desk.sending(campaign) | desk.frozen(campaign)
        if campaign.started_at:
            context["returns"] = returns(campaign)
        return render(request, "newsroom/campaign_progress.html", context)
    context = desk.draft(campaign) | {"test_form": TestForm(initial=_own_address(request))}
    return render(request, "newsroom/campaign.html", context)


@editors_only
@require_GET
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that changes while it is sending; htmx asks for it."""
    campaign = get_object_or_404(Campaign.objects.select_related("publication"), pk=pk)
    return render(request, "newsroom/_progress.html", desk.sending(campaign))


@editors_only
@require_GET
def outcomes(request: HttpRequest, pk: int) -> HttpResponse:
    """Who did not get it, and why."""
    campaign = get_object_or_404(Campaign, pk=pk)
    reasons = desk.reasons(campaign)
    context = {
        "campaign": campaign,
        "reasons": reasons,
        "has_uncertain": any(reason["status"] == "uncertain" for reason in reasons),
        "missed": desk.missed(campaign),
        "shown": desk.SHOWN,
    }
    return render(request, "newsroom/campaign_outcomes.html", context)


def _compose(request: HttpRequest, form: CampaignForm) -> HttpResponse:
    if form.is_valid():
        if not form.save_draft():
            return _too_late(request, form.instance)
        return redirect("newsroom:campaign", form.instance.pk)
    status = 422 if form.errors else 200
    context = {"form": form, "campaign": form.instance}
    return render(request, "newsroom/campaign_content.html", context, status=status)


def _too_late(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    messages.error(request, _("It is no draft any more, so its content stays as it is."))
    return redirect("newsroom:campaign", campaign.pk)


def _own_address(request: HttpRequest) -> dict[str, str]:
    return {"address": getattr(request.user, "email", "")}
