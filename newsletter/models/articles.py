"""What an editor wrote."""

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from newsletter import prose
from subscribers.models import Publication
from subscribers.validators import validate_plain_line

_WORDS_A_MINUTE = 220


class ArticleQuerySet(models.QuerySet["Article"]):
    def published(self) -> Self:
        return self.filter(published_at__lte=Now()).order_by("-published_at", "-id")


class Article(models.Model):
    """Headline, standfirst, body; has a page on the web once it is published."""

    publication = models.ForeignKey(Publication, models.PROTECT, related_name="articles")
    slug = models.SlugField(_("address"), max_length=80, unique=True, blank=True)
    kicker = models.CharField(
        _("kicker"), max_length=40, blank=True, validators=[validate_plain_line]
    )
    headline = models.CharField(_("headline"), max_length=200, validators=[validate_plain_line])
    standfirst = models.CharField(
        _("standfirst"), max_length=400, blank=True, validators=[validate_plain_line]
    )
    byline = models.CharField(
        _("byline"), max_length=100, blank=True, validators=[validate_plain_line]
    )
    body = models.TextField(_("text"), blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False
    )
    published_at = models.DateTimeField(_("published"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("written"), auto_now_add=True)
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = ArticleQuerySet.as_manager()

    class Meta:
        ordering = ["-published_at", "-id"]

    def __str__(self) -> str:
        return self.headline

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.slug = self.slug or self._free_slug()
        self.body = prose.sanitised(self.body)
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("web:article", args=[self.slug])

    def revise(self, seen: datetime, fields: list[str]) -> bool:
        """Store the new text, unless somebody stored another since `seen`: then nothing, False."""
        with transaction.atomic():
            unchanged = Article.objects.filter(pk=self.pk, changed_at=seen)
            if not list(unchanged.select_for_update().values_list("pk")):
                return False
            self.save(update_fields=[*fields, "changed_at"])
        return True

    def publish(self) -> bool:
        """Put the article on the web; False if it was there already."""
        drafts = Article.objects.filter(pk=self.pk, published_at__isnull=True)
        return bool(drafts.update(published_at=timezone.now()))

    def withdraw(self) -> bool:
        """Take the article off the web; what was mailed stays mailed."""
        online = Article.objects.filter(pk=self.pk, published_at__isnull=False)
        return bool(online.update(published_at=None))

    @property
    def is_published(self) -> bool:
        return self.published_at is not None

    @property
    def is_addressed(self) -> bool:
        """Its address is out in the world, on the web or in mails, and must not change."""
        return self.is_published or (self.pk is not None and self.entries.exists())

    @property
    def effective_language(self) -> str:
        return self.language or self.publication.language

    @property
    def minutes(self) -> int:
        """How long one reads at it, at least a minute."""
        return max(1, round(len(prose.words(self.body)) / _WORDS_A_MINUTE))

    def _free_slug(self) -> str:
        stem = slugify(self.headline)[:70] or "article"
        slug, number = stem, 2
        while Article.objects.filter(slug=slug).exists():
            slug, number = f"{stem}-{number}", number + 1
        return slug
