"""The paper and its lists.

ModelForm is generic in its stubs only, hence the ignored type arguments.
"""

from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from subscribers.models import MailingList, Publication, Sender


class MailingListForm(forms.ModelForm):  # type: ignore[type-arg]
    """The slug is chosen once: the List-Id is made of it, and mail programs file by that."""

    class Meta:
        model = MailingList
        fields = [
            "name",
            "slug",
            "description",
            "rhythm",
            "language",
            "sender",
            "quieter_sibling",
            "is_public",
            "position",
        ]
        labels = {
            "slug": gettext_lazy("Short name"),
            "sender": gettext_lazy("Sender"),
            "quieter_sibling": gettext_lazy("Quieter sibling"),
            "is_public": gettext_lazy("Readers may choose it on the form"),
        }
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}
        help_texts = {
            "description": gettext_lazy("One sentence on what one gets."),
            "slug": gettext_lazy("Letters, digits and hyphens. It cannot be changed later."),
            "sender": gettext_lazy("Blank: the paper’s."),
            "quieter_sibling": gettext_lazy("What one may choose in its place for less mail."),
            "position": gettext_lazy("The lowest stands first on the form."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["language"].widget = forms.Select(
            choices=[("", _("As the paper")), *settings.LANGUAGES]
        )
        siblings = cast("forms.ModelChoiceField[MailingList]", self.fields["quieter_sibling"])
        siblings.queryset = MailingList.objects.exclude(pk=self.instance.pk)
        if self.instance.pk:
            del self.fields["slug"]


class PublicationForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Publication
        fields = [
            "name",
            "tagline",
            "legal_name",
            "postal_address",
            "privacy_url",
            "accent",
            "language",
            "time_zone",
            "cancel_window",
        ]
        widgets = {
            "postal_address": forms.Textarea(attrs={"rows": 4}),
            "accent": forms.TextInput(attrs={"type": "color"}),
            "language": forms.Select(choices=settings.LANGUAGES),
            "time_zone": forms.TextInput(attrs={"list": "zones", "autocomplete": "off"}),
        }
        help_texts = {
            "legal_name": gettext_lazy(
                "Who publishes it. Stands in every mail; the law asks for it."
            ),
            "postal_address": gettext_lazy("Stands in every mail; the law asks for it."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Nothing is sent without them (LAW-01), so they are not asked for as if one could choose.
        self.fields["legal_name"].required = self.fields["postal_address"].required = True

    @property
    def zones(self) -> list[str]:
        return sorted(available_timezones())

    def save_with(self, sender: Sender) -> None:
        self.instance.sender = sender
        self.save()
