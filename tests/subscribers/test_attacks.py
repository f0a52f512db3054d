"""Sign-ups that wait: for the newsroom's eyes, or for the end of an attack."""

from datetime import timedelta
from threading import Barrier

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from subscribers import emails, tasks
from subscribers.guards import limits, scores
from subscribers.models import Attack, Letter, SignUp, Subscriber, Subscription
from subscribers.models.buckets import Rule
from tests.signing_up import token
from tests.subscribers.test_subscriptions import at_once

QUARTER = timedelta(minutes=15)


@pytest.fixture
def budget(settings):
    """Ten sign-ups an hour, and five in a minute."""
    settings.CONFIRMATIONS_PER_MINUTE = 5
    settings.CONFIRMATIONS_PER_HOUR = 10


@pytest.fixture
def flood(sign_up):
    """So many sign-ups of people nobody knows."""

    def flood(count, first=0):
        return [sign_up(f"reader{first + number}@gmail.com") for number in range(count)]

    return flood


def addresses(sign_ups):
    return [one.address for one in sign_ups.order_by("pk")]


# What is held ---------------------------------------------------------------------------------


@pytest.mark.parametrize("local", ["abuse", "Postmaster", "no-reply", "noreply+news"])
def test_a_role_address_is_held_and_answered_as_all_are(sign_up, letters, local):
    person, role = sign_up("ann@example.com"), sign_up(f"{local}@example.com")

    assert (role.status_code, role.content, dict(role.headers)) == (
        person.status_code,
        person.content,
        dict(person.headers),
    )
    assert SignUp.objects.held().get().signs == [scores.ROLE]
    assert [mail.to for mail in letters()] == [["ann@example.com"]]


def test_a_reader_called_after_an_office_is_no_office(sign_up):
    sign_up("abusefull@example.com")

    assert not SignUp.objects.held().exists()


def test_without_script_one_is_held_while_more_than_half_of_the_budget_is_spent(
    sign_up, flood, budget
):
    sign_up("ann@example.com", work="")
    flood(2)

    sign_up("bob@example.com", work="")
    sign_up("eve@example.com")

    assert addresses(SignUp.objects.all()) == ["bob@example.com"]
    assert set(SignUp.objects.get().signs) == {scores.WITHOUT_WORK, scores.TIGHT}


def test_what_is_held_goes_out_when_it_is_released(sign_up, letters):
    sign_up("abuse@example.com", name="Ann", headers={"User-Agent": "Mosaic/1.0"})
    assert letters() == []

    SignUp.objects.held().release()

    assert [mail.to for mail in letters()] == [["abuse@example.com"]]
    subscription = Subscription.objects.get()
    assert subscription.subscriber.name == "Ann"
    assert subscription.consents.get().browser == "Mosaic/1.0"
    assert not SignUp.objects.exists()


def test_consent_is_dated_to_the_form_and_not_to_its_release(sign_up):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        sign_up("abuse@example.com")
        clock.shift(60 * 60)
        SignUp.objects.held().release()
        SignUp.objects.let_in()

    consent = Subscription.objects.get().consents.get()
    assert consent.at.isoformat() == "2026-11-01T08:00:00+00:00"
    assert Subscription.objects.get().requested_at == consent.at


def test_what_nobody_released_is_forgotten_with_all_that_was_never_confirmed(sign_up, settings):
    settings.KEEP_UNCONFIRMED_DAYS = 30
    with time_machine.travel(timezone.now() - timedelta(days=31)):
        sign_up("abuse@example.com")
    sign_up("postmaster@example.com")

    call_command("purge_unconfirmed")

    assert addresses(SignUp.objects.all()) == ["postmaster@example.com"]


# Crashes --------------------------------------------------------------------------------------


def test_a_sign_up_that_a_worker_stumbles_over_does_not_stop_those_behind_it(
    client, form, monkeypatch, caplog
):
    usual = SignUp._subscribe

    def stumble(sign_up):
        if sign_up.address.startswith("bad"):
            raise RuntimeError("a bug")
        usual(sign_up)

    monkeypatch.setattr(SignUp, "_subscribe", stumble)
    for name in ["bad", "ann"]:
        client.post("/sign-up/", form(f"{name}@example.com"))

    SignUp.objects.let_in()

    assert "Sign-up" in caplog.text
    assert addresses(SignUp.objects.all()) == ["bad@example.com"]
    assert Subscriber.objects.get().address == "ann@example.com"


def test_a_sign_up_that_failed_again_and_again_is_held(client, form, caplog):
    client.post("/sign-up/", form())
    SignUp.objects.update(attempts=5)

    SignUp.objects.let_in()

    assert SignUp.objects.held().get().signs == ["failed"]
    assert "failed 5 times" in caplog.text


def test_a_worker_that_is_late_lets_nobody_in_again(client, form):
    client.post("/sign-up/", form())
    (mine,), (theirs,) = SignUp.objects.all(), SignUp.objects.all()

    assert theirs.let_in()
    assert not mine.let_in()


def test_those_let_in_first_are_written_to_before_all_are_in(client, form, monkeypatch, letters):
    monkeypatch.setattr("subscribers.models.sign_ups._AT_ONCE", 1)
    waiting = []
    usual = emails.send
    monkeypatch.setattr(
        emails, "send", lambda one: (waiting.append(SignUp.objects.count()), usual(one))
    )
    for number in range(3):
        client.post("/sign-up/", form(f"reader{number}@example.com"))

    assert len(letters()) == 3
    assert waiting == [2, 1, 0]


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_let_everybody_in_once(form):
    for number in range(20):
        Client().post("/sign-up/", form(f"reader{number}@example.com"))
    barrier = Barrier(4)

    def work(_worker):
        barrier.wait()
        while SignUp.objects.let_in():
            pass

    at_once(work, range(4))

    assert Subscriber.objects.count() == 20
    assert Letter.objects.count() == 20
    assert not SignUp.objects.exists()


# Attacks --------------------------------------------------------------------------------------


def test_a_spent_budget_makes_confirmations_wait(flood, budget, letters):
    answers = flood(8)

    assert {answer.status_code for answer in answers} == {303}
    assert Attack.objects.current().began_by == ""
    assert len(letters()) == 5
    assert SignUp.objects.queued().count() == 3


def test_the_hour_has_a_budget_too(flood, budget, letters):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        for minute in range(4):
            flood(3, first=minute * 3)
            clock.shift(60)

    assert Attack.objects.is_on()


def test_while_it_lasts_everybody_waits_and_is_told_the_same(sign_up, flood, budget, letters):
    person = sign_up("ann@example.com")
    flood(8)

    later = sign_up("bob@example.com")

    assert (later.status_code, later.content) == (person.status_code, person.content)
    assert "bob@example.com" in addresses(SignUp.objects.queued())


def test_whoever_was_not_in_yet_waits_too(client, form, publication):
    client.post("/sign-up/", form())

    Attack.objects.begin(publication, by="editor")
    SignUp.objects.let_in()

    assert SignUp.objects.queued().count() == 1


def test_there_is_one_attack_at_a_time(publication):
    assert Attack.objects.begin(publication)
    assert not Attack.objects.begin(publication, by="editor")
    assert Attack.objects.count() == 1


def test_when_it_is_over_they_are_let_in_in_the_order_they_came_so_many_a_minute(
    sign_up, publication
):
    Attack.objects.begin(publication, by="editor")
    for number in range(5):
        sign_up(f"reader{number}@gmail.com")

    Attack.objects.end(by="editor", per_minute=2)
    SignUp.objects.let_in()

    assert Subscriber.objects.count() == 2
    assert SignUp.objects.coming() == 3
    first, second, third = SignUp.objects.order_by("pk")
    assert first.address == "reader2@gmail.com"
    assert first.due_at == second.due_at
    assert 55 < (third.due_at - first.due_at).total_seconds() < 65


def test_an_attack_ends_by_itself_when_it_is_quiet(flood, sign_up, budget):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        flood(8)
        tasks.look_for_the_end_of_an_attack()
        assert Attack.objects.is_on()
        clock.shift(QUARTER - timedelta(minutes=1))
        flood(5, first=20)
        clock.shift(timedelta(minutes=2))
        tasks.look_for_the_end_of_an_attack()
        # Five came in the last quarter of an hour: no more than in a quiet minute.
        assert not Attack.objects.is_on()


def test_an_attack_that_goes_on_does_not_end(flood, budget):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        flood(8)
        clock.shift(QUARTER)
        flood(6, first=20)
        clock.shift(timedelta(minutes=1))
        tasks.look_for_the_end_of_an_attack()

    assert Attack.objects.is_on()


def test_what_an_editor_began_an_editor_ends(publication):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        Attack.objects.begin(publication, by="editor")
        clock.shift(timedelta(days=1))
        tasks.look_for_the_end_of_an_attack()

    assert Attack.objects.is_on()


def test_after_an_editor_said_it_is_none_it_does_not_begin_again_by_itself(flood, budget, letters):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        flood(8)
        Attack.objects.end(by="editor", per_minute=60)
        flood(3, first=20)
        assert not Attack.objects.is_on()
        clock.shift(timedelta(hours=1, minutes=1))
        flood(6, first=30)

    assert Attack.objects.is_on()


def test_whoever_came_while_it_ended_is_not_forgotten(sign_up, publication):
    Attack.objects.begin(publication, by="editor")
    sign_up()
    Attack.objects.update(ended_at=timezone.now())

    tasks.look_for_the_end_of_an_attack()
    SignUp.objects.let_in()

    assert Subscriber.objects.exists()


# "This wasn't me" -----------------------------------------------------------------------------


def test_a_network_that_signs_others_up_finds_it_harder(
    sign_up, letters, link, client, monkeypatch
):
    monkeypatch.setattr(limits, "BLAME", Rule(1, 0.001))
    sign_up("ann@example.com")
    client.post(link("b", letters()[0]))

    sign_up("bob@example.com", work="")
    sign_up("eve@example.com", work="", token=token(70), headers={"X-Nothing": "1"})

    assert addresses(SignUp.objects.held()) == ["bob@example.com", "eve@example.com"]
    assert set(SignUp.objects.first().signs) == {scores.BLAMED, scores.WITHOUT_WORK}


def test_this_was_not_me_costs_the_budget_of_all(sign_up, letters, link, client, settings):
    settings.CONFIRMATIONS_PER_MINUTE, settings.CONFIRMATIONS_PER_HOUR = 100, 11
    sign_up("ann@example.com")
    client.post(link("b", letters()[0]))

    sign_up("bob@example.com")

    assert Attack.objects.is_on()


def test_saying_it_twice_costs_once(sign_up, letters, link, client, monkeypatch):
    monkeypatch.setattr(limits, "BLAME", Rule(2, 0.0001))
    sign_up("ann@example.com")
    for _time in range(3):
        client.post(link("b", letters()[0]))

    sign_up("bob@example.com", work="")

    assert not SignUp.objects.held().exists()
