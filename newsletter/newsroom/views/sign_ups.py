"""Who signed up and was not let in yet: held for a look, or waiting for the end of an attack."""

import logging

from django.conf import settings
from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from newsletter.newsroom.access import editors_only
from newsletter.newsroom.forms import HeldForm
from subscribers.guards import scores
from subscribers.models import Attack, Publication, SignUp
from subscribers.models.attacks import QUIET_FOR
from subscribers.models.sign_ups import FAILED

logger = logging.getLogger(__name__)

_A_PAGE = 50


@editors_only
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """The oldest first: whoever signed up waits for an answer."""
    form = HeldForm(request.GET)
    held = SignUp.objects.held()
    rows = list(form.after(held)[: _A_PAGE + 1])
    attack = Attack.objects.current()
    context = {
        "rows": [(sign_up, _reasons(sign_up)) for sign_up in rows[:_A_PAGE]],
        "held": held.count(),
        "newest": held.order_by("pk").last(),
        "last": rows[_A_PAGE - 1] if len(rows) > _A_PAGE else None,
        "attack": attack,
        "queued": SignUp.objects.queued().count() if attack else 0,
        "coming": SignUp.objects.coming(),
        "a_minute": settings.CONFIRMATIONS_PER_MINUTE,
        "released_a_minute": _released_a_minute(),
        "quiet_minutes": QUIET_FOR.seconds // 60,
    }
    return render(request, "newsroom/sign_ups.html", context)


@editors_only
@require_POST
def release(request: HttpRequest) -> HttpResponse:
    """Let in who was held: one of them, or all that the editor had before the eyes."""
    count = HeldForm(request.POST).chosen(SignUp.objects.held()).release()
    logger.info("%s released %d sign-ups.", request.user.get_username(), count)
    words = ngettext("%(n)s sign-up is let in.", "%(n)s sign-ups are let in.", count)
    messages.success(request, words % {"n": intcomma(count)})
    return redirect("newsroom:sign-ups")


@editors_only
@require_POST
def removal(request: HttpRequest) -> HttpResponse:
    count = HeldForm(request.POST).chosen(SignUp.objects.held()).drop()
    logger.info("%s removed %d sign-ups.", request.user.get_username(), count)
    words = ngettext("%(n)s sign-up is removed.", "%(n)s sign-ups are removed.", count)
    messages.success(request, words % {"n": intcomma(count)})
    return redirect("newsroom:sign-ups")


@editors_only
@require_POST
def attack(request: HttpRequest) -> HttpResponse:
    """The editor's switch: from now on confirmations wait."""
    by = request.user.get_username()
    if Attack.objects.begin(Publication.objects.current(), by=by):
        messages.success(request, _("Confirmations wait until you say that it is over."))
    else:
        messages.info(request, _("They are waiting already."))
    return redirect("newsroom:sign-ups")


@editors_only
@require_POST
def all_clear(request: HttpRequest) -> HttpResponse:
    """The editor knows that it is over, or that it never was one."""
    by = request.user.get_username()
    if Attack.objects.end(by=by, per_minute=_released_a_minute()):
        messages.success(request, _("Who waited is let in by and by; new ones at once."))
    else:
        messages.info(request, _("It was over already."))
    return redirect("newsroom:sign-ups")


def _released_a_minute() -> int:
    return max(settings.CONFIRMATIONS_PER_MINUTE // 2, 1)


def _reasons(sign_up: SignUp) -> list[str]:
    words = {
        scores.ROLE: _("An address of an office, not of a person"),
        scores.CROWDED: _("Very many at this domain at once"),
        scores.BLAMED: _("Others were signed up from this network and said “this wasn’t me”"),
        scores.BUSY: _("Very many by the same form at once"),
        scores.WITHOUT_WORK: _("Sent without JavaScript"),
        scores.TIGHT: _("Many sign-ups at that moment"),
        FAILED: _("Our own program failed with it, again and again"),
    }
    return [words[sign] for sign in sign_up.signs]
