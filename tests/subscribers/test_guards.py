"""What stands between a robot and the form, and lets people through."""

import base64
import json
import re
import time

import altcha
import pytest
import time_machine
from django.db import DatabaseError
from django.test import Client

from subscribers.guards import limits, shared, stores, work
from subscribers.guards.form_tokens import LONGEST, SHORTEST, SHORTEST_WITHOUT_WORK
from subscribers.models import Bucket, Letter, SignUp, Spent, Subscriber
from subscribers.models.buckets import Rule, Want
from tests.signing_up import solution, token

CHECK_INBOX = "/sign-up/check-your-inbox/"
SEVERAL = 4


@pytest.fixture
def clock_stands():
    """For what is a matter of seconds: a machine with much to do takes as many itself."""
    with time_machine.travel(time.time(), tick=False):
        yield


@pytest.fixture(params=["database", "redis"])
def counted(request, settings, db):
    """Where the guards count: each test is run with both."""
    settings.REDIS_URL = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    stores._away_until = float("-inf")


@pytest.fixture
def in_database(settings, db):
    """The guards count in the database."""
    settings.REDIS_URL = ""


def is_taken(answer):
    return (answer.status_code, answer.get("Location")) == (303, CHECK_INBOX)


def again(answer):
    """What a page asks for that is to be sent once more."""
    assert answer.status_code == 422
    return re.search(r'<div class="notice.*?</div>', answer.content.decode(), re.S)[0]


def shown_token(answer):
    return re.search(r'name="token" value="(\w+)"', answer.content.decode())[1]


# The form's token -----------------------------------------------------------------------------


def test_every_form_has_a_token_of_its_own(client, briefing):
    assert shown_token(client.get("/sign-up/")) != shown_token(client.get("/sign-up/"))


@pytest.mark.parametrize("bad", [None, "", "x", "9" * 200, "9" * 40])
def test_a_form_without_a_token_of_ours_comes_back_as_it_was_filled_in(sign_up, bad):
    answer = sign_up(token=bad, name="Ann")

    assert "Nothing that you entered is lost" in again(answer)
    assert 'value="ann@example.com"' in answer.content.decode()
    assert 'value="Ann"' in answer.content.decode()
    assert not Subscriber.objects.exists()


def test_a_form_that_came_back_can_be_sent_at_its_own_pace(sign_up):
    first = sign_up(token=None)
    with time_machine.travel(time.time() + SHORTEST_WITHOUT_WORK + 1):
        second = sign_up(token=shown_token(first))

    assert is_taken(second)
    assert Subscriber.objects.count() == 1


def test_a_form_that_was_open_for_a_day_comes_back_and_is_taken_at_once(sign_up):
    old = sign_up(token=token(LONGEST + 1))

    assert "more than a day" in again(old)
    with time_machine.travel(time.time() + SHORTEST_WITHOUT_WORK + 1):
        assert is_taken(sign_up(token=shown_token(old)))


def test_a_form_is_good_for_twenty_hours_and_more(sign_up):
    assert is_taken(sign_up(token=token(LONGEST - 60)))


def test_a_reader_who_made_a_mistake_need_not_wait_again(sign_up):
    wrong = sign_up("no address", token=token(60))

    assert is_taken(sign_up(token=shown_token(wrong), work=""))


def test_a_robot_that_sends_its_mistakes_again_must_wait_all_the_same(sign_up):
    wrong = sign_up("no address", token=token(0), work="")

    assert "very quick" in again(sign_up(token=shown_token(wrong), work=""))


def test_a_form_is_good_for_one_address(counted, sign_up):
    used = token(60)
    sign_up("ann@example.com", token=used)

    assert "sent this form before" in again(sign_up("bob@example.com", token=used))
    assert Subscriber.objects.count() == 1


def test_pressing_the_button_twice_is_one_sign_up_and_two_good_answers(counted, sign_up):
    used = token(60)

    answers = [sign_up(token=used), sign_up(token=used)]

    assert all(map(is_taken, answers))
    assert Letter.objects.count() == 1


def test_a_sign_up_that_could_not_be_written_down_can_be_sent_again(
    counted, client, form, monkeypatch
):
    filled = form()

    def fail(*_args, **_options):
        raise DatabaseError

    with monkeypatch.context() as broken:
        broken.setattr(SignUp, "save", fail)
        with pytest.raises(DatabaseError):
            client.post("/sign-up/", filled)

    assert is_taken(client.post("/sign-up/", filled))
    assert SignUp.objects.count() == 1


@pytest.mark.usefixtures("clock_stands")
def test_who_is_early_and_has_worked_is_a_robot_and_believes_to_have_succeeded(sign_up):
    robot = sign_up(token=token(SHORTEST - 1))
    person = sign_up(token=token(SHORTEST))

    assert (robot.status_code, robot.content, dict(robot.headers)) == (
        person.status_code,
        person.content,
        dict(person.headers),
    )
    assert Subscriber.objects.count() == 1


# Proof of work --------------------------------------------------------------------------------


def test_a_challenge_is_kept_by_nobody_and_takes_some_work(client, monkeypatch):
    monkeypatch.setattr(work, "FEWEST_TRIES", 7)
    monkeypatch.setattr(work, "MOST_TRIES", 9)

    answer = client.get("/sign-up/challenge/")
    challenge = altcha.Challenge.from_dict(answer.json())

    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies
    assert 7 <= altcha.solve_challenge(challenge).counter <= 9
    assert 0 < challenge.parameters.expires_at - time.time() <= 600


@pytest.mark.usefixtures("clock_stands")
def test_a_solution_is_good_once(counted, sign_up):
    solved = solution()
    sign_up("ann@example.com", work=solved)
    sign_up("bob@example.com", work=solved, token=token(SHORTEST_WITHOUT_WORK - 1))

    assert [one.address for one in Subscriber.objects.all()] == ["ann@example.com"]


def test_a_solution_is_ticked_off_for_longer_than_it_lives(in_database, sign_up):
    sign_up()

    remembered = Spent.objects.get(key__startswith="work:").until
    assert remembered >= time.time() + work.LIFE - 1


@pytest.mark.usefixtures("clock_stands")
def test_a_solution_that_came_late_counts_as_none(sign_up):
    with time_machine.travel(time.time() - work.LIFE - 1):
        late = solution()

    assert "very quick" in again(sign_up(work=late, token=token(SHORTEST)))
    assert is_taken(sign_up(work=late, token=token(60)))


@pytest.mark.parametrize("change", ["expiresAt", "nonce", "keyPrefix", "cost"])
def test_nothing_of_a_challenge_can_be_rewritten(sign_up, change):
    with time_machine.travel(time.time() - work.LIFE - 1):
        told = json.loads(base64.b64decode(solution()))
    parameters = told["challenge"]["parameters"]
    # CVE-2025-68113: an old solution made young again.
    parameters["expiresAt"] = int(time.time()) + 300
    parameters[change] = {"expiresAt": int(time.time()) + 60, "cost": 0}.get(change, "00" * 16)

    answer = sign_up(work=base64.b64encode(json.dumps(told).encode()).decode())

    assert is_taken(answer)
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize(
    "forged",
    ["x", "e30=", "W10=", "bnVsbA==", "9" * 3000, base64.b64encode(b"[" * 1200).decode(), "é"],
)
def test_whoever_makes_a_solution_up_believes_to_have_succeeded(sign_up, forged):
    assert is_taken(sign_up(work=forged))
    assert not Subscriber.objects.exists()


def test_a_wrong_solution_of_a_true_challenge_is_none(sign_up):
    told = json.loads(base64.b64decode(solution()))
    told["solution"]["derivedKey"] = "00" * 32

    sign_up(work=base64.b64encode(json.dumps(told).encode()).decode())

    assert not Subscriber.objects.exists()


def test_an_older_key_still_verifies(sign_up, settings):
    settings.LINK_KEYS = ["old"]
    solved, shown = solution(), token(60)
    settings.LINK_KEYS = ["new", "old"]

    sign_up(work=solved, token=shown)

    assert Subscriber.objects.exists()


# Without JavaScript ---------------------------------------------------------------------------


def test_without_script_there_is_a_way_through(sign_up, letters):
    assert is_taken(sign_up(work=""))
    assert len(letters()) == 1


@pytest.mark.usefixtures("clock_stands")
def test_without_script_one_has_to_wait_a_little_longer(sign_up):
    quick = sign_up(work="", token=token(SHORTEST_WITHOUT_WORK - 1))

    assert "very quick" in again(quick)
    assert is_taken(sign_up(work="", token=token(SHORTEST_WITHOUT_WORK)))


def test_without_script_a_network_gets_fewer_through_and_is_told_what_to_do(counted, sign_up):
    few = int(limits.WITHOUT_WORK_OF_NETWORK.holds)
    answers = [sign_up(f"reader{number}@example.com", work="") for number in range(few + 1)]

    assert all(map(is_taken, answers[:few]))
    assert "switch JavaScript on" in again(answers[few])
    assert is_taken(sign_up("somebody@example.com"))
    assert Subscriber.objects.count() == few + 1


def test_without_script_all_networks_together_get_fewer_through(counted, sign_up, monkeypatch):
    monkeypatch.setattr(limits, "WITHOUT_WORK", Rule(1, 0.001))
    monkeypatch.setattr(limits, "WITHOUT_WORK_OF_NETWORK", Rule(9, 1))

    assert is_taken(sign_up("ann@example.com", work=""))
    assert "switch JavaScript on" in again(sign_up("bob@example.com", work=""))


# Limits ---------------------------------------------------------------------------------------


def test_a_network_has_a_limit_and_learns_when_to_come_again(counted, sign_up, monkeypatch):
    monkeypatch.setattr(limits, "NETWORK", Rule(SEVERAL, 1 / 10))
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        answers = [sign_up(f"reader{number}@example.com") for number in range(SEVERAL + 1)]
        clock.shift(10)
        after = sign_up("later@example.com")

    assert all(map(is_taken, answers[:SEVERAL]))
    assert (answers[-1].status_code, answers[-1]["Retry-After"]) == (429, "10")
    assert "Please wait a moment" in answers[-1].content.decode()
    assert is_taken(after)


def test_whatever_is_sent_counts_against_the_network(sign_up, monkeypatch):
    monkeypatch.setattr(limits, "NETWORK", Rule(SEVERAL, 0.001))

    sign_up(reference="Hello")
    sign_up(work="forged")
    sign_up("no address")
    sign_up(token=None)

    assert sign_up().status_code == 429


def from_network(address):
    return {"REMOTE_ADDR": address}


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
    ],
)
def test_an_address_is_a_network_and_so_is_a_64(form, monkeypatch, one, other, is_one):
    monkeypatch.setattr(limits, "NETWORK", Rule(1, 0.001))
    Client(**from_network(one)).post("/sign-up/", form())

    answer = Client(**from_network(other)).post("/sign-up/", form())

    assert answer.status_code == (429 if is_one else 303)


def test_who_comes_from_nobody_knows_where_is_not_limited_together(form, monkeypatch):
    monkeypatch.setattr(limits, "NETWORK", Rule(1, 0.001))

    answers = [Client(REMOTE_ADDR="").post("/sign-up/", form()).status_code for _time in range(3)]

    assert answers == [303] * 3


def test_one_mailbox_is_written_down_so_often_and_answered_as_ever(counted, client, form):
    answers = [client.post("/sign-up/", form(f"ann+{number}@example.com")) for number in range(8)]

    assert all(map(is_taken, answers))
    assert SignUp.objects.count() == limits.MAILBOX.holds


def test_many_at_one_unknown_domain_are_held_and_at_a_great_provider_are_not(
    counted, sign_up, monkeypatch
):
    monkeypatch.setattr(limits, "DOMAIN", Rule(SEVERAL, 0.001))
    answers = [sign_up(f"reader{number}@harbour.example") for number in range(SEVERAL + 2)]
    answers += [sign_up(f"reader{number}@gmail.com") for number in range(SEVERAL + 2)]

    assert all(map(is_taken, answers))
    held = SignUp.objects.held()
    assert [(one.address, one.held_because) for one in held] == [
        ("reader4@harbour.example", "crowded"),
        ("reader5@harbour.example", "crowded"),
    ]


def test_of_one_form_that_very_many_use_those_are_held_who_have_not_worked(
    counted, sign_up, monkeypatch
):
    monkeypatch.setattr(limits, "FORM", Rule(1, 0.001))
    sign_up("ann@example.com", page="/articles/a/")
    sign_up("bob@example.com", page="/articles/a/")
    sign_up("eve@example.com", page="/articles/a/", work="")
    sign_up("kim@example.com", page="/articles/b/", work="")

    held = SignUp.objects.held().get()
    assert (held.address, held.held_because) == ("eve@example.com", "busy,without_work")


def test_limits_ask_nothing_that_depends_on_who_reads_us(
    in_database, subscribe, client, form, monkeypatch
):
    monkeypatch.setattr(limits, "NETWORK", Rule(2, 0.001))
    subscribe("ann@example.com")

    known = [client.post("/sign-up/", form("ann@example.com")).status_code for _time in range(3)]
    Bucket.objects.all().delete()
    new = [client.post("/sign-up/", form("bob@example.com")).status_code for _time in range(3)]

    assert known == new == [303, 303, 429]


# Where they count -----------------------------------------------------------------------------


def test_a_bucket_fills_with_time_and_never_over(counted):
    wants = [Want("test", Rule(2, 0.5))]

    def granted(now):
        return stores.take(wants, now)[0].is_granted

    assert [granted(1000.0) for _time in range(3)] == [True, True, False]
    assert [granted(1002.0), granted(1002.0)] == [True, False]
    # A clock that runs behind fills nothing, and takes nothing away.
    assert not granted(900.0)
    assert granted(1004.0)
    assert [granted(9000.0) for _time in range(3)] == [True, True, False]


def test_each_want_is_for_itself(counted):
    wants = [
        Want("empty", Rule(1, 0.001), 5),
        Want("full", Rule(9, 0.001)),
        Want("full", Rule(9, 1)),
    ]

    left = stores.take(wants, 1000.0)

    assert [(one.is_granted, one.tokens) for one in left] == [(False, 1), (True, 8), (True, 7)]


def test_what_works_once_tells_later_who_used_it(counted):
    assert stores.spend("form:1", "ann", 1000.0, 60) == ""
    assert stores.spend("form:1", "bob", 1001.0, 60) == "ann"
    stores.unspend(["form:1"])
    assert stores.spend("form:1", "bob", 1002.0, 60) == ""


def test_with_redis_all_processes_count_together_and_nothing_is_in_the_database(
    redis_url, settings, db
):
    settings.REDIS_URL = redis_url
    wants = [Want("test", Rule(1, 0.001))]
    another_process = shared.Shared(redis_url)

    stores.take(wants, time.time())

    assert not another_process.take(wants, time.time())[0].is_granted
    assert not Bucket.objects.exists()


def test_while_redis_is_away_they_count_in_the_database_and_wait_for_it_once(
    sign_up, settings, monkeypatch, caplog
):
    monkeypatch.setattr(stores, "_away_until", float("-inf"))
    monkeypatch.setattr(limits, "NETWORK", Rule(2, 0.001))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    answers = [sign_up(f"reader{number}@example.com").status_code for number in range(3)]

    assert answers == [303, 303, 429]
    assert caplog.text.count("while Redis is away") == 1


def test_what_nobody_needs_is_forgotten(in_database):
    stores.take([Want("test", Rule(1, 1))], 1000.0)
    stores.spend("form:1", "ann", 1000.0, 60)

    assert (Bucket.objects.forget(1001.0), Spent.objects.forget(1059.0)) == (0, 0)
    assert Bucket.objects.forget(1000.0 + 3 * 24 * 60 * 60) == 1
    assert Spent.objects.forget(1061.0) == 1


# What robots cost -----------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["reference", "work", "token"])
def test_a_robot_costs_no_look_into_the_form(client, form, sign, django_assert_max_num_queries):
    filled = form(**{sign: {"token": token(0)}.get(sign, "made up")})

    # Counting its network, and nothing else.
    with django_assert_max_num_queries(6):
        assert is_taken(client.post("/sign-up/", filled))


def test_a_network_that_floods_us_costs_no_page(client, form, monkeypatch):
    monkeypatch.setattr(limits, "NETWORK", Rule(0, 0.001))
    client.post("/sign-up/", form())
    monkeypatch.setattr("subscribers.views.render_to_string", None)

    assert client.post("/sign-up/", form()).status_code == 429


@pytest.mark.parametrize("robot", ["without a token", "with a token that was used", "unworked"])
def test_robots_that_make_us_show_the_form_again_cost_no_page_either(
    counted, client, form, monkeypatch, robot
):
    monkeypatch.setattr(limits, "SHOWN_AGAIN", Rule(1, 0.001))
    monkeypatch.setattr(limits, "WITHOUT_WORK", Rule(0, 0.001))
    used = token(60)
    client.post("/sign-up/", form("bob@example.com", token=used))
    filled = {
        "without a token": {"token": None},
        "with a token that was used": {"token": used},
        "unworked": {"work": ""},
    }[robot]
    first = client.post("/sign-up/", form(**filled))

    with monkeypatch.context() as broken:
        broken.setattr("subscribers.door.SignupForm", None)
        second = client.post("/sign-up/", form(**filled))

    assert "Once more, please" in again(first)
    assert (second.status_code, second["Retry-After"]) == (503, "30")
    assert "what you entered is still there" in second.content.decode()


def test_who_makes_a_mistake_is_shown_the_form_whatever_robots_do(sign_up, monkeypatch):
    monkeypatch.setattr(limits, "SHOWN_AGAIN", Rule(0, 0.001))

    assert sign_up("no address").status_code == 422
    assert is_taken(sign_up())


def test_what_the_form_offers_is_asked_for_once_a_second(
    client, form, redis_url, settings, django_assert_num_queries
):
    settings.REDIS_URL = redis_url
    with time_machine.travel(time.time(), tick=False):
        client.post("/sign-up/", form("ann@example.com"))

        # A savepoint and its end, our senders, whether there is an attack, and the row.
        with django_assert_num_queries(5):
            assert is_taken(client.post("/sign-up/", form("bob@example.com")))
