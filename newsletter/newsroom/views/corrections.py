"""Another wording for what is booked already: it keeps its slot, and whoever has it, has it."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from newsletter.content import ContentError, freeze_versions
from newsletter.models import Campaign
from newsletter.newsroom import desk
from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import ReplacementForm, SubjectForm, TextForm


@editors_only
@require_http_methods(["GET", "HEAD", "POST"])
def correction(request: HttpRequest, pk: int) -> HttpResponse:
    """The words to put right. POST stores the articles', and leads to the review."""
    campaign = _campaign(pk)
    if not campaign.is_booked:
        return _too_late(request, campaign)
    subject = SubjectForm(request.POST or None, instance=campaign)
    texts = _texts(request, campaign)
    valid = [form.is_valid() for form in (subject, *texts)]
    if not all(valid) or not all(text.save_changes() for text in texts):
        return _sheet(request, subject, texts)
    query = urlencode({"subject": campaign.subject})
    return redirect(f"{reverse('newsroom:campaign-corrected', args=[pk])}?{query}")


@editors_only
@require_GET
def corrected(request: HttpRequest, pk: int) -> HttpResponse:
    """The new wording, and how many get it; nothing is replaced yet."""
    campaign = _campaign(pk)
    subject = SubjectForm(request.GET, instance=campaign)
    if not campaign.is_booked:
        return _too_late(request, campaign)
    if not subject.is_valid():
        return _sheet(request, subject, _texts(request, campaign))
    context = desk.correction(campaign) | {"query": urlencode({"subject": campaign.subject})}
    return render(request, "newsroom/campaign_corrected.html", context)


@editors_only
@require_POST
def replacement(request: HttpRequest, pk: int) -> HttpResponse:
    campaign = _campaign(pk)
    seen = ReplacementForm(request.POST, campaign=campaign).keys
    if not SubjectForm(request.POST, instance=campaign).is_valid():
        return redirect("newsroom:campaign-correction", pk)
    try:
        versions = freeze_versions(campaign)
    except ContentError:
        messages.error(request, _("Not replaced: something has to be mended first."))
        return redirect("newsroom:campaign-correction", pk)
    if campaign.replace_versions(versions, seen):
        messages.success(request, _("Replaced. Whoever has not got it yet gets this wording."))
    else:
        messages.error(request, _("Not replaced: it is over, or somebody else replaced it."))
    return redirect("newsroom:campaign", pk)


def _campaign(pk: int) -> Campaign:
    return get_object_or_404(Campaign.objects.select_related("publication__sender"), pk=pk)


def _texts(request: HttpRequest, campaign: Campaign) -> list[TextForm]:
    entries = campaign.entries.select_related("article__publication")
    return [
        TextForm(request.POST or None, instance=entry.article, prefix=f"article{entry.article_id}")
        for entry in entries
    ]


def _sheet(request: HttpRequest, subject: SubjectForm, texts: list[TextForm]) -> HttpResponse:
    theirs = any(text.theirs for text in texts)
    wrong = any(form.errors for form in (subject, *texts))
    context = {"campaign": subject.instance, "subject": subject, "texts": texts}
    context |= {"wrong": wrong, "theirs": theirs}
    status = 409 if theirs else 422 if wrong else 200
    return render(request, "newsroom/campaign_correction.html", context, status=status)


def _too_late(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    messages.error(request, _("Only what is booked and not over can be corrected."))
    return redirect("newsroom:campaign", campaign.pk)
