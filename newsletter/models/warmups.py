"""Getting a new mailer or domain known to the mailbox providers: a little more mail every day."""

import math
from datetime import date, datetime, timedelta

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Max, Q
from django.utils.translation import gettext_lazy as _

from newsletter.models.campaigns import Campaign
from newsletter.models.limits import DayCount, day_of
from subscribers.models import MailingList
from subscribers.validators import validate_mailer

_LEAST_GROWTH = 1.05
# To be later than the last one who is left out, by the least that a database can tell apart.
_A_MOMENT = timedelta(microseconds=1)


class WarmUpQuerySet(models.QuerySet["WarmUp"]):
    def allowances(self, day: date) -> dict[str, int]:
        """By mailer, for those that are being warmed up on that day."""
        allowed = {warm_up.mailer: warm_up.allowance(day) for warm_up in self.all()}
        return {mailer: number for mailer, number in allowed.items() if number is not None}

    def cohort(self, campaign: Campaign, due_at: datetime) -> datetime | None:
        """Since when its readers must have confirmed, so that no more are mailed than the warm-up
        allows on the day when it is due; None if all may be.

        Who confirmed last is the most engaged we can know of without tracking. The allowance is
        less what the mailer took that day, and what is booked for it. Of several mailers each
        counts the readers of its own lists, and the strictest decides for all lists. To be asked
        when the campaign is scheduled, and kept in `confirmed_since`.
        """
        day = day_of(due_at)
        lists = _by_mailer(campaign)
        moments = [
            _since(campaign, lists[mailer], allowed - self._spoken_for(campaign, mailer, day))
            for mailer, allowed in self.allowances(day).items()
            if mailer in lists
        ]
        return max((moment for moment in moments if moment), default=None)

    def _spoken_for(self, campaign: Campaign, mailer: str, day: date) -> int:
        others = Campaign.objects.booked().exclude(pk=campaign.pk).filter(due_at__isnull=False)
        booked = sum(
            _still_to_mail(other)
            for other in others.select_related("publication")
            if other.due_at and day_of(other.due_at) == day and mailer in _by_mailer(other)
        )
        return booked + DayCount.objects.taken(mailer, day)


class WarmUp(models.Model):
    """The plan of one mailer: so many messages on its first day, and more by a factor every day.

    Holds campaigns to it as a limit for the day does. Before its first day the first day's number
    holds; from the day on that reaches the ceiling, none does.
    """

    mailer = models.CharField(
        _("mailer"),
        max_length=50,
        unique=True,
        default="default",
        validators=[validate_mailer],
        help_text=_("The way mail leaves: “default”, unless a sender has another."),
    )
    started_on = models.DateField(_("first day"), help_text=_("In the publication's time zone."))
    first_day = models.PositiveIntegerField(
        _("messages on the first day"),
        default=200,
        validators=[MinValueValidator(1)],
        help_text=_("Those who confirmed last get a campaign; the others are left out of it."),
    )
    growth = models.FloatField(
        _("growth"),
        default=1.5,
        validators=[MinValueValidator(_LEAST_GROWTH)],
        help_text=_("Each day so many times the day before: 1.5 is half as much again."),
    )
    ceiling = models.PositiveIntegerField(
        _("until"),
        default=100_000,
        validators=[MinValueValidator(1)],
        help_text=_("Messages a day at which it is over: from then on no plan holds mail back."),
    )
    held_on = models.DateField(
        _("held on"),
        null=True,
        blank=True,
        help_text=_(
            "If providers complain: from this day on, each day allows what this one did. Take the "
            "date away to go on where the plan would be by now, or give it a later first day."
        ),
    )

    objects = WarmUpQuerySet.as_manager()

    class Meta:
        verbose_name = _("warm-up")
        constraints = [
            models.CheckConstraint(
                condition=Q(growth__gte=_LEAST_GROWTH, first_day__gt=0), name="warm_up_ends"
            )
        ]

    def __str__(self) -> str:
        return f"{self.mailer}: {self.first_day} × {self.growth}"

    def allowance(self, day: date) -> int | None:
        """How many messages may leave on that day; None if it is over."""
        if self.held_on:
            day = min(day, self.held_on)
        number = max((day - self.started_on).days, 0)
        return int(self.first_day * self.growth**number) if number < self.days else None

    @property
    def days(self) -> int:
        """How many days of it there are."""
        if self.ceiling <= self.first_day:
            return 0
        return math.ceil(round(math.log(self.ceiling / self.first_day, self.growth), 6))

    @property
    def over_on(self) -> date:
        """The first day without a limit, if it is not held."""
        return self.started_on + timedelta(days=self.days)

    def plan(self) -> list[tuple[date, int]]:
        """Every day of it, as if it were never held."""
        days = [self.started_on + timedelta(days=number) for number in range(self.days)]
        return [(day, int(self.first_day * self.growth**number)) for number, day in enumerate(days)]


def _by_mailer(campaign: Campaign) -> dict[str, list[MailingList]]:
    lists: dict[str, list[MailingList]] = {}
    for mailing_list in campaign.mailing_lists.select_related("sender", "publication__sender"):
        sender = mailing_list.effective_sender
        if sender:
            lists.setdefault(sender.mailer, []).append(mailing_list)
    return lists


def _since(campaign: Campaign, lists: list[MailingList], allowed: int) -> datetime | None:
    """Just after the confirmation of the last one for whom there is no room; None if all fit."""
    periods = campaign.periods_now().filter(mailing_list__in=lists).order_by()
    people = periods.values("subscriber").annotate(last=Max("confirmed_at")).order_by("-last")
    too_many = people.values_list("last", flat=True)[max(allowed, 0) :][:1]
    return next((moment + _A_MOMENT for moment in too_many), None)


def _still_to_mail(campaign: Campaign) -> int:
    if campaign.started_at is None:
        return campaign.readers()
    return max((campaign.audience or 0) - campaign.deliveries.count(), 0)
