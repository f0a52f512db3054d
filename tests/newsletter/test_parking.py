"""Mailbox providers that refuse us are left alone for a while; the others go on."""

from datetime import timedelta
from typing import NamedTuple

import pytest
from django.db import OperationalError, connection
from django.urls import reverse
from django.utils import timezone

from newsletter.content import Reader
from newsletter.delivery.outcomes import Fate
from newsletter.delivery.standing import Standing
from newsletter.models import Parking

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class Answer(NamedTuple):
    reader: Reader
    fate: Fate
    code: str = ""
    text: str = ""


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def standing():
    return Standing("default")


def reader(number, provider):
    return Reader(number, f"reader{number}@{provider}.example", "", 1, mailbox_provider=provider)


def answers(provider, fate, count, code="550 5.7.1"):
    return [Answer(reader(number, provider), fate, code, "blocked") for number in range(count)]


def refused(provider, count):
    return answers(provider, Fate.REFUSED, count)


def sent(provider, count):
    return answers(provider, Fate.SENT, count)


def parked():
    return set(Parking.objects.values_list("house", flat=True))


def test_a_house_that_refuses_all_is_parked_and_no_other(standing, now):
    words = [
        standing.note(refused("gmail", 1) + sent("yahoo", 1) + sent("other", 1), now)
        for _ in range(30)
    ]

    assert parked() == {"gmail"}
    assert set(words) == {""}
    assert standing.room("gmail", now) == 0
    assert standing.room("yahoo", now) is None
    assert not standing.may_take(reader(1, "gmail"), now)
    assert standing.may_take(reader(1, "yahoo"), now)


def test_single_refusals_among_acceptances_are_the_readers_own(standing, now):
    for _ in range(50):
        assert standing.note(sent("gmail", 9) + refused("gmail", 3), now) == ""

    assert parked() == set()


def test_a_house_that_took_our_mail_and_turned_is_parked_too(standing, now):
    standing.note(sent("gmail", 500) + refused("gmail", 1) + sent("gmail", 50), now)

    standing.note(refused("gmail", 20), now)

    assert parked() == {"gmail"}


def test_mail_domains_at_no_known_provider_are_houses_of_their_own(standing, now):
    def mine(fate):
        return Answer(Reader(1, "ann@bank.example", "", 1), fate, "550 5.7.1")

    def theirs(fate):
        return Answer(Reader(2, "bo@mill.example", "", 1), fate)

    for _ in range(20):
        standing.note([mine(Fate.REFUSED), theirs(Fate.SENT)], now)

    assert parked() == {"bank.example"}


@pytest.mark.parametrize(
    "fate", [Fate.NO_MAILBOX, Fate.FAILED, Fate.UNCERTAIN, Fate.RETURNED, Fate.DEFERRED]
)
def test_readers_who_do_not_exist_or_wait_park_nobody(standing, now, fate):
    words = [standing.note(answers(one, fate, 100, ""), now) for one in ("gmail", "yahoo")]

    assert parked() == set()
    assert words == ["", ""]


def test_being_slowed_for_what_we_are_is_as_good_as_a_refusal(standing, now):
    standing.note(answers("gmail", Fate.DEFERRED, 10, "421 4.7.28"), now)

    assert parked() == {"gmail"}


def test_when_all_refuse_the_newsroom_is_told(standing, now):
    quiet = standing.note(refused("gmail", 10), now)

    words = standing.note(refused("yahoo", 10), now)

    assert quiet == ""
    assert "yahoo: 550 5.7.1 blocked" in words


def test_a_relay_that_refuses_everything_pauses_before_any_house_is_parked(standing, now):
    one_each = [answer for number in range(20) for answer in refused(f"house{number}", 1)]

    assert standing.note(one_each, now)
    assert parked() == set()


def test_whoever_resumes_is_not_stopped_by_old_refusals(standing, now):
    assert standing.note(refused("gmail", 10) + refused("yahoo", 10), now)

    assert standing.note(refused("apple", 1), now) == ""


def test_a_parked_house_is_reached_again_when_a_probe_gets_through(standing, now):
    standing.note(refused("gmail", 10), now)
    later = now + 20 * MINUTE

    taken = [standing.may_take(reader(number, "gmail"), later) for number in range(6)]
    standing.note(refused("gmail", 1) + sent("gmail", 4)[1:], later + SECOND)

    assert taken == [True] * 4 + [False] * 2
    assert parked() == set()
    assert standing.room("gmail", later + SECOND) is None


def test_a_probe_that_is_refused_parks_for_longer(standing, now):
    standing.note(refused("gmail", 10), now)
    first = Parking.objects.get()
    later = now + 20 * MINUTE

    standing.note(refused("gmail", 4), later)

    again = Parking.objects.get()
    assert again.attempts == 2
    assert 13 * MINUTE < first.until - now < 17 * MINUTE
    assert 26 * MINUTE < again.until - later < 34 * MINUTE
    assert standing.room("gmail", later + SECOND) == 0


def test_no_house_is_parked_for_days(standing, now):
    standing.note(refused("gmail", 10), now)
    Parking.objects.update(attempts=500, until=now)

    standing.note(refused("gmail", 1), now + 2 * SECOND)

    assert Parking.objects.get().until < now + timedelta(hours=5)


def test_what_was_on_the_way_when_it_was_parked_says_nothing_new(standing, now):
    standing.note(refused("gmail", 10), now)

    standing.note(refused("gmail", 10) + sent("gmail", 1), now + SECOND)

    assert Parking.objects.get().attempts == 1


def test_a_probe_that_nobody_made_frees_its_place(standing, now):
    standing.note(refused("gmail", 10), now)
    later = now + 20 * MINUTE
    for number in range(4):
        assert standing.may_take(reader(number, "gmail"), later)

    assert standing.room("gmail", later) == 0
    assert standing.room("gmail", later + 6 * MINUTE) == 4


def test_what_one_worker_learns_all_know_a_second_later(standing, now):
    other = Standing("default")
    elsewhere = Standing("second")
    assert other.room("gmail", now) is None

    standing.note(refused("gmail", 10), now)

    assert other.room("gmail", now + SECOND) == 0
    assert elsewhere.room("gmail", now + SECOND) is None


def test_two_workers_refused_at_once_lengthen_the_pause_once(standing, now):
    other = Standing("default")
    standing.note(refused("gmail", 10), now)
    later = now + 20 * MINUTE
    assert other.room("gmail", later) == standing.room("gmail", later) == 4

    standing.note(refused("gmail", 4), later)
    other.note(refused("gmail", 4), later)

    assert Parking.objects.get().attempts == 2


def test_an_editor_has_it_tried_now(standing, now, admin_client):
    standing.note(refused("gmail", 10), now)
    row = Parking.objects.get()

    admin_client.post(
        reverse("admin:newsletter_parking_changelist"),
        {"action": "release", "_selected_action": [row.pk]},
    )

    assert standing.room("gmail", timezone.now() + 2 * SECOND) == 4
    assert not Parking.objects.release(row.pk)


def test_the_table_is_read_once_a_second(standing, now, django_assert_num_queries):
    with django_assert_num_queries(1):
        for number in range(300):
            standing.note(sent("gmail", 4), now + number * SECOND / 400)
            standing.room("gmail", now + number * SECOND / 400)


def test_told_again_after_the_database_was_away_it_counts_once(standing, now):
    def away(*_):
        raise OperationalError("away")

    outcomes = refused("gmail", 9) + sent("yahoo", 1) + refused("gmail", 1)
    standing.parked(now)
    with connection.execute_wrapper(away):
        for _ in range(5):
            with pytest.raises(OperationalError):
                standing.note(outcomes, now)

    assert standing.note(outcomes, now) == ""
    assert parked() == {"gmail"}


def test_memory_does_not_grow_with_the_number_of_domains(standing, now):
    standing.note([one for number in range(3000) for one in refused(f"house{number}", 1)], now)

    assert len(standing._houses) <= 1000
