"""Who reads us, and what each of them agreed to."""

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import ReaderSearchForm, ReceiptForm
from subscribers.models import Consent, SignUp, Subscriber, Subscription, Suppression

_A_PAGE = 50


@editors_only
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """A page goes on where the last one ended: nothing is counted, however many there are."""
    form = ReaderSearchForm(request.GET)
    open_periods = Subscription.objects.filter(ended_at=None).select_related("mailing_list")
    found = form.found().prefetch_related(
        Prefetch("subscriptions", open_periods, to_attr="open_periods")
    )
    rows = list(found[: _A_PAGE + 1])
    context = {
        "form": form,
        "readers": rows[:_A_PAGE],
        "last": rows[_A_PAGE - 1] if len(rows) > _A_PAGE else None,
        "held": SignUp.objects.held().count(),
    }
    return render(request, "newsroom/readers.html", context)


@editors_only
@require_GET
def page(request: HttpRequest, pk: int) -> HttpResponse:
    reader = get_object_or_404(Subscriber, pk=pk)
    context = {
        "reader": reader,
        "periods": reader.subscriptions.select_related("mailing_list").order_by("-id"),
        "consents": Consent.objects.filter(subscriber=reader)
        .select_related("terms", "mailing_list")
        .order_by("-id"),
        "suppressions": Suppression.objects.filter(key=reader.suppression_key)
        .select_related("mailing_list", "publication")
        .order_by("-id"),
        "receipt_form": ReceiptForm(),
        "receipts": reader.receipts.order_by("-id")[:20],
        "letters": reader.letters.order_by("-id")[:20],
    }
    return render(request, "newsroom/reader.html", context)
