"""“This wasn’t me” taken back: by nobody but the mailbox."""

import time
from email.policy import SMTP

import pytest
import time_machine
from django.utils import timezone

from subscribers.models import Letter, SignUp, Subscriber, Suppression
from subscribers.tasks import purge_unconfirmed
from subscribers.tokens import Purpose, sign
from tests.rfc import findings
from tests.signing_up import solution, token

LIFTING = "/sign-up/write-to-me-again/"
DAY = 24 * 60 * 60


@pytest.fixture
def refused(sign_up, letters, link, client):
    """Somebody whose address a stranger had entered, and who said so."""
    sign_up("Ann@example.com")
    client.post(link("b", letters()[0]))
    letters().clear()


@pytest.fixture
def ask(client, publication):
    """Fill in the form that asks for the mail."""

    def ask(email="ann@example.com", **other):
        posted = {"email": email, "token": token(), "work": solution(), "reference": ""}
        answer = client.post(LIFTING, posted | other)
        SignUp.objects.let_in()
        return answer

    return ask


def test_the_page_says_what_it_does_and_sets_no_cookie(client, publication):
    page = client.get(LIFTING)

    assert page.status_code == 200
    assert "this wasn’t me" in page.content.decode()
    assert not page.cookies


def test_the_mail_leads_to_a_button_that_lifts_it(refused, ask, letters, link, client, sign_up):
    ask("ann@example.com")
    (letter,) = letters()
    path = link("l", letter)

    assert letter.to == ["Ann@example.com"]
    assert letter.subject == "Shall The Harbour Post write to you again?"
    assert "Yes, write to me again" in client.get(path).content.decode()
    assert Suppression.objects.in_force().count() == 1
    assert "can be signed up again" in client.post(path).content.decode()
    assert not Suppression.objects.in_force().exists()
    with time_machine.travel(time.time() + DAY):
        sign_up("ann@example.com")
    assert letters()[-1].subject.startswith("Please confirm")


def test_the_mail_is_sound_and_works_without_pictures_or_tracking(refused, ask, letters):
    ask()

    raw = letters()[0].message(policy=SMTP).as_bytes()
    assert findings(raw, bulk=False) == []
    assert b"<img" not in raw


def test_there_is_one_such_mail_a_day(refused, ask, letters):
    for _time in range(3):
        ask()
    assert len(letters()) == 1

    with time_machine.travel(time.time() + DAY + 60):
        ask()
    assert len(letters()) == 2


def test_nobody_else_gets_a_mail_and_all_get_the_same_answer(
    refused, ask, subscribe, sign_up, letters
):
    subscribe("reader@example.com")
    sign_up("pending@example.com")
    letters().clear()
    kinds = ["ann", "reader", "pending", "nobody"]

    answers = [ask(f"{kind}@example.com") for kind in kinds]

    assert len({(one.status_code, one.content, tuple(one.headers.items())) for one in answers}) == 1
    assert [mail.to for mail in letters()] == [["Ann@example.com"]]
    assert not Subscriber.objects.filter(identity="nobody@example.com").exists()


@pytest.mark.parametrize("reason", ["complained", "bounced", "by_staff"])
def test_who_is_not_to_be_mailed_for_other_reasons_too_gets_none(refused, ask, letters, reason):
    key = Subscriber.objects.get().suppression_key
    Suppression.objects.create(key=key, scope="everything", reason=reason)

    ask()

    assert letters() == []


def test_nothing_else_is_lifted(refused, ask, letters, link, client):
    key = Subscriber.objects.get().suppression_key
    ask()
    path = link("l", letters()[0])
    Suppression.objects.create(key=key, scope="everything", reason="complained")

    client.post(path)

    assert Suppression.objects.in_force().get().reason == "complained"


def test_the_link_lives_for_a_week(refused, client):
    subscriber = Subscriber.objects.get()
    old = sign(Purpose.LIFT, subscriber.pk, int(time.time()) - 8 * DAY)

    answers = [client.post(f"/l/{old}").content, client.post("/l/made-up").content]

    assert "no longer works" in answers[0].decode()
    assert answers[0] == answers[1]
    assert Suppression.objects.in_force().exists()


def test_links_of_other_mails_lift_nothing(refused, client):
    subscriber = Subscriber.objects.get()
    for purpose in set(Purpose) - {Purpose.LIFT}:
        client.post(f"/l/{sign(purpose, subscriber.pk, int(time.time()))}")

    assert Suppression.objects.in_force().exists()


def test_it_works_when_the_person_was_forgotten_long_ago(refused, ask, letters, link, client):
    with time_machine.travel(time.time() + 40 * DAY):
        purge_unconfirmed()
        assert not Subscriber.objects.exists()

        ask()
        client.post(link("l", letters()[0]))

    assert not Suppression.objects.in_force().exists()


def test_who_only_asked_is_forgotten_again(refused, ask):
    with time_machine.travel(time.time() + 40 * DAY):
        purge_unconfirmed()
        ask()
    with time_machine.travel(time.time() + 80 * DAY):
        purge_unconfirmed()

    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("wrong", [{"reference": "Hello"}, {"work": "forged"}])
def test_the_guards_stand_here_too(refused, ask, letters, wrong):
    assert ask(**wrong).status_code == 303
    assert ask(token="").status_code == 422
    assert letters() == []


def test_a_letter_that_waits_is_not_sent_when_it_was_lifted_meanwhile(refused, ask, letters):
    ask()
    Suppression.objects.update(lifted_at=timezone.now())

    assert letters() == []
    assert Letter.objects.get(kind="lift").given_up_at
