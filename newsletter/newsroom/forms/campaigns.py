"""What a campaign sends to whom, and a test of it.

ModelForm is generic in its stubs only, hence the ignored type arguments.
"""

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext_lazy

from newsletter.models import Article, Campaign, Entry
from subscribers import addresses
from subscribers.models import MailingList

# How many articles a campaign may be chosen from: the ones changed last.
_ON_OFFER = 40


class CampaignForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Campaign
        fields = ["articles", "mailing_lists", "subject", "length"]
        widgets = {
            "articles": forms.CheckboxSelectMultiple,
            "mailing_lists": forms.CheckboxSelectMultiple,
            "length": forms.RadioSelect,
        }
        help_texts = {
            "subject": gettext_lazy("Blank: the headline of the first article."),
            "length": gettext_lazy(
                "Gmail cuts off mails above 102 KB, their last lines with them."
            ),
        }
        error_messages = {
            "articles": {"required": gettext_lazy("Choose at least one article.")},
            "mailing_lists": {"required": gettext_lazy("Choose at least one list.")},
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        articles = cast("forms.ModelMultipleChoiceField[Article]", self.fields["articles"])
        articles.queryset = self._on_offer()
        lists = cast("forms.ModelMultipleChoiceField[MailingList]", self.fields["mailing_lists"])
        lists.queryset = MailingList.objects.filter(publication=self.instance.publication)

    def clean_subject(self) -> str:
        return " ".join(self.cleaned_data["subject"].split())

    def save_draft(self) -> bool:
        """Store the content; False if the campaign was scheduled meanwhile, then nothing is.

        The articles keep the order they had; new ones follow.
        """
        with transaction.atomic():
            campaign = self.instance
            if campaign.pk is None:
                campaign.save()
            elif not self._lock_draft():
                return False
            campaign.save(update_fields=["subject", "length"])
            campaign.mailing_lists.set(self.cleaned_data["mailing_lists"])
            self._save_entries(campaign)
        return True

    def _lock_draft(self) -> bool:
        drafts = Campaign.objects.filter(pk=self.instance.pk, status=Campaign.Status.DRAFT)
        return bool(list(drafts.select_for_update().values_list("pk")))

    def _save_entries(self, campaign: Campaign) -> None:
        chosen = {article.pk: article for article in self.cleaned_data["articles"]}
        campaign.entries.exclude(article__in=chosen).delete()
        last = campaign.entries.aggregate(last=models.Max("position"))["last"] or 0
        kept = set(campaign.entries.values_list("article", flat=True))
        new = [article for pk, article in chosen.items() if pk not in kept]
        Entry.objects.bulk_create(
            Entry(campaign=campaign, article=article, position=position)
            for position, article in enumerate(new, last + 1)
        )

    def _on_offer(self) -> models.QuerySet[Article]:
        mine = Article.objects.filter(publication=self.instance.publication)
        latest = mine.order_by("-changed_at").values_list("pk", flat=True)[:_ON_OFFER]
        chosen: list[Any] = list(self.initial.get("articles") or [])
        wanted = {*latest, *(getattr(article, "pk", article) for article in chosen)}
        numbers = [int(pk) for pk in wanted if str(pk).isdecimal()]
        return mine.filter(pk__in=numbers).order_by("-changed_at").defer("body")


class TestForm(forms.Form):
    address = forms.CharField(label=gettext_lazy("Address"), max_length=320)

    def clean_address(self) -> str:
        try:
            return str(addresses.parse(self.cleaned_data["address"]))
        except addresses.AddressError as error:
            raise ValidationError(str(error)) from error
