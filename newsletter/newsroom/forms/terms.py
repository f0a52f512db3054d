"""The next wording of the terms, and whether readers are asked to agree to it."""

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from subscribers.models import Publication, Renewal, Terms
from subscribers.validators import plain_line

# Days that readers are given at least: some read their mail once a week.
_AT_LEAST = 7


class _DayInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class TermsForm(forms.ModelForm):  # type: ignore[type-arg]  # Generic in its stubs only.
    """The next wording, begun from the newest."""

    NOBODY, ASK, STOP = "nobody", "ask", "stop"

    asked = forms.ChoiceField(
        label=gettext_lazy("Ask today’s readers to agree again?"),
        choices=[
            (NOBODY, gettext_lazy("No. Each stays under the version agreed to")),
            (ASK, gettext_lazy("Yes, each by one letter; whoever does not answer is mailed on")),
            (STOP, gettext_lazy("Yes, and whoever has not agreed by a date is not mailed")),
        ],
        widget=forms.RadioSelect,
        initial=NOBODY,
    )
    agree_by = forms.DateField(
        label=gettext_lazy("Last day to agree"),
        required=False,
        widget=_DayInput,
        help_text=gettext_lazy("Where it is asked by a date."),
    )
    summary = forms.CharField(
        label=gettext_lazy("What changes"),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy(
            "Where it is asked: in a sentence or two, as the letter is to say it."
        ),
    )
    number = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Terms
        fields = ["wording", "text"]
        widgets = {"text": forms.Textarea(attrs={"rows": 14})}
        labels = {"wording": gettext_lazy("What stands beside the box")}
        help_texts = {
            "wording": gettext_lazy("The words between [ and ] become the link to the text."),
            "text": gettext_lazy("Plain text; a blank line begins a paragraph."),
        }

    def __init__(self, data: Any, *, publication: Publication, newest: Terms | None) -> None:
        begun = {"wording": newest.wording, "text": newest.text} if newest else {}
        super().__init__(data, initial=begun)
        self.publication = publication
        self.next_number = newest.number + 1 if newest else 1

    @property
    def asks(self) -> bool:
        return bool(self.cleaned_data["asked"] != self.NOBODY)

    @property
    def stops(self) -> bool:
        return bool(self.cleaned_data["asked"] == self.STOP)

    def clean_wording(self) -> str:
        wording = " ".join(self.cleaned_data["wording"].split())
        if not ("[" in wording and "]" in wording.partition("[")[2]):
            raise ValidationError(_("Put the words that link to the terms between [ and ]."))
        return wording

    def clean_summary(self) -> str:
        summary = plain_line(self.cleaned_data["summary"])
        if not summary and self.cleaned_data.get("asked", self.NOBODY) != self.NOBODY:
            raise ValidationError(_("Tell the readers what changes."))
        return summary

    def clean_agree_by(self) -> date | None:
        day: date | None = self.cleaned_data["agree_by"]
        if self.cleaned_data.get("asked") != self.STOP:
            return None
        if day is None:
            raise ValidationError(_("Choose the last day."))
        return _late_enough(day, self.publication)

    def publish(self, actor: str) -> bool:
        """Of two editors at once one publishes; False for the other, who saw another number."""
        with transaction.atomic():
            paper = Publication.objects.select_for_update().get(pk=self.publication.pk)
            newest = paper.terms_versions.order_by("-number").first()
            number = newest.number + 1 if newest else 1
            if number != self.cleaned_data["number"]:
                return False
            terms = self.instance
            terms.publication, terms.number, terms.actor = paper, number, actor
            self.save()
            if self.asks:
                self._ask_for(terms)
        return True

    def _ask_for(self, terms: Terms) -> None:
        day = self.cleaned_data["agree_by"]
        Renewal.objects.create(
            terms=terms,
            summary=self.cleaned_data["summary"],
            agree_by=day and _end_of(day, self.publication),
        )


class RenewalForm(forms.Form):
    """Another date for what is asked already, or none."""

    agree_by = forms.DateField(
        label=gettext_lazy("Last day to agree"),
        required=False,
        widget=_DayInput,
        help_text=gettext_lazy("Blank: whoever does not answer is mailed on."),
    )

    def __init__(self, data: Any = None, *, renewal: Renewal) -> None:
        super().__init__(data, initial={"agree_by": renewal.last_day})
        self.renewal = renewal

    def clean_agree_by(self) -> date | None:
        day: date | None = self.cleaned_data["agree_by"]
        return day and _late_enough(day, self.renewal.terms.publication)

    def save(self) -> None:
        day = self.cleaned_data["agree_by"]
        self.renewal.agree_by = day and _end_of(day, self.renewal.terms.publication)
        self.renewal.save(update_fields=["agree_by"])


def _late_enough(day: date, publication: Publication) -> date:
    first = timezone.localdate(timezone=ZoneInfo(publication.time_zone)) + timedelta(_AT_LEAST)
    if day < first:
        raise ValidationError(_("Give the readers %(days)d days at least.") % {"days": _AT_LEAST})
    return day


def _end_of(day: date, publication: Publication) -> datetime:
    """The first moment after it, by the paper's clock."""
    zone = ZoneInfo(publication.time_zone)
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone)
