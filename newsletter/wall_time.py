"""From what a clock on the wall shows, in a zone, to the moment it means (SND-06, SND-07)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# An editor who sends "at 6:30" presses the button at 6:30:40; that is no mistake.
TOLERANCE = timedelta(seconds=60)


class NoSuchTimeError(ValueError):
    """The clocks skip this time. `next_valid` is the first wall time they show after it."""

    def __init__(self, wall: datetime, next_valid: datetime) -> None:
        super().__init__(f"{wall:%Y-%m-%d %H:%M} does not exist; next is {next_valid:%H:%M}.")
        self.next_valid = next_valid


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which clocks in the zone show `wall` (naive).

    Where they show it twice, the first; where they skip it, NoSuchTimeError.
    """
    if not _exists(wall, zone):
        raise NoSuchTimeError(wall, _next_valid(wall, zone))
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


@dataclass(frozen=True)
class Hour:
    """A wall time that readers are to be mailed at, each by the clock where he is."""

    wall: datetime
    # For readers of whom we do not know where they are.
    zone: str

    def where(self, time_zone: str) -> datetime:
        """The moment at which it comes in this zone; "", or no zone at all, is the hour's own."""
        try:
            return moment(self.wall, time_zone or self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            return moment(self.wall, self.zone)


@lru_cache(maxsize=1024)
def moment(wall: datetime, time_zone: str) -> datetime:
    """As `instant`; where the clocks skip it, the first time that they show after it."""
    zone = ZoneInfo(time_zone)
    try:
        return instant(wall, zone)
    except NoSuchTimeError as skipped:
        return instant(skipped.next_valid, zone)


def is_past(moment: datetime, now: datetime) -> bool:
    return moment < now - TOLERANCE


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    """Through UTC and back, only a time that the clocks show stays the same."""
    there_and_back = wall.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)
    return there_and_back.replace(tzinfo=None, fold=0) == wall


def _next_valid(wall: datetime, zone: ZoneInfo) -> datetime:
    # Zones have skipped a whole day; none has ever skipped half a minute.
    wall = wall.replace(second=0, microsecond=0)
    while not _exists(wall, zone):
        wall += timedelta(minutes=1)
    return wall
