"""How much mail may leave by a mailer, in a second and in a day, and how much has today."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _

from subscribers import mailbox_providers
from subscribers.models import Publication
from subscribers.validators import validate_mailer

# Stands for the mailer as a whole, where others have a mailbox provider.
WHOLE = ""
_SLOWEST = 0.01


class Rate(NamedTuple):
    """Messages at most; None: as many as one likes."""

    per_second: float | None
    per_day: int | None


def validate_provider(name: str) -> None:
    if name not in mailbox_providers.NAMES:
        raise ValidationError(
            _("“%(name)s” is no mailbox provider we know. We know %(known)s."),
            params={"name": name, "known": ", ".join(mailbox_providers.NAMES)},
        )


def day_of(moment: datetime) -> date:
    """The day that it counts for: in the publication's zone, or UTC while there is none."""
    return moment.astimezone(_zone()).date()


def end_of_day(moment: datetime) -> datetime:
    zone = _zone()
    tomorrow = moment.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=zone)


def _zone() -> ZoneInfo:
    zones = Publication.objects.order_by("id").values_list("time_zone", flat=True)
    return ZoneInfo(zones.first() or "UTC")


class RateLimitQuerySet(models.QuerySet["RateLimit"]):
    def rates(self) -> dict[str, dict[str, Rate]]:
        """By mailer and mailbox provider. The settings hold until the default mailer has a row for
        all its mail, which then says everything: what it leaves blank has no limit."""
        rates: dict[str, dict[str, Rate]] = {}
        preset = Rate(settings.SEND_PER_SECOND or None, settings.SEND_PER_DAY or None)
        if any(preset):
            rates["default"] = {WHOLE: preset}
        for row in self.all():
            rate = Rate(row.per_second, row.per_day)
            rates.setdefault(row.mailer, {})[row.mailbox_provider] = rate
        return rates


class RateLimit(models.Model):
    """What a mailer may hand over at most: to all, or to one mailbox provider.

    Campaigns only: letters that people wait for (confirm, welcome) are neither held back nor
    counted.
    """

    mailer = models.CharField(
        _("mailer"),
        max_length=50,
        default="default",
        validators=[validate_mailer],
        help_text=_("The way mail leaves: “default”, unless a sender has another."),
    )
    mailbox_provider = models.CharField(
        _("mailbox provider"),
        max_length=30,
        blank=True,
        validators=[validate_provider],
        help_text=_(
            "Blank: all mail of this mailer. Else a provider like gmail, microsoft or yahoo, whose "
            "readers then wait alone; “other” is everybody at no provider we know, together."
        ),
    )
    per_second = models.FloatField(
        _("messages a second"),
        null=True,
        blank=True,
        validators=[MinValueValidator(_SLOWEST)],
        help_text=_(
            "By all workers together, evenly: at 10, one every tenth of a second. 0.5 is one every "
            "two seconds. Blank: as fast as they go."
        ),
    )
    per_day = models.PositiveIntegerField(
        _("messages a day"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "From midnight to midnight in the publication's time zone; whoever is left is mailed "
            "after midnight, if it is still news then. Blank: as many as there are."
        ),
    )

    objects = RateLimitQuerySet.as_manager()

    class Meta:
        ordering = ["mailer", "mailbox_provider"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailer", "mailbox_provider"],
                name="one_limit_a_provider",
                violation_error_message=_("There is a limit for these already. Change that one."),
            ),
            models.CheckConstraint(
                condition=Q(per_second__isnull=True) | Q(per_second__gt=0),
                name="limit_lets_some_pass",
            ),
            models.CheckConstraint(
                condition=Q(per_day__isnull=True) | Q(per_day__gt=0),
                name="limit_lets_some_pass_a_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mailer}: {self.mailbox_provider}" if self.mailbox_provider else self.mailer


class DayCountQuerySet(models.QuerySet["DayCount"]):
    def take(
        self, mailer: str, day: date, wanted: Mapping[str, int], limits: Mapping[str, int]
    ) -> dict[str, int]:
        """As many of these as the day's limits still allow, counted as taken; of each provider.

        `limits` are by provider, and WHOLE. Never more, however many workers take at once: they
        wait for each other's rows.
        """
        asked = sorted(name for name in limits if name == WHOLE or wanted.get(name))
        with transaction.atomic():
            left = {name: limits[name] - taken for name, taken in self._locked(mailer, day, asked)}
            granted = _share(wanted, left)
            used = {**granted, WHOLE: sum(granted.values())}
            self._add(mailer, day, {name: used[name] for name in asked})
        return granted

    def give_back(self, mailer: str, day: date, granted: Mapping[str, int]) -> None:
        """Of these nothing was handed over."""
        unused = {**granted, WHOLE: sum(granted.values())}
        with transaction.atomic():
            rows = self._locked(mailer, day, sorted(unused), make=False)
            self._add(mailer, day, {name: -unused[name] for name, _taken in rows})

    def spent(self, mailer: str, day: date, limits: Mapping[str, int]) -> set[str]:
        """Whose limits for the day, by provider and WHOLE, have nothing left."""
        rows = self.filter(mailer=mailer, day=day, mailbox_provider__in=limits)
        counts = rows.values_list("mailbox_provider", "taken")
        return {name for name, taken in counts if taken >= limits[name]}

    def taken(self, mailer: str, day: date) -> int:
        """By this mailer on that day, while it had a limit for the day."""
        rows = self.filter(mailer=mailer, day=day, mailbox_provider=WHOLE)
        return rows.values_list("taken", flat=True).first() or 0

    def _locked(
        self, mailer: str, day: date, names: Iterable[str], *, make: bool = True
    ) -> list[tuple[str, int]]:
        """In one order for all, so that no two wait for each other."""
        names = list(names)
        mine = self.filter(mailer=mailer, day=day, mailbox_provider__in=names)
        rows = mine.order_by("mailbox_provider").select_for_update(no_key=True)
        found = list(rows.values_list("mailbox_provider", "taken"))
        if not make or len(found) == len(names):
            return found
        self.bulk_create(
            [DayCount(mailer=mailer, day=day, mailbox_provider=name) for name in names],
            ignore_conflicts=True,
        )
        return list(rows.values_list("mailbox_provider", "taken"))

    def _add(self, mailer: str, day: date, numbers: Mapping[str, int]) -> None:
        for name, number in numbers.items():
            if number:
                row = self.filter(mailer=mailer, day=day, mailbox_provider=name)
                row.update(taken=Greatest(F("taken") + number, 0))


class DayCount(models.Model):
    """How many messages of a day's limit are taken. Only counted where there is such a limit."""

    mailer = models.CharField(_("mailer"), max_length=50)
    mailbox_provider = models.CharField(_("mailbox provider"), max_length=30, blank=True)
    # In the publication's time zone.
    day = models.DateField(_("day"))
    taken = models.PositiveIntegerField(_("messages"), default=0)

    objects = DayCountQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "mailer", "mailbox_provider"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailer", "day", "mailbox_provider"], name="one_count_a_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.mailer} {self.mailbox_provider}: {self.taken}"


def _share(wanted: Mapping[str, int], left: Mapping[str, int]) -> dict[str, int]:
    """First come, first served: a day's end is no matter of fairness."""
    granted = {}
    whole = max(left.get(WHOLE, sum(wanted.values())), 0)
    for name, number in wanted.items():
        granted[name] = min(number, max(left.get(name, number), 0), whole)
        whole -= granted[name]
    return granted
