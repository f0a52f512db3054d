"""Which articles a campaign sends, and the wording that was frozen of them."""

from typing import Self

from django.db import models

from newsletter.models.articles import Article
from subscribers.models import MailingList


class Entry(models.Model):
    """An article's place in a campaign."""

    campaign = models.ForeignKey("Campaign", models.CASCADE, related_name="entries")
    article = models.ForeignKey(Article, models.PROTECT, related_name="entries")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "article"], name="an_article_once_a_campaign"
            )
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.article}"


class VersionQuerySet(models.QuerySet["Version"]):
    def current(self) -> Self:
        return self.filter(replaced_at__isnull=True)


class Version(models.Model):
    """One frozen wording of a campaign, as one list gets it. Never changed, only replaced."""

    campaign = models.ForeignKey("Campaign", models.CASCADE, related_name="versions")
    mailing_list = models.ForeignKey(MailingList, models.PROTECT, related_name="+")
    # All three still hold their slots; newsletter.content fills them for one reader.
    subject = models.TextField()
    html = models.TextField()
    text = models.TextField()
    # The whole message in bytes, slots left open: what SMTP is given, filled.
    message = models.BinaryField()
    # Bytes of HTML that all of its articles take uncut, and whether they were cut to fit (HTM-01).
    whole_size = models.PositiveIntegerField(default=0)
    is_excerpt = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    replaced_at = models.DateTimeField(null=True, editable=False)

    objects = VersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "mailing_list"],
                condition=models.Q(replaced_at__isnull=True),
                name="one_wording_a_list",
            )
        ]

    def __str__(self) -> str:
        return self.subject
