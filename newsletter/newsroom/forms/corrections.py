"""What is put right in a campaign that is booked already."""

from typing import Any

from django import forms

from newsletter.models import Campaign
from newsletter.newsroom.forms.articles import ArticleForm


class SubjectForm(forms.ModelForm):  # type: ignore[type-arg]
    """Its instance has the new subject once it is valid; `replace_versions` stores it."""

    class Meta:
        model = Campaign
        fields = ["subject"]

    def clean_subject(self) -> str:
        return " ".join(self.cleaned_data["subject"].split())


class TextForm(ArticleForm):
    """What one corrects in a hurry: an article's words."""

    class Meta(ArticleForm.Meta):
        fields = ["headline", "standfirst", "body"]

    def save_changes(self) -> bool:
        """As save_unless_changed; who changed nothing here overwrites nobody."""
        return not self._is_changed() or self.save_unless_changed()

    def _is_changed(self) -> bool:
        return any(name != "seen" for name in self.changed_data)


class ReplacementForm(forms.Form):
    """Which wordings the editor saw, and replaces by the ones that are shown."""

    seen = forms.MultipleChoiceField(choices=(), required=False)

    def __init__(self, data: Any = None, *, campaign: Campaign) -> None:
        super().__init__(data)
        keys = campaign.versions.values_list("pk", flat=True)
        self.fields["seen"].choices = [(key, key) for key in keys]  # type: ignore[attr-defined]

    @property
    def keys(self) -> set[int]:
        return {int(key) for key in self.cleaned_data["seen"]} if self.is_valid() else set()
