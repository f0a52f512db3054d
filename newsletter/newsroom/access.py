"""Who may come in: people marked as staff, and nobody else."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils.cache import patch_cache_control
from django_htmx.http import HttpResponseClientRefresh


def is_editor(user: AbstractBaseUser | AnonymousUser) -> bool:
    return bool(user.is_active and getattr(user, "is_staff", False))


def may_answer_for_standby(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Who says that a mailer is warmed up puts the sender's good name at stake."""
    known = user if isinstance(user, PermissionsMixin) and is_editor(user) else None
    return known is not None and known.has_perm("subscribers.change_sender")


def editors_only[**P](
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Everybody else is sent to the sign-in page, and back afterwards if they only looked."""

    @wraps(view)
    def _checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not is_editor(request.user):
            if "HX-Request" in request.headers:
                # A page that polls: let all of it go to the door, not a part of it.
                return HttpResponseClientRefresh()
            back = request.get_full_path() if request.method in {"GET", "HEAD"} else ""
            return redirect_to_login(back or resolve_url("newsroom:campaigns"))
        response = view(request, *args, **kwargs)
        # Not "no-store": the browser's back button must still hold what an editor typed.
        patch_cache_control(response, private=True, no_cache=True)
        return response

    return _checked
