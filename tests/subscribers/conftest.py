"""What the reader's tests share."""

import itertools
import re
import time

import altcha
import pytest
from django.core import mail
from hypothesis import settings as hypothesis_settings

from config.celery import app
from subscribers import door, tokens
from subscribers.guards import work
from subscribers.models import SignUp
from subscribers.tasks import send_letters
from subscribers.tokens import Purpose

# A busy machine is no fault of an example's.
hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def light_work(monkeypatch):
    """What our script would compute takes no time."""
    monkeypatch.setattr(work, "COST", 1)
    monkeypatch.setattr(work, "FEWEST_TRIES", 1)
    monkeypatch.setattr(work, "MOST_TRIES", 1)


def token(age=60):
    """That of a form that was shown so many seconds ago."""
    return tokens.sign(Purpose.FORM, next(_numbers), int(time.time()) - age)


def solution(challenge=None):
    """What our script makes of a challenge; of a new one, unless you have one."""
    challenge = altcha.Challenge.from_dict(challenge or work.challenge())
    return altcha.Payload(challenge, altcha.solve_challenge(challenge)).to_base64()


@pytest.fixture
def form(publication, briefing):
    """What a browser sends when somebody fills in the form; say what is different."""

    def form(email="ann@example.com", **other):
        filled = {
            "email": email,
            "name": "",
            "lists": ["morning-briefing"],
            "agree": "on",
            "reference": "",
            "terms": "1",
            "page": "/articles/the-ferry-returns/",
            "language": "en",
            "token": token(),
            "work": solution(),
        } | other
        return {name: value for name, value in filled.items() if value is not None}

    return form


@pytest.fixture
def sign_up(client, form):
    """Fill in the form and send it; a worker lets in whoever came through."""

    def sign_up(email="ann@example.com", headers=None, **other):
        door.forget()
        answer = client.post("/sign-up/", form(email, **other), headers=headers)
        SignUp.objects.let_in()
        return answer

    return sign_up


@pytest.fixture
def letters():
    """Let a worker send what is due; all mails that went out so far."""

    def letters():
        send_letters()
        return mail.outbox

    return letters


@pytest.fixture
def link():
    """The path of a link of one kind ("c", "b", "u", "r") in a mail or a page."""

    def link(kind, source):
        text = source.body if hasattr(source, "body") else source.content.decode()
        return re.search(rf"/{kind}/\w+", text)[0]

    return link


@pytest.fixture
def eager():
    """What is published is done on the spot."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False
