"""Mailgun's stand-in, spoken to by plain HTTP."""

import json

import pytest
import requests

from tests.providers import Status

pytestmark = pytest.mark.parametrize("fake", ["mailgun"], indirect=True)


def mailgun(fake, *, sign_in=("api", "mailgun-key"), domain="harbour.example", **fields):
    usual = {"from": "news@harbour.example", "subject": "News", "text": "All of it"}
    address = f"{fake.url}/v3/{domain}/messages"
    return requests.post(address, data=usual | fields, auth=sign_in, timeout=5)


def test_mailgun_shows_everybody_to_everybody_without_variables(fake):
    mailgun(fake, to=["ann@example.com", "bob@example.com"])

    assert [m.headers["To"] for m in fake.received] == ["ann@example.com, bob@example.com"] * 2


def test_mailgun_fills_in_whatever_variables_say(fake):
    variables = {"ann@example.com": {"name": "<b>%recipient.age%", "age": 7}}

    answer = mailgun(
        fake,
        to=["Ann <ann@example.com>", "bob@example.com"],
        html="Dear %recipient.name% %recipient_fname%: %unsubscribe_url%",
        **{
            "recipient-variables": json.dumps(variables),
            "h:X-Age": "%recipient.age%",
            "v:age": "%recipient.age%",
            "o:tracking": "no",
        },
    )

    assert answer.json()["message"] == "Queued. Thank you."
    ann, bob = fake.received
    assert ann.html.startswith("Dear <b>%recipient.age% Ann: https://")
    assert ann.headers["X-Age"] == "7"
    assert ann.headers["To"] == "Ann <ann@example.com>"
    assert ann.metadata == {"age": "7"}
    assert bob.html.startswith("Dear %recipient.name% : ")
    assert fake.calls[0].readers == 2
    assert fake.calls[0].status == 200


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"to": [f"r{n}@example.com" for n in range(1001)]}, 400, "Too many recipients; max"),
        ({"to": ["ann@example.com", "ann"]}, 400, "to parameter is not a valid address"),
        ({"to": ["gone@example.com", "invalid@example.com"]}, 400, "not a valid address"),
        ({"to": []}, 400, "to parameter is missing"),
        ({"to": ["a@b.example"], "text": ""}, 400, "Need at least one of"),
        ({"to": ["a@b.example"], "h:X-Long": "x" * 16_384}, 400, "limited to 16 kB"),
        ({"to": ["a@b.example"], "recipient-variables": "{"}, 400, "not a valid JSON"),
        ({"to": ["a@b.example"], "domain": "other.example"}, 404, "Domain not found: other"),
        ({"to": ["a@b.example"], "sign_in": ("api", "wrong")}, 401, "Forbidden"),
    ],
)
def test_mailgun_refuses_the_whole_call(fake, fields, status, words):
    fake.invalid.add("invalid@example.com")

    answer = mailgun(fake, **fields)

    assert answer.status_code == status
    assert words in answer.text
    assert not fake.received


def test_mailgun_drops_who_bounced_without_a_word(fake):
    fake.inactive.add("ann@example.com")

    answer = mailgun(fake, to=["ann@example.com", "bob@example.com"])

    assert answer.ok
    assert [m.address for m in fake.received] == ["bob@example.com"]


def test_a_form_in_many_parts_is_read_as_well(fake):
    fields = [("to", (None, "ann@example.com")), ("to", (None, "bob@example.com"))]
    fields += [
        ("from", (None, "n@harbour.example")),
        ("subject", (None, "ü")),
        ("text", (None, "x")),
    ]

    requests.post(
        f"{fake.url}/v3/harbour.example/messages",
        files=fields,
        auth=("api", "mailgun-key"),
        timeout=5,
    )

    assert [m.address for m in fake.received] == ["ann@example.com", "bob@example.com"]
    assert fake.received[0].subject == "ü"


def test_a_step_waits_for_the_call_it_is_meant_for(fake):
    fake.next(Status(500), containing="bob")

    answers = [mailgun(fake, to=[f"{name}@example.com"]) for name in ["ann", "bob", "bob"]]

    assert [answer.status_code for answer in answers] == [200, 500, 200]
