"""What a reader does: sign up, confirm, leave, come back. Only POST changes anything.

No page here knows a session or sets a cookie, and no POST has more power than the token in its
address: so there is nothing for a forged request to borrow, and no CSRF token to ask for.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, wraps

from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
)
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.text import get_text_list
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from subscribers import door, renewals, tasks, tokens
from subscribers.door import Answer, Outcome
from subscribers.forms import AddressForm, SignupForm
from subscribers.guards import limits, work
from subscribers.models import (
    Consent,
    Evidence,
    Letter,
    MailingList,
    Publication,
    Renewal,
    Subscriber,
    Subscription,
    Suppression,
    Terms,
)
from subscribers.network import client_address
from subscribers.tokens import Purpose
from subscribers.validators import plain_line

type TokenView = Callable[[HttpRequest, str], HttpResponse]
type Knock = Callable[[QueryDict, Evidence], Answer]

LARGEST_FORM = 16 * 1024
LONGEST_BROWSER = 400
LONGEST_REFERRER = 500


class SeeOther(HttpResponseRedirect):
    """The answer to a form: go and look there, with GET."""

    status_code = 303


def _private(view: TokenView) -> TokenView:
    """A page whose address is a key: kept by nobody, found by nobody, told to nobody (TOK-06)."""

    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, token: str) -> HttpResponse:
        response = view(request, token)
        response["Referrer-Policy"] = "no-referrer"
        response["Cache-Control"] = "no-store"
        response["X-Robots-Tag"] = "noindex"
        return response

    return answer


@csrf_exempt
def sign_up(request: HttpRequest) -> HttpResponse:
    """The form on a page of its own, and where every form is sent to."""
    if request.method != "POST":
        form = SignupForm(publication=_publication(), page=request.path)
        return _form_page(request, "sign_up", form)
    return _at_the_door(request, door.sign_up, "sign_up")


@csrf_exempt
def lifting(request: HttpRequest) -> HttpResponse:
    """Whoever once said "this wasn't me" asks for a mail that takes it back."""
    if request.method != "POST":
        return _form_page(request, "lifting", AddressForm())
    return _at_the_door(request, door.ask_to_lift, "lifting")


def _at_the_door(request: HttpRequest, knock: Knock, page: str) -> HttpResponse:
    """The same for everybody: new, known, blocked or a robot (ENU-01)."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_FORM:
        return HttpResponse(status=413)
    # Python knows charsets that are none, and some that decode to what no page can show again.
    request.encoding = "utf-8"
    evidence = replace(_evidence(request, Consent.Method.FORM), form="sign-up")
    try:
        answer = knock(request.POST, evidence)
    except Publication.DoesNotExist as error:
        raise _no_paper() from error
    if answer.outcome in {Outcome.TOO_MANY, Outcome.BUSY}:
        return _come_later(answer)
    if answer.form is None:
        return SeeOther(reverse("subscribers:check-inbox"))
    return _form_page(request, page, answer.form)


def _form_page(request: HttpRequest, page: str, form: AddressForm) -> HttpResponse:
    if isinstance(form, SignupForm) and not form.is_open:
        raise Http404("There is no list to sign up for, or no terms to agree to.")
    status = 422 if form.is_bound else 200
    context = {"signup_form": form}
    response = render(request, f"subscribers/{page}.html", context, status=status)
    # A form's token is good for one sign-up: no cache may hand it to several people.
    patch_cache_control(response, private=True)
    return response


def _come_later(answer: Answer) -> HttpResponse:
    minute = int(time.time() / 60)
    page = _waiting_page(answer.outcome, get_language(), minute)
    status = 429 if answer.outcome is Outcome.TOO_MANY else 503
    return HttpResponse(page, status=status, headers={"Retry-After": str(answer.again_in)})


@lru_cache(maxsize=16)
def _waiting_page(why: Outcome, language: str | None, minute: int) -> str:
    """Made once a minute and language: who floods us shall not have it rendered each time."""
    context = {"publication": _publication(), "is_network": why is Outcome.TOO_MANY}
    return render_to_string("subscribers/come_later.html", context)


@never_cache
def challenge(request: HttpRequest) -> JsonResponse:
    """What our script has to solve before the form is sent; nothing is kept of it."""
    return JsonResponse(work.challenge())


def check_inbox(request: HttpRequest) -> HttpResponse:
    return render(request, "subscribers/check_inbox.html")


def terms(request: HttpRequest) -> HttpResponse:
    """What a reader agrees to today."""
    return _terms_page(request, _publication().terms_versions.order_by("number").last())


def terms_version(request: HttpRequest, number: int) -> HttpResponse:
    """What readers agreed to then: a version stays where their consents say it is."""
    return _terms_page(request, _publication().terms_versions.filter(number=number).first())


def _terms_page(request: HttpRequest, version: Terms | None) -> HttpResponse:
    if version is None:
        raise Http404("No such version of the terms was published.")
    return render(request, "subscribers/terms.html", {"terms": version})


@_private
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Name what it is for and ask; only the button confirms, for scanners follow links (DOI-04)."""
    subscription = Subscription.objects.to_confirm(token)
    if subscription and request.method == "POST":
        request.encoding = "utf-8"
        shown = request.POST.getlist("lists")
        letter = Letter.objects.of_link(token)
        subscription.confirm(_evidence(request, Consent.Method.LINK), shown, letter)
        tasks.wake_on_commit()
        subscription.refresh_from_db(fields=["confirmed_at", "ended_at"])
    if subscription is None or subscription.ended_at:
        return render(request, "subscribers/expired.html", {"token": token})
    page = "confirm" if subscription.is_waiting else "confirmed"
    together = subscription.together()
    names = get_text_list([mailing_list.name for mailing_list in together], gettext("and"))
    context = {"subscription": subscription, "names": names, "mailing_lists": together}
    return render(request, f"subscribers/{page}.html", context)


@_private
def new_link(request: HttpRequest, token: str) -> HttpResponse:
    """Another confirmation mail for an old link, within the limits; one answer for all links."""
    if request.method == "POST":
        Subscription.objects.ask_again(token)
        tasks.wake_on_commit()
        return SeeOther(reverse("subscribers:check-inbox"))
    return render(request, "subscribers/expired.html", {"token": token})


@_private
def agree(request: HttpRequest, token: str) -> HttpResponse:
    """Newer terms: what they say, and one button. Agreed to is what the page showed."""
    (reader_id,) = _numbers(Purpose.AGREE, token, 1)
    reader = Subscriber.objects.filter(pk=reader_id).first()
    newest = _publication().terms_versions.order_by("number").last()
    if reader is None or newest is None:
        return render(request, "subscribers/no_terms.html")
    if request.method == "POST" and request.POST.get("terms") == str(newest.number):
        renewals.agree(reader, newest, _evidence(request, Consent.Method.LINK, form="terms"))
    behind = Subscription.objects.behind(newest).filter(subscriber=reader)
    waiting = [(one.mailing_list, _leave_url(one)) for one in behind.select_related("mailing_list")]
    context = {"terms": newest, "waiting": waiting, "renewal": _renewal(newest)}
    return render(request, f"subscribers/{'agree' if waiting else 'agreed'}.html", context)


@_private
def block(request: HttpRequest, token: str) -> HttpResponse:
    """“This wasn't me”: asks first, and then keeps us away from the address."""
    subscriber = Subscriber.objects.to_block(token)
    if request.method != "POST":
        return render(request, "subscribers/block.html", {"subscriber": subscriber})
    if subscriber:
        if not Suppression.objects.refusals(subscriber.mailbox).exists():
            _blame(subscriber)
        Subscription.objects.block(subscriber, _evidence(request, Consent.Method.LINK))
    return render(request, "subscribers/blocked.html")


def _blame(subscriber: Subscriber) -> None:
    """Those who entered this address are to find it harder to enter the next (ABU-11)."""
    given = Consent.objects.filter(subscriber=subscriber, action=Consent.Action.GIVEN)
    address = given.order_by("id").values_list("network_address", flat=True).last()
    limits.blame(limits.network_of(address))


@_private
def lift(request: HttpRequest, token: str) -> HttpResponse:
    """The link in a mail to somebody who refused us and asked for it: a button takes it back."""
    subscriber = Subscriber.objects.to_lift(token)
    if subscriber is None:
        return render(request, "subscribers/lift_expired.html")
    if request.method == "POST":
        Suppression.objects.take_back(subscriber.mailbox)
        Letter.objects.answered(subscriber, Letter.Kind.CONFIRM)
        return render(request, "subscribers/lifted.html")
    return render(request, "subscribers/lift.html", {"subscriber": subscriber})


@_private
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """RFC 8058: any POST acts at once and is answered with 200, whatever its body says.

    The body is not even read: mail programs send it urlencoded, multipart, empty or mislabelled,
    and none of that may stand between a reader and the way out (UNS-16).
    """
    reader, mailing_list, campaign = _numbers(Purpose.UNSUBSCRIBE, token, 3)
    if request.method == "POST":
        by_hand = request.GET.get("by") == "hand"
        method = Consent.Method.LINK if by_hand else Consent.Method.ONE_CLICK
        source = f"campaign:{campaign}" if campaign else ""
        evidence = _evidence(request, method, source=source)
        return _left(
            request, mailing_list, Subscription.objects.leave(reader, mailing_list, evidence)
        )
    last = Subscription.objects.between(reader, mailing_list).last()
    if last and last.ended_at:
        return _left(request, mailing_list, last)
    return _ask_to_leave(request, mailing_list, last)


def _ask_to_leave(request: HttpRequest, list_id: int, period: Subscription | None) -> HttpResponse:
    context = {"mailing_list": _mailing_list(list_id), "subscription": period}
    return render(request, "subscribers/unsubscribe.html", context)


def _left(request: HttpRequest, list_id: int, period: Subscription | None) -> HttpResponse:
    """The same for a reader, an erased one and a made-up token, but for the key to come back."""
    undo_token = ""
    if period and period.may_be_undone:
        undo_token = tokens.sign(Purpose.UNDO, period.pk, int(time.time()))
    context = {"mailing_list": _mailing_list(list_id), "undo_token": undo_token}
    return render(request, "subscribers/left.html", context)


@_private
def undo(request: HttpRequest, token: str) -> HttpResponse:
    """“Changed your mind?”: back on the list, as long as the moment of leaving is near."""
    period = Subscription.objects.to_undo(token)
    if period and request.method == "POST":
        period.reopen(_evidence(request, Consent.Method.UNDO, wording=gettext("Put me back")))
    if period is None or not (period.may_be_undone or period.has_successor):
        return render(request, "subscribers/too_late.html")
    page = "back" if period.has_successor else "undo"
    return render(request, f"subscribers/{page}.html", {"subscription": period})


def _numbers(purpose: Purpose, token: str, count: int) -> tuple[int, ...]:
    """What the token stands for; zeros, which no row has as its number, if it is none of ours."""
    try:
        return tokens.read(purpose, token)
    except tokens.BadTokenError:
        return (0,) * count


def _renewal(terms: Terms) -> Renewal | None:
    """For which readers under older terms are asked: of these, or of some since theirs."""
    asked = Renewal.objects.filter(terms__publication=terms.publication_id)
    return asked.select_related("terms__publication").order_by("terms").last()


def _leave_url(period: Subscription) -> str:
    token = tokens.sign(Purpose.UNSUBSCRIBE, period.subscriber_id, period.mailing_list_id, 0)
    return reverse("subscribers:unsubscribe", args=[token])


def _evidence(request: HttpRequest, method: str, **others: str) -> Evidence:
    return Evidence(
        method=method,
        network_address=client_address(request),
        browser=plain_line(request.headers.get("User-Agent", ""))[:LONGEST_BROWSER],
        referrer=plain_line(request.headers.get("Referer", ""))[:LONGEST_REFERRER],
        language=get_language() or "",
        **others,  # type: ignore[arg-type]  # Whatever else is said is text.
    )


def _mailing_list(pk: int) -> MailingList | None:
    return MailingList.objects.filter(pk=pk).first()


def _publication() -> Publication:
    try:
        return Publication.objects.current()
    except Publication.DoesNotExist as error:
        raise _no_paper() from error


def _no_paper() -> Http404:
    return Http404("No publication is set up yet.")
