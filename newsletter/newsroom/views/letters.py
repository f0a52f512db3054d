"""The mail itself, before anybody gets it: how it will look, and one to try."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.csp import CSP
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_GET, require_POST

from newsletter import delivery
from newsletter.content import ContentError, Mailing, Parts, Reader, compile_versions
from newsletter.models import Campaign, Version
from newsletter.newsroom import desk
from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import SubjectForm, TestForm
from subscribers.addresses import AddressError

type _Versions = Callable[[Campaign], list[Version]]

# A mail has inline styles and pictures, and is shown in a frame that can do nothing else.
_MAIL_CSP: dict[str, list[str]] = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.UNSAFE_INLINE],
    "img-src": [CSP.SELF, "data:", "https:"],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.NONE],
    "frame-ancestors": [CSP.SELF],
    "sandbox": ["allow-popups", "allow-popups-to-escape-sandbox"],
}


@editors_only
@require_GET
def mail(request: HttpRequest, pk: int, slug: str) -> HttpResponse:
    """How one list gets it: HTML in a frame, and the plain text."""
    return _mail(request, _campaign(pk), slug, desk.versions, "newsroom:campaign-mail")


@editors_only
@require_GET
def corrected_mail(request: HttpRequest, pk: int, slug: str) -> HttpResponse:
    """How it would get it if what is booked were replaced by what the articles say now."""
    campaign = _reworded(request, pk)
    return _mail(request, campaign, slug, compile_versions, "newsroom:campaign-corrected-mail")


@editors_only
@require_GET
@xframe_options_sameorigin
@csp_override(_MAIL_CSP)
def html(request: HttpRequest, pk: int, slug: str) -> HttpResponse:
    return _html(_campaign(pk), slug, desk.versions)


@editors_only
@require_GET
@xframe_options_sameorigin
@csp_override(_MAIL_CSP)
def corrected_html(request: HttpRequest, pk: int, slug: str) -> HttpResponse:
    return _html(_reworded(request, pk), slug, compile_versions)


@editors_only
@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """One mail to one address, outside of every count."""
    campaign = _campaign(pk)
    form = TestForm(request.POST)
    if not form.is_valid():
        context = desk.draft(campaign) | {"test_form": form}
        return render(request, "newsroom/campaign.html", context, status=422)
    _send_test(request, campaign, form.cleaned_data["address"])
    return redirect("newsroom:campaign", pk)


def _send_test(request: HttpRequest, campaign: Campaign, address: str) -> None:
    try:
        delivery.send_test(campaign, address)
    except ContentError:
        messages.error(request, _("No test was sent: something has to be mended first."))
    except AddressError as error:
        messages.error(request, _("No test was sent: %(reason)s") % {"reason": error})
    except delivery.TransportError as error:
        messages.error(
            request, _("The mail server did not take the test: %(reason)s") % {"reason": error}
        )
    else:
        messages.success(
            request, _("A test was handed over for %(address)s.") % {"address": address}
        )


def _campaign(pk: int) -> Campaign:
    return get_object_or_404(Campaign.objects.select_related("publication__sender"), pk=pk)


def _reworded(request: HttpRequest, pk: int) -> Campaign:
    """With the subject that is being tried, not stored."""
    campaign = _campaign(pk)
    if not SubjectForm(request.GET, instance=campaign).is_valid():
        raise Http404("No such subject.")
    return campaign


def _mail(
    request: HttpRequest, campaign: Campaign, slug: str, versions: _Versions, page: str
) -> HttpResponse:
    context: dict[str, Any] = {"campaign": campaign}
    try:
        context |= {"parts": _parts(versions(campaign), slug), "slug": slug}
    except ContentError as error:
        context |= {"problems": error.problems}
    else:
        query = request.GET.urlencode()
        context |= {"mailing_lists": campaign.mailing_lists.all(), "page": page}
        context |= {"frame": f"{page}-html", "query": f"?{query}" if query else ""}
    return render(request, "newsroom/campaign_mail.html", context)


def _html(campaign: Campaign, slug: str, versions: _Versions) -> HttpResponse:
    try:
        return HttpResponse(_parts(versions(campaign), slug).html)
    except ContentError as error:
        raise Http404(str(error)) from error


def _parts(versions: list[Version], slug: str) -> Parts:
    """As nobody in particular gets it: its personal links lead nowhere."""
    for version in versions:
        if version.mailing_list.slug == slug:
            reader = Reader(0, "reader@example.com", "", version.mailing_list_id)
            return Mailing(version).parts(reader, timezone.now())
    raise Http404(f"{slug} is none of its lists.")
