"""The sign-up form."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from subscribers import addresses, hints
from subscribers.guards import form_tokens
from subscribers.guards.form_tokens import FormToken
from subscribers.models import MailingList, Publication, Sender, Terms
from subscribers.validators import plain_line, validate_plain_line

LONGEST_NAME = 100
LONGEST_PAGE = 500

# What makes a name worth a robot's while to fill one in (ABU-10); no name holds any of it.
_NOT_A_NAME = re.compile(
    r"[<>{}\[\]|\\@]|//|www\.|\w\.(?:com|net|org|info|biz|ru|cn|top|xyz)\b", re.I
)


class AddressForm(forms.Form):
    """An address, and what the guards need to let somebody pass who entered it."""

    email = forms.CharField(
        label=_("Email address"),
        max_length=320,
        error_messages={"required": _("Enter your email address.")},
        widget=forms.EmailInput(attrs={"autocomplete": "email", "dir": "ltr"}),
    )
    # No reader sees this field, so whoever fills it in is a robot.
    reference = forms.CharField(
        label=_("Leave this empty"),
        required=False,
        widget=forms.TextInput(attrs={"tabindex": "-1", "autocomplete": "off"}),
    )

    def __init__(
        self, sent: Mapping[str, Any] | None = None, *, token: FormToken | None = None
    ) -> None:
        """`token`: that of the form that was sent, if it is shown once more."""
        super().__init__(sent, auto_id="sign-up-%s", label_suffix="")
        # What the page shows is never what was sent: a token is good for one sign-up.
        self.token = form_tokens.fresh(token)
        # Words for a form that is right, and has to be sent once more all the same.
        self.notice = ""

    @property
    def suggestion(self) -> addresses.Address | None:
        """What was probably meant, unless the reader has been asked about this very address."""
        typed = self.cleaned_data.get("email") if self.is_bound and self.is_valid() else None
        if typed is None or self.data.get("meant") == str(typed):
            return None
        return hints.suggestion(typed)

    @property
    def typed(self) -> str:
        """The address as the reader wrote it, or chose it from what we suggested."""
        address = str(self.cleaned_data["email"])
        return address if self.data.get("meant") == address else str(self.data["email"]).strip()

    def clean_email(self) -> addresses.Address:
        try:
            address = addresses.parse(self.cleaned_data["email"])
        except addresses.AddressError as error:
            raise ValidationError(str(error)) from error
        meant = hints.suggestion(address)
        if meant and self.data.get("meant") == str(meant):
            address = meant
        if Sender.objects.owns(address):
            raise ValidationError(_("That is our own address. Enter yours."))
        return address


class SignupForm(AddressForm):
    """An address, perhaps a name, the lists, and a box that nobody ticks but the reader."""

    name = forms.CharField(
        label=_("Name"),
        required=False,
        max_length=LONGEST_NAME,
        validators=[validate_plain_line],
        widget=forms.TextInput(attrs={"autocomplete": "name", "dir": "auto"}),
    )
    lists = forms.MultipleChoiceField(
        label=_("Which news?"),
        error_messages={"required": _("Choose at least one newsletter.")},
    )
    agree = forms.BooleanField(
        error_messages={"required": _("Tick the box to agree to the terms.")},
    )
    page = forms.CharField(required=False, widget=forms.HiddenInput)
    language = forms.CharField(required=False, widget=forms.HiddenInput)
    field_order = ["email", "name", "lists", "agree"]

    def __init__(
        self,
        sent: Mapping[str, Any] | None = None,
        *,
        publication: Publication,
        preselected: Iterable[MailingList] = (),
        page: str = "",
        token: FormToken | None = None,
    ) -> None:
        super().__init__(sent, token=token)
        self.publication = publication
        self.mailing_lists = publication.offered
        self.fields["lists"].choices = [(one.slug, one.name) for one in self.mailing_lists]  # type: ignore[attr-defined]
        self.initial = {
            "lists": [one.slug for one in list(preselected) or self.mailing_lists[:1]],
            "page": page,
            "language": get_language(),
        }
        self.posted_terms = self._posted_terms()
        # Whoever loaded the form before the terms changed is held to the wording he saw.
        self.terms = self.posted_terms or publication.terms_versions.order_by("number").last()

    @property
    def is_open(self) -> bool:
        """There is something to sign up for, and a wording to agree to."""
        return bool(self.mailing_lists and self.terms)

    @property
    def has_agreed(self) -> bool:
        return bool(self.posted_terms and self["agree"].value())

    @property
    def consent_label(self) -> SafeString:
        """The wording word for word, its marked part as the link to what it means."""
        if not self.terms:
            return SafeString()
        before, _mark, rest = self.terms.wording.rpartition("[")
        linked, _mark, after = rest.partition("]")
        address = reverse("subscribers:terms-version", args=[self.terms.number])
        return format_html('{}<a href="{}">{}</a>{}', before, address, linked, after)

    def clean_name(self) -> str:
        name = plain_line(self.cleaned_data["name"])
        # Some signs are several when composed (NFC): what fitted as typed may not fit the column.
        if len(name) > LONGEST_NAME:
            raise ValidationError(_("The name is too long."))
        if _NOT_A_NAME.search(name):
            raise ValidationError(_("A name holds no links, brackets or signs like @."))
        return name

    def clean_agree(self) -> bool:
        if not self.posted_terms:
            raise ValidationError(_("Read the terms as they are now, and agree to them."))
        return True

    def clean_page(self) -> str:
        return plain_line(self.cleaned_data["page"])[:LONGEST_PAGE]

    def clean_language(self) -> str:
        language = str(self.cleaned_data["language"])
        return language if language in dict(settings.LANGUAGES) else ""

    @property
    def chosen(self) -> list[MailingList]:
        return [one for one in self.mailing_lists if one.slug in self.cleaned_data["lists"]]

    @property
    def boxes(self) -> dict[str, Any]:
        """What could be ticked, and whether it was."""
        chosen = self.cleaned_data["lists"]
        return {
            "agree": self.cleaned_data["agree"],
            "lists": {one.slug: one.slug in chosen for one in self.mailing_lists},
        }

    def _posted_terms(self) -> Terms | None:
        number = str(self.data.get("terms", ""))
        if not number.isdecimal() or len(number) > 9:
            return None
        return self.publication.numbered_terms(int(number))
