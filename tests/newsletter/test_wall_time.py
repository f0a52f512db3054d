"""Wall times and the moments they mean."""

# ruff: noqa: DTZ001  A wall time has no zone: that is what it is.

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter import wall_time

BERLIN = ZoneInfo("Europe/Berlin")


def test_a_wall_time_follows_the_offset_of_its_season():
    winter = wall_time.instant(datetime(2027, 1, 15, 6, 30), BERLIN)
    summer = wall_time.instant(datetime(2027, 7, 15, 6, 30), BERLIN)

    assert winter == datetime(2027, 1, 15, 5, 30, tzinfo=UTC)
    assert summer == datetime(2027, 7, 15, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "skipped", "next_valid"),
    [
        ("Europe/Berlin", datetime(2027, 3, 28, 2, 30), datetime(2027, 3, 28, 3, 0)),
        ("America/New_York", datetime(2027, 3, 14, 2, 0), datetime(2027, 3, 14, 3, 0)),
        ("Australia/Lord_Howe", datetime(2027, 10, 3, 2, 10), datetime(2027, 10, 3, 2, 30)),
        ("Pacific/Apia", datetime(2011, 12, 30, 9, 0), datetime(2011, 12, 31, 0, 0)),
    ],
)
def test_a_time_the_clocks_skip_is_refused_with_the_next_one(zone, skipped, next_valid):
    with pytest.raises(wall_time.NoSuchTimeError) as refusal:
        wall_time.instant(skipped, ZoneInfo(zone))

    assert refusal.value.next_valid == next_valid


def test_of_a_time_shown_twice_the_first_counts():
    shown_twice = datetime(2026, 10, 25, 2, 30)

    first = wall_time.instant(shown_twice, BERLIN)
    told_second = wall_time.instant(shown_twice.replace(fold=1), BERLIN)

    assert first == told_second == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_time_is_past_only_after_a_minute():
    now = datetime(2027, 1, 15, 6, 30, 59, tzinfo=UTC)

    assert not wall_time.is_past(now + timedelta(hours=1), now)
    assert not wall_time.is_past(now - timedelta(seconds=60), now)
    assert wall_time.is_past(now - timedelta(seconds=61), now)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Africa/Casablanca"]),
)
def test_what_is_accepted_is_what_the_clock_will_show(wall, name):
    zone = ZoneInfo(name)

    try:
        moment = wall_time.instant(wall, zone)
    except wall_time.NoSuchTimeError as refusal:
        moment = wall_time.instant(refusal.next_valid, zone)
        wall = refusal.next_valid

    assert moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall.replace(fold=0)
