"""Looking for a reader, and at the evidence."""

from django import forms
from django.db import models
from django.utils.translation import gettext_lazy

from subscribers.models import Receipt, Subscriber


class ReaderSearchForm(forms.Form):
    q = forms.CharField(label=gettext_lazy("Address"), required=False, max_length=320)
    after = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def found(self) -> models.QuerySet[Subscriber]:
        """The newest first; of a search, those whose address begins so, by address."""
        if not self.is_valid():
            return Subscriber.objects.none()
        beginning = self.cleaned_data.get("q", "").strip()
        after = self.cleaned_data.get("after")
        if beginning:
            return self._beginning(beginning, after)
        readers = Subscriber.objects.order_by("-pk")
        return readers.filter(pk__lt=after) if after else readers

    def _beginning(self, beginning: str, after: int | None) -> models.QuerySet[Subscriber]:
        readers = Subscriber.objects.filter(identity__startswith=beginning.lower())
        last = Subscriber.objects.filter(pk=after or 0).values_list("identity", flat=True).first()
        if last:
            readers = readers.filter(identity__gt=last)
        return readers.order_by("identity")


class ReceiptForm(forms.Form):
    """What somebody wants to see a reader's evidence for."""

    reason = forms.CharField(
        label=gettext_lazy("What for"),
        max_length=200,
        help_text=gettext_lazy("“The reader asks”, “Letter of the authority of 3 May”…"),
    )

    def draw_up(self, reader: Subscriber, actor: str) -> Receipt:
        return Receipt.objects.create(
            subscriber=reader, actor=actor, reason=self.cleaned_data["reason"]
        )
