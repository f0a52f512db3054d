"""One sending of articles to lists, and the wording that was frozen for it."""

from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models, transaction
from django.db.models import Case, Q, QuerySet, When
from django.db.models.functions import Greatest, Now
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from newsletter.models import books, planning
from newsletter.models.articles import Article
from newsletter.models.versions import Version
from newsletter.wall_time import Hour
from subscribers.models import Breaker, MailingList, Publication, Subscription
from subscribers.validators import validate_plain_line, validate_time_zone

# News is stale after this: whoever could not be reached by then is skipped (SND-02).
SEND_FOR = timedelta(hours=12)
# A start missed by less, because everything was down, is made up for; later it asks (SND-08).
GRACE = timedelta(hours=1)
# What an editor decides with the slot, stored when it is booked.
_DECIDED = [
    "scheduled_date",
    "scheduled_time",
    "time_zone",
    "at_readers_hour",
    "is_breaking",
    "if_uncertain",
    "confirmed_since",
]


class CampaignQuerySet(models.QuerySet["Campaign"]):
    def due(self) -> Self:
        return self.filter(status=Campaign.Status.SCHEDULED, due_at__lte=Now())

    def late(self) -> Self:
        """Due for so long that somebody must say whether it is still news."""
        return self.due().filter(due_at__lt=Now() - GRACE)

    def reckon(self) -> None:
        """Of all that wait: countries change their clocks, and a release brings the news of it."""
        for campaign in self.filter(status=Campaign.Status.SCHEDULED).select_related("publication"):
            campaign.reckon()

    def sending(self) -> Self:
        return self.filter(status=Campaign.Status.SENDING)

    def stopped(self) -> Self:
        """Begun or held back, and waiting for somebody to say go."""
        return self.filter(status__in=[Campaign.Status.PAUSED, Campaign.Status.ATTENTION])

    def booked(self) -> Self:
        """Scheduled and not over: may be called off, and its wording replaced."""
        over = [Campaign.Status.DRAFT, Campaign.Status.SENT, Campaign.Status.CANCELLED]
        return self.exclude(status__in=over)

    def unplanned(self) -> Self:
        """Begun, and not yet cut into batches to its end."""
        return self.filter(started_at__isnull=False, audience__isnull=True)

    def handed_over(self) -> Self:
        """No batch is left that could be worked on; how the books stand, `finish()` looks."""
        cancelled = Q(status=Campaign.Status.CANCELLED)
        begun = self.filter(
            cancelled | Q(status=Campaign.Status.SENDING),
            audience__isnull=False,
            finished_at__isnull=True,
        )
        # What was set aside waits for somebody, unless it is to be skipped anyway.
        at_work = begun.filter(
            cancelled | Q(batches__set_aside_at__isnull=True),
            batches__first__gt=0,
            batches__finished_at__isnull=True,
        )
        return begun.exclude(pk__in=at_work.values("pk"))


class Campaign(models.Model):
    """One sending of one or more articles to lists."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        SCHEDULED = "scheduled", _("Scheduled")
        SENDING = "sending", _("Handing over")
        PAUSED = "paused", _("Paused")
        SENT = "sent", _("Handed over")
        CANCELLED = "cancelled", _("Cancelled")
        ATTENTION = "attention", _("Needs attention")

    class IfUncertain(models.TextChoices):
        """What becomes of readers of whom nobody can know whether they got it."""

        HOLD = "hold", _("Leave them: better once too few than twice")
        REPEAT = "repeat", _("Send again: better twice than not at all")

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
    # The wall time as each reader's own clock shows it, not as the desk's does (SND-12).
    at_readers_hour = models.BooleanField(_("at this hour where the reader is"), default=False)
    # Goes before whatever else is being sent.
    is_breaking = models.BooleanField(_("breaking news"), default=False)
    if_uncertain = models.CharField(
        _("who may or may not have got it"),
        max_length=6,
        choices=IfUncertain,
        default=IfUncertain.HOLD,
    )
    # A warm-up's cohort: of the audience only who confirmed since then. Null: everybody.
    confirmed_since = models.DateTimeField(null=True, blank=True, editable=False)
    due_at = models.DateTimeField(_("due"), null=True, blank=True, editable=False)
    send_until = models.DateTimeField(_("at the latest"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True, editable=False)
    # Batches are cut up to this id; the first are sent while the others are still being planned.
    planned_to = models.BigIntegerField(default=0, editable=False)
    # What the ledger came to when the books were closed: counting a million rows takes its time.
    sent = models.PositiveIntegerField(null=True, blank=True, editable=False)
    failed = models.PositiveIntegerField(null=True, blank=True, editable=False)
    skipped = models.PositiveIntegerField(null=True, blank=True, editable=False)
    uncertain = models.PositiveIntegerField(null=True, blank=True, editable=False)
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

    def schedule(self, versions: list[Version], due_at: datetime) -> bool:
        """Book the slot for these wordings; False if the campaign is no draft any more.

        Two editors at once make one sending: the row decides. It never starts before the time to
        think better of it is over, whatever the clock on the wall said.
        """
        first, last = self.hours(due_at)
        first = max(first, timezone.now() + timedelta(seconds=self.publication.cancel_window))
        drafts = Campaign.objects.filter(pk=self.pk, status=self.Status.DRAFT)
        with transaction.atomic():
            won = drafts.update(
                status=self.Status.SCHEDULED,
                due_at=first,
                send_until=max(first, last) + SEND_FOR,
                trouble="",
                **{name: getattr(self, name) for name in _DECIDED},
            )
            if won:
                Version.objects.bulk_create(versions)
        return bool(won)

    def replace_versions(self, versions: list[Version], seen: set[int]) -> bool:
        """Another wording for those not yet in hand; False if it is over, or not as it was seen.

        `seen` are the keys of the versions that it replaces: of two editors at once, who comes
        second has not read what the first one wrote. The slot, the lists and the audience stay.
        """
        with transaction.atomic():
            if not list(self._booked().select_for_update(no_key=True).values_list("pk")):
                return False
            current = dict(self.versions.current().values_list("pk", "mailing_list"))
            if set(current) != seen:
                return False
            if set(current.values()) != {version.mailing_list_id for version in versions}:
                raise ValueError(f"The versions are not for the lists of campaign {self.pk}.")
            self.versions.current().update(replaced_at=Now())
            Version.objects.bulk_create(versions)
            self._booked().update(subject=self.subject)
        return True

    def start(self) -> bool:
        """Begin to hand over; False if it is not due, or has begun: of two workers one wins.

        Whoever is on the lists at this moment is the audience. The first batches are cut in the
        same transaction, so that mail leaves at once; `plan` cuts the others.
        """
        due = Campaign.objects.due().filter(pk=self.pk)
        with transaction.atomic():
            if not due.update(status=self.Status.SENDING, started_at=Now(), trouble=""):
                return False
            self.refresh_from_db()
            edges = planning.first_edges(self.periods_at_start(), self._lists())
            self._cut(edges) if edges else self.plan()
        return True

    def plan(self) -> bool:
        """Count the audience and cut what is left of it into batches; False if that is done.

        Any worker may, at any later time: the audience is who it was at the start. A planner that
        is killed half-way has planned nothing.
        """
        # Counted before anything is locked, or nobody could pause it meanwhile.
        audience = self.count_audience()
        edges = planning.edges(self.periods_at_start(), self.planned_to) if audience else []
        unplanned = Campaign.objects.unplanned().filter(pk=self.pk, planned_to=self.planned_to)
        with transaction.atomic():
            locked = unplanned.select_for_update(no_key=True, skip_locked=True)
            if not list(locked.values_list("pk")):
                return False
            self._cut(edges)
            self.audience = audience
            self.save(update_fields=["audience"])
        return True

    def hold(self) -> bool:
        """Keep back what should have started long ago, and ask; False if it is not that late."""
        late = Campaign.objects.late().filter(pk=self.pk)
        trouble = gettext("Nothing was running when it was due. Is it still news?")
        return bool(late.update(status=self.Status.PAUSED, trouble=trouble))

    def finish(self) -> bool:
        """Close the books; False if there is something left to do.

        "Sent" means that everybody is accounted for: if not, it needs somebody's attention.
        """
        with transaction.atomic():
            open_books = Campaign.objects.handed_over().filter(pk=self.pk)
            if not list(open_books.select_for_update(of=("self",), no_key=True).values_list("pk")):
                return False
            self.refresh_from_db()
            self._enter_totals()
            self.trouble = books.trouble(self)
            if self.trouble:
                self.status = self.Status.ATTENTION
            elif self.status == self.Status.SENDING:
                self.status = self.Status.SENT
            self.finished_at = timezone.now()
            self.save(update_fields=["status", "finished_at", "trouble", "audience", *books.TOTALS])
        return True

    def recount(self) -> None:
        """What was learnt after the books were closed is entered into the totals too."""
        if self.is_closed:
            self._enter_totals()
            self.save(update_fields=books.TOTALS)

    def cancel(self) -> bool:
        """Call it off, or stop it for good; False if it is a draft, or over.

        Once begun, the books stay open: the workers skip whoever has not got it, and close them.
        """
        not_begun = When(started_at__isnull=True, then=Now())
        return bool(
            self._booked().update(
                status=self.Status.CANCELLED, finished_at=Case(not_begun), trouble=""
            )
        )

    def redraft(self) -> bool:
        """Make a called-off campaign editable again; False if it is not one, or had begun."""
        called_off = Campaign.objects.filter(
            pk=self.pk, status=self.Status.CANCELLED, started_at__isnull=True
        )
        with transaction.atomic():
            won = called_off.update(
                status=self.Status.DRAFT, due_at=None, finished_at=None, trouble=""
            )
            if won:
                self.versions.current().update(replaced_at=Now())
        return bool(won)

    def pause(self, trouble: str = "") -> bool:
        """Hand over nothing more, from the next window on; False if it is not sending."""
        sending = Campaign.objects.sending().filter(pk=self.pk)
        return bool(sending.update(status=self.Status.PAUSED, trouble=trouble[:500]))

    def resume(self) -> bool:
        """Go on, with the batches that were set aside too; False if it is not stopped.

        What was held back before it started is due now. After `send_until` the workers would only
        skip the rest: who resumes then says that it still is news, for SEND_FOR from now.
        """
        stopped = Campaign.objects.stopped().filter(pk=self.pk)
        begun, held = (stopped.filter(started_at__isnull=not_begun) for not_begun in (False, True))
        with transaction.atomic():
            won = self._go_on(begun) or held.update(
                status=self.Status.SCHEDULED,
                due_at=Now(),
                # Readers who go by their own clocks may have hours to come that are later still.
                send_until=Greatest("send_until", timezone.now() + SEND_FOR),
                trouble="",
            )
        return bool(won)

    def _go_on(self, begun: CampaignQuerySet) -> int:
        now = timezone.now()
        too_late = When(send_until__lte=now, then=now + SEND_FOR)
        won = begun.update(
            status=self.Status.SENDING,
            send_until=Case(too_late, default="send_until"),
            finished_at=None,
            trouble="",
        )
        if won:
            self.put_back()
            # What locked us out may have been mended: that is why somebody says go.
            Breaker.objects.try_now(self.mailers)
            self.batches.bring_forward(self.mailers)
        return won

    def put_back(self) -> bool:
        """Try again with the batches that were set aside; False if there are none."""
        aside = self.batches.set_aside()
        again = {"set_aside_at": None, "failures": 0, "trouble": "", "due_at": Now()}
        return bool(aside.update(**again))

    def hours(self, due_at: datetime) -> tuple[datetime, datetime]:
        """When the first and the last readers are due, if it is due at the desk at this moment."""
        hour = self.readers_hour
        if hour is None:
            return due_at, due_at
        people = self.periods_now().order_by().values_list("subscriber__time_zone", flat=True)
        moments = [hour.where(zone) for zone in {"", *people.distinct()}]
        return min(moments), max(moments)

    def due_for(self, time_zone: str) -> datetime:
        """When a reader in this zone is due ("": unknown, then the campaign's own zone).

        Whose hour had passed when it started is due with the first; who moves while it is being
        sent, at the latest with the last.
        """
        due_at = self.due_at or timezone.now()
        hour = self.readers_hour
        if hour is None:
            return due_at
        last = (self.send_until or due_at + SEND_FOR) - SEND_FOR
        return max(due_at, min(hour.where(time_zone), last))

    def reckon(self) -> bool:
        """Ask the zone's rules of today what the wall time comes to; False if nothing changes.

        Not in the last moments, when it may have been put off so that it could be called off.
        """
        window = timedelta(seconds=self.publication.cancel_window)
        if self.hour is None or self.due_at is None or self.due_at <= timezone.now() + window:
            return False
        first, last = self.hours(self.hour.where(""))
        waiting = Campaign.objects.filter(
            pk=self.pk, status=self.Status.SCHEDULED, due_at=self.due_at
        )
        return first != self.due_at and bool(
            waiting.update(due_at=first, send_until=last + SEND_FOR)
        )

    def readers(self) -> int:
        """To how many it would go if it went now."""
        periods = self.periods_now()
        if self.confirmed_since:
            periods = periods.filter(confirmed_at__gte=self.confirmed_since)
        return periods.values("subscriber").distinct().count()

    def periods_now(self) -> QuerySet[Subscription]:
        """By which it would reach somebody if it went now; of a warm-up's cohort or not."""
        # Named one by one: PostgreSQL guesses badly at a subquery here.
        lists = list(self.mailing_lists.values_list("pk", flat=True))
        return Subscription.objects.mailable().filter(mailing_list__in=lists)

    @property
    def mailers(self) -> list[str]:
        """All by which it may leave, standbys too."""
        lists = self.mailing_lists.select_related("sender", "publication__sender")
        return sorted({mailer for mailing_list in lists for mailer in mailing_list.mailers})

    @property
    def title(self) -> str:
        """Its subject; while it has none, the headline of its first article."""
        first = next(iter(self.entries.all()), None)
        return self.subject or (first.article.headline if first else str(self))

    @property
    def is_draft(self) -> bool:
        return self.status == self.Status.DRAFT

    @property
    def is_booked(self) -> bool:
        """May be called off, and its wording replaced."""
        return self.status not in {self.Status.DRAFT, self.Status.SENT, self.Status.CANCELLED}

    @property
    def is_past_its_time(self) -> bool:
        """Going on, it would only skip whoever has not got it: `resume` says it still is news."""
        return self.send_until is not None and self.send_until <= timezone.now()

    @property
    def is_closed(self) -> bool:
        """The books are closed: `sent`, `failed`, `skipped` and `uncertain` are final."""
        return self.finished_at is not None and self.sent is not None

    @property
    def hour(self) -> Hour | None:
        """The wall time it was scheduled for; None if it was "now"."""
        if self.scheduled_date is None or self.scheduled_time is None:
            return None
        wall = datetime.combine(self.scheduled_date, self.scheduled_time)
        return Hour(wall, self.zone.key)

    @property
    def readers_hour(self) -> Hour | None:
        """The same, if each reader gets it when his own clock shows it."""
        return self.hour if self.at_readers_hour else None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone or self.publication.time_zone)

    def periods_at_start(self) -> QuerySet[Subscription]:
        """What makes the audience: the same whenever one asks, as no period is overwritten."""
        # Named one by one: PostgreSQL guesses badly at a subquery here, and took ten minutes for a
        # million readers.
        started = self.started_at or timezone.now()
        periods = Subscription.objects.audience(started).filter(mailing_list__in=self._lists())
        if self.confirmed_since:
            periods = periods.filter(confirmed_at__gte=self.confirmed_since)
        return periods

    def _lists(self) -> list[int]:
        return list(self.versions.current().values_list("mailing_list", flat=True))

    def _booked(self) -> CampaignQuerySet:
        return Campaign.objects.booked().filter(pk=self.pk)

    def count_audience(self) -> int:
        """A reader on several of the lists counts once."""
        return self.periods_at_start().values("subscriber").distinct().count()

    def _enter_totals(self) -> None:
        for total, count in books.totals(self).items():
            setattr(self, total, count)

    def _cut(self, edges: list[int]) -> None:
        if edges:
            self.batches.cut(self, self.planned_to, edges)
            self.planned_to = edges[-1]
            self.save(update_fields=["planned_to"])
