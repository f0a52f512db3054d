"""All the evidence of a reader, on one sheet; who looked at it stays on record."""

import json
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import ReceiptForm
from subscribers import receipts
from subscribers.models import Receipt, Subscriber


@editors_only
@require_POST
def draw_up(request: HttpRequest, pk: int) -> HttpResponse:
    reader = get_object_or_404(Subscriber, pk=pk)
    form = ReceiptForm(request.POST)
    if not form.is_valid():
        return render(
            request, "newsroom/receipt_wanted.html", {"form": form, "reader": reader}, status=422
        )
    receipt = form.draw_up(reader, request.user.get_username())
    return redirect("newsroom:reader-receipt", receipt.pk)


@editors_only
@require_GET
def page(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "newsroom/receipt.html", {"receipt": _told(request, pk)})


@editors_only
@require_GET
def as_json(request: HttpRequest, pk: int) -> HttpResponse:
    written = json.dumps(_told(request, pk), indent=2, ensure_ascii=False, default=_moment)
    answer = HttpResponse(written, content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="receipt-{pk}.json"'
    return answer


def _told(request: HttpRequest, pk: int) -> dict[str, Any]:
    """Whoever wants to see it draws up one of their own: so each look has its row."""
    mine = Receipt.objects.filter(actor=request.user.get_username(), subscriber__isnull=False)
    receipt = get_object_or_404(mine.select_related("subscriber"), pk=pk)
    assert receipt.subscriber  # noqa: S101  The query says so.
    return receipts.told(receipt, receipt.subscriber)


def _moment(value: datetime) -> str:
    return value.isoformat()
