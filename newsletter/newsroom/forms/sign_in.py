"""Who says that they belong here."""

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from newsletter.newsroom import attempts
from newsletter.newsroom.access import is_editor
from subscribers.network import client_address


class SignInForm(AuthenticationForm):
    """One answer for whatever is wrong: unknown, wrong password, not of the newsroom."""

    error_messages = AuthenticationForm.error_messages | {
        "invalid_login": gettext_lazy(
            "That name and password do not belong together. Check both and try again."
        ),
        "too_many": gettext_lazy(
            "Too many attempts. Wait a quarter of an hour, then try once more."
        ),
    }

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username", "")
        origin = (self.request and client_address(self.request)) or ""
        if name and attempts.is_one_too_many(name, origin):
            raise ValidationError(self.error_messages["too_many"], code="too_many")
        cleaned = super().clean()
        attempts.forget(name, origin)
        return cleaned

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        if not is_editor(user):
            raise self.get_invalid_login_error()
