"""The terms: all wordings there were, the next one, and who is under which."""

from collections.abc import Iterator
from difflib import ndiff
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import RenewalForm, TermsForm
from subscribers.models import Letter, Publication, Renewal, Subscription, Terms

_A_PAGE = 50


@editors_only
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    paper = Publication.objects.current()
    return _written(request, TermsForm(None, publication=paper, newest=_newest(paper)))


@editors_only
@require_POST
def review(request: HttpRequest) -> HttpResponse:
    """What publishing would do; nothing is published yet."""
    form = _form(request)
    return _reviewed(request, form) if form.is_valid() else _written(request, form)


@editors_only
@require_POST
def draft(request: HttpRequest) -> HttpResponse:
    """Back from the review, with all that was typed."""
    return _written(request, _form(request))


@editors_only
@require_POST
def publication(request: HttpRequest) -> HttpResponse:
    form = _form(request)
    if not form.is_valid():
        return _written(request, form)
    if not form.publish(request.user.get_username()):
        return _reviewed(request, form, is_outrun=True)
    messages.success(request, _("Published. Forms show this wording from now on."))
    return redirect("newsroom:terms")


@editors_only
@require_GET
def renewal(request: HttpRequest, number: int) -> HttpResponse:
    asked = _renewal(number)
    return _renewal_page(request, asked, RenewalForm(renewal=asked))


@editors_only
@require_POST
def renewal_date(request: HttpRequest, number: int) -> HttpResponse:
    asked = _renewal(number)
    form = RenewalForm(request.POST, renewal=asked)
    if not form.is_valid():
        return _renewal_page(request, asked, form)
    form.save()
    messages.success(request, _("Saved."))
    return redirect("newsroom:terms-renewal", number)


def _form(request: HttpRequest) -> TermsForm:
    paper = Publication.objects.current()
    return TermsForm(request.POST, publication=paper, newest=_newest(paper))


def _newest(paper: Publication) -> Terms | None:
    return paper.terms_versions.order_by("number").last()


def _written(request: HttpRequest, form: TermsForm) -> HttpResponse:
    paper = form.publication
    readers = _readers(paper)
    wordings = paper.terms_versions.select_related("renewal").order_by("-number")
    context = {
        "form": form,
        "wordings": [(terms, readers.pop(terms.pk, 0)) for terms in wordings],
        "under_none": readers.get(None, 0),
    }
    status = 422 if form.errors else 200
    return render(request, "newsroom/terms.html", context, status=status)


def _readers(paper: Publication) -> dict[int | None, int]:
    """How many are mailed under each version, by its row."""
    periods = Subscription.objects.confirmed().filter(mailing_list__publication=paper)
    counted = periods.order_by().values_list("agreed_to")
    return dict(counted.annotate(readers=Count("subscriber", distinct=True)))


def _reviewed(request: HttpRequest, form: TermsForm, *, is_outrun: bool = False) -> HttpResponse:
    newest = _newest(form.publication)
    context: dict[str, Any] = {
        "form": form,
        "number": newest.number + 1 if newest else 1,
        "newest": newest,
        "terms": form.instance,
        "changes": list(_changes(newest, form.instance)) if newest else [],
        "readers": _everybody(form.publication) if form.asks else 0,
        "is_outrun": is_outrun,
    }
    status = 409 if is_outrun else 200
    return render(request, "newsroom/terms_review.html", context, status=status)


def _changes(old: Terms, new: Terms) -> Iterator[tuple[str, str]]:
    """Line by line: "-" for what goes, "+" for what comes, " " for what stays."""
    before, after = ([one.label, *one.text.splitlines()] for one in (old, new))
    for line in ndiff(before, after):
        if line[0] != "?" and line[2:].strip():
            yield line[0], line[2:]


def _everybody(paper: Publication) -> int:
    periods = Subscription.objects.confirmed().filter(mailing_list__publication=paper)
    return periods.values("subscriber").distinct().count()


def _renewal(number: int) -> Renewal:
    paper = Publication.objects.current()
    found = Renewal.objects.select_related("terms__publication")
    return get_object_or_404(found, terms__publication=paper, terms__number=number)


def _renewal_page(request: HttpRequest, asked: Renewal, form: RenewalForm) -> HttpResponse:
    """A page of the list goes on where the last one ended."""
    behind = Subscription.objects.behind(asked.terms)
    rows = _rows(behind.filter(subscriber__gt=_after(request)))
    letters = Letter.objects.filter(kind=Letter.Kind.TERMS, asked_at__gte=asked.started_at)
    everybody = _everybody(asked.terms.publication)
    waiting = behind.values("subscriber").distinct().count()
    context = {
        "renewal": asked,
        "form": form,
        "everybody": everybody,
        "waiting": waiting,
        "agreed": everybody - waiting,
        "written_to": letters.filter(sent_at__isnull=False).count(),
        "rows": rows[:_A_PAGE],
        "last": rows[_A_PAGE - 1].subscriber_id if len(rows) > _A_PAGE else None,
    }
    return render(
        request, "newsroom/terms_renewal.html", context, status=422 if form.errors else 200
    )


def _rows(behind: Any) -> list[Subscription]:
    """One period a reader, and one more than a page."""
    related = behind.select_related("subscriber", "agreed_to").order_by("subscriber", "pk")
    found: dict[int, Subscription] = {}
    for period in related[: _A_PAGE * 4]:
        found.setdefault(period.subscriber_id, period)
    return list(found.values())[: _A_PAGE + 1]


def _after(request: HttpRequest) -> int:
    after = request.GET.get("after", "")
    return int(after) if after.isdecimal() and len(after) < 18 else 0
