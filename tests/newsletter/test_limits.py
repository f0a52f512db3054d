"""Rate limits: evenly a second over all workers, never more a day, and each provider alone."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
import redis
import time_machine
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from newsletter.delivery import buckets, limits
from newsletter.delivery.buckets import OwnBuckets
from newsletter.delivery.limits import Limits
from newsletter.delivery.shared_buckets import SharedBuckets
from newsletter.models import DayCount, RateLimit, WarmUp

pytestmark = pytest.mark.django_db

TODAY = date(2026, 5, 4)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def embedded(settings, monkeypatch):
    settings.EMBEDDED = True
    settings.SEND_PER_SECOND = settings.SEND_PER_DAY = 0
    monkeypatch.setattr(limits, "_own_buckets", OwnBuckets())


@pytest.fixture
def with_redis(settings, redis_url):
    settings.EMBEDDED = False
    settings.REDIS_URL = redis_url
    return redis_url


@pytest.fixture
def clock(monkeypatch):
    """The clock of limits in this process: `clock.now += 1` lets a second pass."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    fake = Clock()
    for module in [buckets, limits]:
        monkeypatch.setattr(module, "time", fake)
    return fake


@pytest.fixture(params=["own", "shared"])
def any_buckets(request):
    """Of this process, and of all on Redis."""
    if request.param == "own":
        return OwnBuckets()
    return SharedBuckets(request.getfixturevalue("redis_url"))


def limit(provider="", mailer="default", **rates):
    return RateLimit.objects.create(mailer=mailer, mailbox_provider=provider, **rates)


def take(worker=None, **wanted):
    return (worker or Limits()).take("default", wanted)


# Without limits ------------------------------------------------------------------------------


def test_without_limits_all_is_granted_and_no_table_asked(django_assert_num_queries):
    worker = Limits()
    assert not worker.is_limiting("default")

    with django_assert_num_queries(0):
        grant = take(worker, gmail=40, other=24)

    assert grant == limits.Grant({"gmail": 40, "other": 24})


def test_without_limits_asking_costs_nothing():
    worker = Limits()
    worker.take("default", {"other": 64})
    begun = time.process_time()
    for _ in range(10_000):
        worker.take("default", {"other": 64})

    # Ten times what it costs, for slow machines; a query alone costs ten times that.
    assert (time.process_time() - begun) / 10_000 < 20e-6


def test_a_limit_holds_for_no_other_mailer():
    limit(per_day=1)
    worker = Limits()

    assert worker.is_limiting("default")
    assert not worker.is_limiting("relay")
    assert worker.take("relay", {"gmail": 9}).granted == {"gmail": 9}


def test_a_new_limit_is_noticed_within_a_second(clock):
    worker = Limits()
    assert not worker.is_limiting("default")
    limit(per_day=1)

    clock.now += 1.1

    assert worker.is_limiting("default")


# A second ------------------------------------------------------------------------------------


def test_a_bucket_lets_its_rate_through_second_by_second(clock):
    tokens = OwnBuckets()
    granted = Counter()
    for tick in range(5000):
        clock.now += 0.001
        taken = tokens.take("default", {"gmail": 64}, {"": 200})
        granted[tick // 1000] += taken.tokens["gmail"]

    assert all(199 <= number <= 201 for number in granted.values())


def test_workers_who_come_seldom_lose_nothing_of_a_tenth_of_a_second(clock):
    tokens, granted = OwnBuckets(), 0
    for _ in range(50):
        clock.now += 0.1
        granted += tokens.take("default", {"gmail": 64}, {"": 200}).tokens["gmail"]

    assert granted >= 49 * 20


def test_after_a_pause_there_is_no_burst(clock):
    tokens = OwnBuckets()
    tokens.take("default", {"gmail": 64}, {"": 200})
    clock.now += 3600

    assert tokens.take("default", {"gmail": 64}, {"": 200}).tokens == {"gmail": 1}


def test_less_than_one_a_second_is_possible(clock):
    tokens = OwnBuckets()
    taken = [tokens.take("default", {"gmail": 64}, {"": 0.1})]
    for _ in range(30):
        clock.now += 1
        taken.append(tokens.take("default", {"gmail": 64}, {"": 0.1}))

    assert sum(each.tokens["gmail"] for each in taken) in {3, 4}
    assert taken[0].whole_again_in == pytest.approx(10)


def test_a_first_token_is_there_at_once_and_the_next_in_time(any_buckets):
    taken = any_buckets.take("default", {"gmail": 64}, {"": 2})

    assert taken.tokens == {"gmail": 1}
    assert 0.4 < taken.whole_again_in <= 0.5
    assert not any(taken.again_in.values())


def test_a_providers_limit_slows_no_other(any_buckets):
    taken = any_buckets.take("default", {"gmail": 30, "yahoo": 30}, {"gmail": 5})

    assert taken.tokens == {"gmail": 1, "yahoo": 30}
    assert taken.whole_again_in == 0
    assert 0.1 < taken.again_in["gmail"] <= 0.2
    assert not taken.again_in.get("yahoo")


def test_the_mailers_limit_slows_all(any_buckets):
    rates = {"": 100}
    any_buckets.take("default", {"gmail": 1}, rates)

    taken = any_buckets.take("default", {"gmail": 30, "yahoo": 30}, rates)

    assert sum(taken.tokens.values()) <= 1
    assert 0 < taken.whole_again_in <= 0.01


def test_no_token_of_the_mailers_goes_to_a_provider_that_has_none(any_buckets):
    rates = {"": 2, "gmail": 0.01}
    assert any_buckets.take("default", {"gmail": 1}, {"gmail": 0.01}).tokens == {"gmail": 1}

    assert any_buckets.take("default", {"gmail": 9}, rates).tokens == {"gmail": 0}

    assert any_buckets.take("default", {"yahoo": 9}, rates).tokens == {"yahoo": 1}


def test_no_token_of_a_providers_goes_while_the_mailer_has_none(any_buckets):
    rates = {"": 0.01, "gmail": 0.02}
    assert any_buckets.take("default", {"yahoo": 9}, rates).tokens == {"yahoo": 1}

    taken = any_buckets.take("default", {"gmail": 9}, rates)

    assert taken.tokens == {"gmail": 0}
    assert any_buckets.take("default", {"gmail": 9}, {"gmail": 0.02}).tokens == {"gmail": 1}


def test_what_the_mailer_has_is_shared_in_proportion(any_buckets):
    sums = Counter()
    for number in range(300):
        taken = any_buckets.take(f"mailer{number}", {"gmail": 30, "yahoo": 10}, {"": 5})
        assert sum(taken.tokens.values()) == 1
        sums.update(taken.tokens)

    # Three to one; a fair die is further off than this once in ten million runs.
    assert 185 < sums["gmail"] < 265


def test_what_is_given_back_may_be_taken_again(any_buckets):
    rates = {"": 0.01, "gmail": 0.01}
    assert any_buckets.take("default", {"gmail": 5}, rates).tokens == {"gmail": 1}

    any_buckets.give_back("default", {"gmail": 1}, rates)

    assert any_buckets.take("default", {"gmail": 5}, rates).tokens == {"gmail": 1}


def test_giving_back_fills_no_bucket_beyond_its_brim(any_buckets):
    rates = {"": 20}
    any_buckets.take("default", {"gmail": 1}, rates)

    any_buckets.give_back("default", {"gmail": 50}, rates)

    assert any_buckets.take("default", {"gmail": 50}, rates).tokens["gmail"] <= 2


def test_threads_of_one_process_share_its_buckets():
    tokens, granted = OwnBuckets(), []

    def worker():
        until = time.monotonic() + 1
        while time.monotonic() < until:
            granted.append(tokens.take("default", {"gmail": 8}, {"": 500}).tokens["gmail"])
            time.sleep(0.002)

    begun = time.monotonic()
    together(worker, 4)

    assert 0 < sum(granted) <= 500 * (time.monotonic() - begun) + 50


def together(act, count):
    threads = [threading.Thread(target=act) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# What a worker process does; it prints when, by Redis' clock, it was granted how many.
_ASK_FOR_THREE_SECONDS = """
import json, sys, time
import django, redis
django.setup()
from newsletter.delivery.shared_buckets import SharedBuckets

tokens, granted = SharedBuckets(sys.argv[1]), []
with redis.Redis.from_url(sys.argv[1]) as client:
    until = time.monotonic() + 3.2
    while time.monotonic() < until:
        taken = tokens.take("default", {"gmail": 40, "other": 24}, {"": 200})
        if any(taken.tokens.values()):
            granted.append([client.time(), sum(taken.tokens.values())])
        time.sleep(0.005)
print(json.dumps(granted))
"""


def test_four_processes_get_two_hundred_a_second_together(redis_url):
    command = [sys.executable, "-c", _ASK_FOR_THREE_SECONDS, redis_url]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    told = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]

    granted = sorted(itertools.chain.from_iterable(told))
    moments = [(seconds + micro / 1e6, number) for (seconds, micro), number in granted]
    for begin, _number in moments:
        within = sum(number for at, number in moments if begin <= at < begin + 1)
        # The bucket's brim, and as many again for what is written down a little late.
        assert within <= 200 + 20 + 20
    length = moments[-1][0] - moments[0][0]
    assert 3 <= length < 30
    assert 0.7 * 200 * length < sum(number for _at, number in moments) <= 200 * length + 21


def test_emptied_redis_begins_anew(with_redis):
    limit(per_second=10)
    worker = Limits()
    take(worker, gmail=5)

    with redis.Redis.from_url(with_redis) as client:
        client.flushall()
        client.script_flush()

    assert take(worker, gmail=5).granted == {"gmail": 1}


def test_without_redis_nothing_is_granted_and_it_is_said_once(settings, caplog):
    settings.EMBEDDED, settings.REDIS_URL = False, "redis://127.0.0.1:1/0"
    limit(per_second=10)
    worker = Limits()

    grants = [take(worker, gmail=5, other=3) for _ in range(3)]
    worker.give_back("default", {"gmail": 1})

    assert grants == [limits.Grant({"gmail": 0, "other": 0}, mailer_again_in=1.0)] * 3
    assert len(caplog.records) == 1


def test_without_redis_limits_a_day_go_on(settings):
    settings.EMBEDDED, settings.REDIS_URL = False, "redis://127.0.0.1:1/0"
    limit(per_day=10)

    assert take(gmail=5).granted == {"gmail": 5}


# A day ---------------------------------------------------------------------------------------


@time_machine.travel(NOON, tick=False)
def test_a_days_last_ones_are_granted_in_part():
    limit(per_day=10)
    worker = Limits()

    assert take(worker, gmail=7).granted == {"gmail": 7}
    grant = take(worker, gmail=7)

    assert grant.granted == {"gmail": 3}
    assert grant.mailer_again_in == 600
    assert take(worker, gmail=7).granted == {"gmail": 0}
    assert DayCount.objects.taken("default", TODAY) == 10


@time_machine.travel(NOON, tick=False)
def test_a_day_that_is_over_is_asked_about_once_a_second(django_assert_num_queries):
    limit(per_day=10)
    limit("yahoo", per_day=1)
    worker = Limits()
    take(worker, gmail=9, yahoo=7)

    with django_assert_num_queries(0):
        grant = take(worker, gmail=9, yahoo=7)

    assert grant.granted == {"gmail": 0, "yahoo": 0}
    assert grant.mailer_again_in == 600


@time_machine.travel(NOON, tick=False)
def test_a_providers_day_ends_for_it_alone():
    limit("gmail", per_day=10)
    worker = Limits()
    take(worker, gmail=10)

    grant = take(worker, gmail=5, yahoo=5)

    assert grant == limits.Grant({"gmail": 0, "yahoo": 5}, None, {"gmail": 600})


@time_machine.travel(NOON, tick=False)
def test_a_mailer_and_its_providers_both_count():
    limit(per_day=12)
    limit("gmail", per_day=10)
    worker = Limits()

    assert take(worker, gmail=11).granted == {"gmail": 10}
    grant = take(worker, gmail=5, yahoo=5)

    assert grant.granted == {"gmail": 0, "yahoo": 2}
    counts = dict(DayCount.objects.values_list("mailbox_provider", "taken"))
    assert counts == {"": 12, "gmail": 10}


def test_the_day_begins_at_midnight_where_the_publication_is(publication, clock):
    publication.time_zone = "Pacific/Auckland"
    publication.save()
    limit(per_day=10)
    # Half past eleven in the evening there; twelve hours earlier in UTC.
    with time_machine.travel(datetime(2026, 5, 4, 11, 30, tzinfo=UTC)) as travelled:
        worker = Limits()
        assert take(worker, gmail=20).granted == {"gmail": 10}
        travelled.shift(29 * 60)
        clock.now += 29 * 60
        assert 0 < take(worker, gmail=20).mailer_again_in <= 60

        travelled.shift(2 * 60)
        clock.now += 2 * 60

        assert take(worker, gmail=20).granted == {"gmail": 10}
    days = DayCount.objects.values_list("day", flat=True)
    assert list(days) == [date(2026, 5, 5), date(2026, 5, 4)]


@time_machine.travel(NOON, tick=False)
def test_what_was_not_used_of_a_day_may_be_taken_again():
    limit(per_day=10)
    limit("gmail", per_day=10)
    take(gmail=10)

    Limits().give_back("default", {"gmail": 4, "yahoo": 0})

    assert take(gmail=9).granted == {"gmail": 4}


def test_yesterdays_rest_is_no_part_of_today():
    limit(per_day=10)
    with time_machine.travel(datetime(2026, 5, 4, 23, 59, 59, 500_000, UTC)) as travelled:
        worker = Limits()
        take(worker, gmail=10)
        travelled.shift(0.7)

        worker.give_back("default", {"gmail": 10})

    assert list(DayCount.objects.values_list("taken", flat=True)) == [10]


@time_machine.travel(NOON, tick=False)
def test_tokens_of_the_second_that_the_day_refuses_go_back(clock):
    limit(per_second=100, per_day=2)
    worker = Limits()
    take(worker, gmail=1)
    clock.now += 0.1

    assert take(worker, gmail=9).granted == {"gmail": 1}

    assert limits._own_buckets.take("default", {"gmail": 9}, {"": 100}).tokens == {"gmail": 9}


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_never_more_than_the_day_allows():
    limit(per_day=100)
    limit("gmail", per_day=60)
    granted = Counter()
    adding = threading.Lock()

    def worker():
        mine = Limits()
        for _ in range(12):
            grant = take(mine, gmail=7, yahoo=3)
            with adding:
                granted.update(grant.granted)
        connection.close()

    together(worker, 3)

    assert granted["gmail"] == 60
    assert granted["yahoo"] == 40
    assert set(DayCount.objects.values_list("mailbox_provider", "taken")) == {
        ("", 100),
        ("gmail", 60),
    }


# Where they are set --------------------------------------------------------------------------


def test_settings_limit_the_default_mailer_until_a_row_does(settings):
    settings.SEND_PER_SECOND, settings.SEND_PER_DAY = 14.0, 50_000
    assert RateLimit.objects.rates() == {"default": {"": (14.0, 50_000)}}

    limit(per_second=5)
    limit("gmail", per_day=100)

    assert RateLimit.objects.rates() == {"default": {"": (5.0, None), "gmail": (None, 100)}}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("per_second", 0, "greater than or equal to"),
        ("per_day", 0, "greater than or equal to"),
        ("mailbox_provider", "gmial", "We know"),
        ("mailer", "pigeon", "There is: default"),
    ],
)
def test_a_limit_that_means_nothing_is_refused_in_words(field, value, words):
    with pytest.raises(ValidationError) as refused:
        RateLimit(**{field: value}).full_clean()

    assert words in " ".join(refused.value.message_dict[field])


def test_there_is_one_limit_for_one_thing():
    limit(per_second=5)

    with pytest.raises(IntegrityError), transaction.atomic():
        limit(per_day=5)


def test_limits_are_changed_in_the_admin(admin_client):
    add = reverse("admin:newsletter_ratelimit_add")
    answer = admin_client.post(
        add, {"mailer": "default", "mailbox_provider": "gmail", "per_second": "2.5", "per_day": ""}
    )
    assert answer.status_code == 302

    page = admin_client.get(reverse("admin:newsletter_ratelimit_changelist"))

    assert "gmail" in page.text
    assert RateLimit.objects.rates() == {"default": {"gmail": (2.5, None)}}


# Warming up ----------------------------------------------------------------------------------


@time_machine.travel(NOON, tick=False)
def test_a_warm_up_limits_the_day():
    WarmUp.objects.create(started_on=TODAY - timedelta(days=2), first_day=20, growth=1.5)
    limit(per_day=1000, per_second=None)

    assert take(gmail=64).granted == {"gmail": 45}


@time_machine.travel(NOON, tick=False)
def test_a_stricter_limit_outdoes_a_warm_up():
    WarmUp.objects.create(started_on=TODAY, first_day=20)
    limit(per_day=5)

    assert take(gmail=64).granted == {"gmail": 5}


@time_machine.travel(NOON, tick=False)
def test_a_warm_up_that_is_over_limits_nothing():
    WarmUp.objects.create(started_on=TODAY - timedelta(days=60), first_day=20, growth=1.5)

    assert not Limits().is_limiting("default")
    assert timezone.now() == NOON
