"""One sending of articles to lists, and the wording that was frozen for it."""

from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from newsletter.models.articles import Article
from subscribers.models import MailingList, Publication, Subscription
from subscribers.validators import validate_plain_line, validate_time_zone

# News is stale after this: whoever could not be reached by then is skipped (SND-02).
SEND_FOR = timedelta(hours=12)
# A start missed by less, because everything was down, is made up for; later it asks (SND-08).
GRACE = timedelta(hours=1)


class CampaignQuerySet(models.QuerySet["Campaign"]):
    def due(self) -> Self:
        return self.filter(status=Campaign.Status.SCHEDULED, due_at__lte=Now())

    def sending(self) -> Self:
        return self.filter(status=Campaign.Status.SENDING)


class Campaign(models.Model):
    """One sending of one or more articles to lists."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        SCHEDULED = "scheduled", _("Scheduled")
        SENDING = "sending", _("Handing over")
        PAUSED = "paused", _("Paused")
        SENT = "sent", _("Handed over")
        CANCELLED = "cancelled", _("Cancelled")

    class Length(models.TextChoices):
        EXCERPT = "excerpt", _("An excerpt, with “read on”")
        WHOLE = "whole", _("The whole text")

    publication = models.ForeignKey(Publication, models.PROTECT, related_name="campaigns")
    articles = models.ManyToManyField(Article, through="Entry", related_name="campaigns")
    mailing_lists = models.ManyToManyField(
        MailingList, related_name="campaigns", verbose_name=_("lists")
    )
    subject = models.CharField(
        _("subject"), max_length=200, blank=True, validators=[validate_plain_line]
    )
    # Only asked when the mail would exceed what Gmail shows before it clips (HTM-01).
    length = models.CharField(
        _("if it is too long"), max_length=8, choices=Length, default=Length.EXCERPT
    )
    status = models.CharField(
        _("state"), max_length=10, choices=Status, default=Status.DRAFT, editable=False
    )
    # A wall time in a zone is what the editor meant; due_at is what it comes to today (SND-06).
    scheduled_date = models.DateField(_("date"), null=True, blank=True)
    scheduled_time = models.TimeField(_("time"), null=True, blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[validate_time_zone]
    )
    due_at = models.DateTimeField(_("due"), null=True, blank=True, editable=False)
    send_until = models.DateTimeField(_("at the latest"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True, editable=False)
    # Counted when it starts; sent + failed + skipped + uncertain must come to this.
    audience = models.PositiveIntegerField(_("readers"), null=True, blank=True, editable=False)
    trouble = models.CharField(_("what is wrong"), max_length=500, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(_("written"), auto_now_add=True)

    objects = CampaignQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "due_at"], name="campaign_due")]

    def __str__(self) -> str:
        return self.subject or str(_("Untitled"))

    def schedule(self, versions: "list[Version]", due_at: datetime) -> bool:
        """Book the slot for these wordings; False if the campaign is no draft any more.

        Two editors at once make one sending: the row decides. It never starts before the time to
        think better of it is over, whatever the clock on the wall said.
        """
        due_at = max(due_at, timezone.now() + timedelta(seconds=self.publication.cancel_window))
        drafts = Campaign.objects.filter(pk=self.pk, status=self.Status.DRAFT)
        with transaction.atomic():
            won = drafts.update(
                status=self.Status.SCHEDULED,
                scheduled_date=self.scheduled_date,
                scheduled_time=self.scheduled_time,
                time_zone=self.time_zone,
                due_at=due_at,
                send_until=due_at + SEND_FOR,
                trouble="",
            )
            if won:
                Version.objects.bulk_create(versions)
        return bool(won)

    def cancel(self) -> bool:
        """Stop a campaign that has not started; False if it has."""
        waiting = Campaign.objects.filter(pk=self.pk, status=self.Status.SCHEDULED)
        return bool(waiting.update(status=self.Status.CANCELLED, finished_at=Now()))

    def redraft(self) -> bool:
        """Make a called-off campaign editable again; False if it is not one."""
        cancelled = Campaign.objects.filter(pk=self.pk, status=self.Status.CANCELLED)
        with transaction.atomic():
            won = cancelled.update(
                status=self.Status.DRAFT, due_at=None, finished_at=None, trouble=""
            )
            if won:
                self.versions.current().update(replaced_at=Now())
        return bool(won)

    def pause(self, trouble: str = "") -> bool:
        sending = Campaign.objects.filter(pk=self.pk, status=self.Status.SENDING)
        return bool(sending.update(status=self.Status.PAUSED, trouble=trouble[:500]))

    def resume(self) -> bool:
        paused = Campaign.objects.filter(pk=self.pk, status=self.Status.PAUSED)
        return bool(paused.update(status=self.Status.SENDING, trouble=""))

    def readers(self) -> int:
        """To how many it would go if it went now."""
        periods = Subscription.objects.mailable().filter(mailing_list__in=self.mailing_lists.all())
        return periods.values("subscriber").distinct().count()

    @property
    def is_draft(self) -> bool:
        return self.status == self.Status.DRAFT

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone or self.publication.time_zone)


class Entry(models.Model):
    """An article's place in a campaign."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="entries")
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

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="versions")
    mailing_list = models.ForeignKey(MailingList, models.PROTECT, related_name="+")
    subject = models.CharField(max_length=998)
    # Both still hold their slots; newsletter.content fills them for one reader.
    html = models.TextField()
    text = models.TextField()
    # The whole message in bytes, slots left open: what SMTP is given, filled.
    message = models.BinaryField()
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
