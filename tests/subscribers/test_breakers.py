"""A mailer is down after several attempts, is tried again by one, and up at the first success."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from subscribers.models import Breaker, Failure

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
SILENT = Failure(Breaker.Kind.UNREACHABLE, "Connection refused")
BUSY = Failure(Breaker.Kind.BUSY, "429 Too Many Requests", 5 * SECOND)
LOCKED_OUT = Failure(Breaker.Kind.LOCKED_OUT, "535 5.7.8 Wrong password")
_MOMENTS = ["first_failed_at", "forget_at", "down_since", "try_at", "probed_until"]


def pass_time(time):
    """For the rows, as the clock is the database's."""
    Breaker.objects.update(**{moment: F(moment) - time for moment in _MOMENTS})


def fail(*failures, every=0 * SECOND, mailer="bulk"):
    """One after the other; whether it is down after each."""
    found = []
    for failure in failures:
        found.append(Breaker.objects.fail(mailer, failure))
        pass_time(every)
    return found


def is_down(mailer="bulk"):
    return Breaker.objects.down().filter(mailer=mailer).exists()


def pause():
    """Until it may be tried again, in seconds."""
    return (Breaker.objects.get().try_at - timezone.now()).total_seconds()


def test_three_attempts_over_ten_seconds_open_it():
    assert fail(SILENT, SILENT, SILENT, every=6 * SECOND) == [False, False, True]
    assert Breaker.objects.get().said == "Connection refused"


def test_a_server_that_is_only_started_again_is_not_down():
    assert not any(fail(*[SILENT] * 20, every=SECOND / 4))


def test_two_attempts_are_not_several():
    assert not any(fail(SILENT, SILENT, every=MINUTE))


def test_attempts_that_are_long_past_are_forgotten():
    assert not any(fail(SILENT, SILENT, SILENT, SILENT, every=20 * MINUTE))


def test_who_says_later_is_down_only_if_that_goes_on():
    assert not any(fail(*[BUSY] * 8, every=MINUTE))
    assert fail(BUSY, BUSY, every=2 * MINUTE)[-1]


def test_a_long_rest_that_was_asked_for_is_not_forgotten_meanwhile():
    hours = BUSY._replace(rest=timedelta(minutes=30))

    assert fail(hours, hours, hours, every=31 * MINUTE)[-1]


def test_who_lets_us_not_in_is_down_at_once():
    assert fail(LOCKED_OUT) == [True]
    assert Breaker.objects.get().is_locked_out
    assert 200 < pause() < 400


def test_one_mailers_attempts_count_for_no_other():
    fail(SILENT, SILENT, every=6 * SECOND)

    assert fail(SILENT, mailer="letters") == [False]


def test_a_success_in_between_begins_anew():
    fail(SILENT, SILENT, every=6 * SECOND)

    Breaker.objects.forgive("bulk")

    assert fail(SILENT, SILENT, every=6 * SECOND) == [False, False]


def test_what_others_had_on_the_way_does_not_close_it():
    fail(LOCKED_OUT)

    Breaker.objects.forgive("bulk")

    assert is_down()


def test_one_may_try_it_when_its_time_has_come():
    fail(LOCKED_OUT)
    too_soon = Breaker.objects.probe("bulk")
    pass_time(10 * MINUTE)

    tries = [Breaker.objects.probe("bulk") for _worker in range(3)]

    assert (too_soon, tries) == (False, [True, False, False])


def test_who_found_nobody_to_try_it_with_leaves_it_to_others():
    fail(LOCKED_OUT)
    pass_time(10 * MINUTE)
    Breaker.objects.probe("bulk")

    Breaker.objects.leave("bulk")

    assert Breaker.objects.probe("bulk")


def test_whoever_tries_it_and_dies_does_not_keep_others_from_it():
    fail(LOCKED_OUT)
    pass_time(10 * MINUTE)
    Breaker.objects.probe("bulk")

    pass_time(3 * MINUTE)

    assert Breaker.objects.probe("bulk")


def test_pauses_grow_to_five_minutes():
    pauses = []
    fail(SILENT, SILENT, SILENT, every=6 * SECOND)
    for _attempt in range(10):
        Breaker.objects.update(try_at=timezone.now() - SECOND)
        Breaker.objects.probe("bulk")
        fail(SILENT)
        pauses.append(pause())

    assert 15 < pauses[0] < 25
    assert pauses[0] < pauses[1] < pauses[2]
    assert 260 < max(pauses) < 340


def test_a_failure_from_before_lengthens_no_pause():
    fail(SILENT, SILENT, SILENT, every=6 * SECOND)
    before = Breaker.objects.get().try_at

    fail(SILENT)

    assert Breaker.objects.get().try_at == before


def test_a_rest_that_it_asks_for_is_kept_up_to_an_hour():
    fail(LOCKED_OUT._replace(rest=timedelta(hours=5)))

    assert 3500 < pause() < 3700


def test_somebody_may_have_it_tried_at_once():
    fail(LOCKED_OUT)

    asked = [Breaker.objects.try_now(["bulk"]) for _press in range(2)]

    assert asked == [True, False]
    assert Breaker.objects.probe("bulk")


def test_a_letter_goes_by_the_first_mailer_that_is_up():
    assert list(Breaker.objects.in_order(["bulk", "relay"])) == ["bulk", "relay"]
    fail(LOCKED_OUT)
    assert list(Breaker.objects.in_order(["bulk", "relay"])) == ["relay"]
    assert list(Breaker.objects.in_order(["bulk"])) == ["bulk"]
    pass_time(10 * MINUTE)
    assert list(Breaker.objects.in_order(["bulk", "relay"])) == ["bulk", "relay"]
    assert list(Breaker.objects.in_order(["bulk", "relay"])) == ["relay"]
