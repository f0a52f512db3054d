"""What one can subscribe to."""

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import MailingListForm
from subscribers.models import MailingList, Publication, Subscription


@editors_only
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    lists = MailingList.objects.select_related("publication__sender", "sender")
    readers = dict(
        Subscription.objects.mailable()
        .order_by()
        .values_list("mailing_list")
        .annotate(readers=Count("pk"))
    )
    rows = [(mailing_list, readers.get(mailing_list.pk, 0)) for mailing_list in lists]
    return render(request, "newsroom/lists.html", {"rows": rows})


@editors_only
def new(request: HttpRequest) -> HttpResponse:
    return _edit(request, MailingList(publication=Publication.objects.current()))


@editors_only
def page(request: HttpRequest, pk: int) -> HttpResponse:
    return _edit(request, get_object_or_404(MailingList, pk=pk))


def _edit(request: HttpRequest, mailing_list: MailingList) -> HttpResponse:
    form = MailingListForm(request.POST or None, instance=mailing_list)
    if form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("newsroom:lists")
    status = 422 if form.errors else 200
    context = {"form": form, "mailing_list": mailing_list}
    return render(request, "newsroom/list.html", context, status=status)
