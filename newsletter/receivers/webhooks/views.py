"""The address that providers call."""

import logging
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from newsletter.models import Event
from newsletter.receivers.webhooks import providers
from newsletter.receivers.webhooks.translation import reports_in

logger = logging.getLogger(__name__)

_LARGEST_BODY = 1_000_000
# What reading a stranger's words may come to, before a signature says that they are no stranger's.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


# Some ask with HEAD whether there is such an address.
@csrf_exempt
@require_http_methods(["POST", "HEAD"])
def receive(request: HttpRequest, provider: str) -> HttpResponse:
    """Store what a provider reports; 200 once it is stored and applied.

    What goes wrong with us propagates: by a 500 we ask the provider to come again (BNC-11).
    """
    if provider not in providers.PROVIDERS:
        return HttpResponseNotFound()
    if request.method == "HEAD":
        return HttpResponse()
    refusal = _refusal(request, provider)
    if refusal:
        return refusal
    view = providers.view(provider)
    return _verified(request, provider, view) or _record(request, provider, view)


def _refusal(request: HttpRequest, provider: str) -> HttpResponse | None:
    """Before a byte of the body is read."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > _LARGEST_BODY:
        return HttpResponse(status=413)
    if missing := providers.missing_secrets(provider):
        names = " or ".join(f"ANYMAIL_{name}" for name in missing)
        logger.error("%s reports to us, and nothing proves that it is: set %s.", provider, names)
        return HttpResponse(status=403)
    if provider == "amazon_ses" and "HTTP_AUTHORIZATION" not in request.META:
        # Amazon gives the name and the password of the address only when asked for them.
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="webhooks"'})
    return None


def _verified(request: HttpRequest, provider: str, view: Any) -> HttpResponse | None:
    """The answer to whoever is not the provider."""
    try:
        view.run_validators(request)
    except SuspiciousOperation as error:
        logger.warning("Somebody spoke as %s: %s", provider, error)
        return HttpResponse(status=403)
    except _UNREADABLE as error:
        # Not in its own words, which may hold addresses.
        logger.warning("Somebody spoke as %s: %s", provider, type(error).__name__)
        return HttpResponse(status=400)
    return None


def _record(request: HttpRequest, provider: str, view: Any) -> HttpResponse:
    Event.objects.record(reports_in(provider, view.parse_events(request)))
    return HttpResponse()
