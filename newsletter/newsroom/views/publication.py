"""The paper itself: its names, its sender."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import PublicationForm, SenderForm
from subscribers.models import Publication, Sender


@editors_only
def settings(request: HttpRequest) -> HttpResponse:
    paper = Publication.objects.current()
    form = PublicationForm(request.POST or None, instance=paper)
    sender = paper.sender or Sender(publication=paper)
    sender_form = SenderForm(
        request.POST or None, instance=sender, prefix="sender", user=request.user
    )
    if form.is_valid() and sender_form.is_valid():
        is_for_another = sender_form.must_be_marked_again
        form.save_with(sender_form.save())
        messages.success(request, _("Saved."))
        if is_for_another and sender.standby:
            words = _("“%(name)s” may not take over until it is marked as warmed up.")
            messages.info(request, words % {"name": sender.standby})
        return redirect("newsroom:settings")
    status = 422 if form.errors or sender_form.errors else 200
    context = {"form": form, "sender_form": sender_form}
    return render(request, "newsroom/settings.html", context, status=status)
