"""When a campaign goes, and to how many."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from newsletter import wall_time
from newsletter.models import Campaign, WarmUp
from subscribers.validators import validate_time_zone

# Further away, a date is more often a mistyped year than a plan.
_FURTHEST = timedelta(days=366)


class ScheduleForm(forms.Form):
    """Now, or a wall time in a zone; `due_at` is the moment it comes to."""

    NOW, LATER = "now", "later"
    _HOLD = Campaign.IfUncertain.HOLD
    when = forms.ChoiceField(
        label=gettext_lazy("When"),
        choices=[(NOW, gettext_lazy("Now")), (LATER, gettext_lazy("At a time of your choice"))],
        widget=forms.RadioSelect,
    )
    date = forms.DateField(
        label=gettext_lazy("Date"),
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    )
    time = forms.TimeField(
        label=gettext_lazy("Time"),
        required=False,
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"}),
    )
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        required=False,
        validators=[validate_time_zone],
        widget=forms.TextInput(attrs={"list": "zones", "autocomplete": "off"}),
    )
    at_readers_hour = forms.BooleanField(
        label=gettext_lazy("At this hour where the reader is"),
        required=False,
        help_text=gettext_lazy(
            "Each by his own clock. Where the hour has passed already, readers get it at the "
            "start; whose time zone we do not know gets it by the one above."
        ),
    )
    is_breaking = forms.BooleanField(
        label=gettext_lazy("Breaking news: goes before everything else"), required=False
    )
    if_uncertain = forms.ChoiceField(
        label=gettext_lazy("If we cannot know whether somebody got it"),
        choices=Campaign.IfUncertain,
        required=False,
        widget=forms.RadioSelect,
        help_text=gettext_lazy(
            "It happens when a connection or a machine breaks at the wrong moment. A second copy "
            "has the same Message-ID, by which most mailboxes hide it. Amazon SES gives each copy "
            "its own: there both show."
        ),
    )

    def __init__(self, data: Any = None, *, campaign: Campaign) -> None:
        self.campaign = campaign
        tomorrow = timezone.now().astimezone(campaign.zone).date() + timedelta(days=1)
        initial = {
            "when": self.LATER if campaign.scheduled_date else self.NOW,
            "date": campaign.scheduled_date or tomorrow,
            "time": campaign.scheduled_time or "06:30",
            "time_zone": campaign.zone.key,
            "at_readers_hour": campaign.at_readers_hour,
            "is_breaking": campaign.is_breaking,
            "if_uncertain": campaign.if_uncertain,
        }
        super().__init__(data, initial=initial)

    def clean(self) -> dict[str, Any]:
        self.due_at = timezone.now()
        later = self.cleaned_data.get("when") == self.LATER
        if later and self._has_all_of_it():
            self.due_at = self._moment()
        self._keep(self.cleaned_data if later else {})
        self.campaign.is_breaking = bool(self.cleaned_data.get("is_breaking"))
        # Asked of who has another wish; said to everybody on the review.
        self.campaign.if_uncertain = self.cleaned_data.get("if_uncertain") or self._HOLD
        self.campaign.confirmed_since = WarmUp.objects.cohort(self.campaign, self.due_at)
        return self.cleaned_data

    def _has_all_of_it(self) -> bool:
        wanted = {
            "date": _("Choose a date."),
            "time": _("Choose a time."),
            "time_zone": _("Choose a time zone, like Europe/Berlin."),
        }
        for name, remedy in wanted.items():
            if name not in self.errors and not self.cleaned_data.get(name):
                self.add_error(name, remedy)
        return not self.errors

    def _moment(self) -> datetime:
        wall = datetime.combine(self.cleaned_data["date"], self.cleaned_data["time"])
        now = timezone.now()
        try:
            moment = wall_time.instant(wall, ZoneInfo(self.cleaned_data["time_zone"]))
        except wall_time.NoSuchTimeError as error:
            self.add_error("time", self._skipped(error.next_valid))
            return now
        except OverflowError:
            moment = now + _FURTHEST * 2
        if wall_time.is_past(moment, now):
            self.add_error("time", _("That time is past. Choose a later one, or send now."))
        elif moment > now + _FURTHEST:
            self.add_error("date", _("That is more than a year away. Check the year."))
        return moment

    def _skipped(self, next_valid: datetime) -> str:
        return _(
            "The clocks are put forward then, and skip this time. "
            "The next one there is: %(time)s on %(date)s."
        ) % {
            "time": formats.time_format(next_valid, "H:i"),
            "date": formats.date_format(next_valid, "j F Y"),
        }

    def _keep(self, wall: Mapping[str, Any]) -> None:
        """What the campaign is to remember: nothing of a wall time if it goes now."""
        self.campaign.scheduled_date = wall.get("date")
        self.campaign.scheduled_time = wall.get("time")
        self.campaign.at_readers_hour = bool(wall.get("at_readers_hour"))
        if wall.get("time_zone"):
            self.campaign.time_zone = wall["time_zone"]

    @property
    def zones(self) -> list[str]:
        return sorted(available_timezones())

    @property
    def is_now(self) -> bool:
        return self.cleaned_data.get("when") == self.NOW


class ConfirmedForm(forms.Form):
    """The number of readers that the button named."""

    readers = forms.IntegerField(min_value=0)

    def is_close_to(self, readers: int) -> bool:
        """Whether the editor would decide the same: half a percent is a busy list, not a mistake.

        Below two hundred readers the number must be exact.
        """
        if not self.is_valid():
            return False
        confirmed: int = self.cleaned_data["readers"]
        return abs(readers - confirmed) <= confirmed // 200
