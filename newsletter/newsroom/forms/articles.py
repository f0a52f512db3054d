"""An article as it is being written.

ModelForm is generic in its stubs only, hence the ignored type arguments.
"""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_prose_editor.widgets import ProseEditorWidget

from newsletter import prose
from newsletter.models import Article


class ArticleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Holds which state of the article its editor saw, so that no text is lost to another's."""

    seen = forms.DateTimeField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Article
        fields = ["kicker", "headline", "standfirst", "byline", "body", "slug", "language"]
        widgets = {
            "headline": forms.Textarea(attrs={"rows": 2}),
            "standfirst": forms.Textarea(attrs={"rows": 3}),
            "body": ProseEditorWidget(
                config={"extensions": prose.EXTENSIONS}, preset="configurable"
            ),
        }
        help_texts = {
            "kicker": gettext_lazy("A word or two above the headline."),
            "standfirst": gettext_lazy("Two lines beneath it; also what inboxes show first."),
            "slug": gettext_lazy("The end of its address. Blank: made from the headline."),
            "language": gettext_lazy("Blank: the language of the paper."),
        }
        error_messages = {
            "headline": {"required": gettext_lazy("An article needs a headline. Write one.")},
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.theirs: Article | None = None
        if "language" in self.fields:
            self.fields["language"].widget = forms.Select(
                choices=[("", _("As the paper")), *settings.LANGUAGES]
            )
        if self.instance.is_addressed:
            self.fields.pop("slug", None)
        if self.instance.pk:
            self.initial["seen"] = self.instance.changed_at.isoformat()

    def clean_headline(self) -> str:
        return " ".join(self.cleaned_data["headline"].split())

    def clean_standfirst(self) -> str:
        return " ".join(self.cleaned_data["standfirst"].split())

    def save_unless_changed(self) -> bool:
        """Store the article; False if somebody else did since this editor opened it.

        Then nothing is stored, `theirs` is what the other wrote, and what was typed stays in the
        form: sent once more, it is meant.
        """
        if self.instance.pk is None:
            self.save()
            return True
        fields = [name for name in self.fields if name != "seen"]
        if self.instance.revise(self._seen(), fields):
            return True
        self.theirs = Article.objects.get(pk=self.instance.pk)
        self.data = {
            **dict(self.data.items()),
            self.add_prefix("seen"): self.theirs.changed_at.isoformat(),
        }
        return False

    def _seen(self) -> datetime:
        seen: datetime | None = self.cleaned_data["seen"]
        return seen or datetime.min.replace(tzinfo=timezone.get_current_timezone())
