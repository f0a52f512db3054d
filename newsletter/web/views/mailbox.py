"""The mailbox of a laptop in the browser: what would have left, and how it would look."""

import re
from collections.abc import Callable
from functools import wraps
from urllib.parse import urlsplit

from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.csp import CSP
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_safe

from newsletter.web import maildir
from newsletter.web.maildir import Mail, Mailbox
from subscribers.models import Publication

_A_PAGE = 50
# What the frame may do: let links be followed, by a click, into the window around it.
_SANDBOX = [
    "allow-popups",
    "allow-popups-to-escape-sandbox",
    "allow-top-navigation-by-user-activation",
]
# A mail has inline styles and pictures of elsewhere, as in any mail program. Nothing of it runs.
_MAIL_CSP: dict[str, list[str]] = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.UNSAFE_INLINE],
    "img-src": [CSP.SELF, "data:", "http:", "https:"],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.NONE],
    "frame-ancestors": [CSP.SELF],
    "sandbox": _SANDBOX,
}
_HEAD = re.compile(r"<head\b[^>]*>", re.I)


def _only_here[**P](view: Callable[P, HttpResponse]) -> Callable[P, HttpResponse]:
    @wraps(view)
    def answer(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not maildir.is_here():
            raise Http404("Mail leaves this machine; there is no local mailbox.")
        response = view(*args, **kwargs)
        response["X-Robots-Tag"] = "noindex"
        return response

    return answer


@require_safe
@never_cache
@_only_here
def index(request: HttpRequest) -> HttpResponse:
    whole = Mailbox.opened()
    wanted = request.GET.get("to", "").strip()
    found = whole.to(wanted) if wanted else whole
    page: Page[Mail] = Paginator(found, _A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "wanted": wanted, "is_empty": not len(whole)}
    return render(request, "newsletter/mailbox.html", context)


@require_safe
@never_cache
@_only_here
def message(request: HttpRequest, key: str) -> HttpResponse:
    """As its recipient would see it: HTML in a frame, or the text if it has none."""
    mail = _mail(key)
    tab = "html" if mail.html else "text"
    return _page(request, mail, tab)


@require_safe
@never_cache
@_only_here
def text(request: HttpRequest, key: str) -> HttpResponse:
    return _page(request, _mail(key), "text")


@require_safe
@never_cache
@_only_here
def source(request: HttpRequest, key: str) -> HttpResponse:
    mail = _mail(key)
    return _page(request, mail, "source", source=Mailbox.opened().source(key))


@require_safe
@never_cache
@xframe_options_sameorigin
@csp_override(_MAIL_CSP)
@_only_here
def html(request: HttpRequest, key: str) -> HttpResponse:
    """What stands in the frame. Its links lead to the window around it."""
    return HttpResponse(_with_links_on_top(_mail(key).html))


def _page(request: HttpRequest, mail: Mail, tab: str, **more: str) -> HttpResponse:
    context = {
        "mail": mail,
        "tab": tab,
        "sandbox": " ".join(_SANDBOX),
        "one_click": _one_click(mail),
        **more,
    }
    return render(request, "newsletter/mailbox_message.html", context)


def _mail(key: str) -> Mail:
    mail = Mailbox.opened().mail(key)
    if mail is None:
        raise Http404("The mailbox holds no such message.")
    return mail


def _with_links_on_top(page: str) -> str:
    """Our own pages refuse to be shown inside. Nothing may come before the doctype."""
    head = _HEAD.search(page)
    place = head.end() if head else 0
    return f'{page[:place]}<base target="_top">{page[place:]}'


def _one_click(mail: Mail) -> str:
    """The path that a mail program would post to, if it is one of this server."""
    publication = Publication.objects.order_by("id").first()
    url = mail.unsubscribe_url
    if not (publication and mail.is_one_click and url.startswith(publication.url("/"))):
        return ""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
