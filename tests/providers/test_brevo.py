"""Brevo's stand-in, spoken to by plain HTTP."""

import uuid

import pytest
import requests

pytestmark = pytest.mark.parametrize("fake", ["brevo"], indirect=True)


def brevo(fake, key="brevo-key", **fields):
    usual = {
        "sender": {"name": "The Post", "email": "news@harbour.example"},
        "subject": "News",
        "htmlContent": "All of it",
    }
    body = usual | fields
    return requests.post(
        f"{fake.url}/v3/smtp/email", json=body, headers={"api-key": key}, timeout=5
    )


def version(address, **fields):
    return {"to": [{"email": address, "name": "A reader"}]} | fields


def test_each_version_is_a_message_and_overrides_what_is_at_the_top(fake):
    answer = brevo(
        fake,
        headers={"X-One": "1", "X-Two": "2"},
        messageVersions=[
            version("ann@example.com", subject="Hers", headers={"x-two": "hers"}),
            version("bob@example.com", headers={"X-Mailin-custom": '{"subscriber": 2}'}),
        ],
    )

    assert answer.status_code == 201
    assert len(answer.json()["messageIds"]) == 2
    ann, bob = fake.received
    assert (ann.subject, bob.subject) == ("Hers", "News")
    assert ann.headers["X-One"] == "1"
    assert ann.headers["x-two"] == "hers"
    assert "X-Two" not in ann.headers
    assert ann.headers["To"] == '"A reader" <ann@example.com>'
    assert bob.metadata == {"subscriber": "2"}


def test_values_are_escaped_unless_they_are_said_to_be_safe(fake):
    html = (
        "{{ params.name }}|{{ params.name|safe }}|{% autoescape off %}{{params.name}}"
        "{% endautoescape %}|{% verbatim %}{{ this }}{% endverbatim %}|{{ 7*7 }}{# no #}"
    )

    brevo(fake, htmlContent=html, messageVersions=[version("a@b.example", params={"name": "<b>"})])

    assert fake.received[0].html == "&lt;b&gt;|<b>|<b>|{{ this }}|"


def test_values_are_evaluated_themselves(fake):
    params = {"name": "Ann {{7*7}}{% if x %}"}

    brevo(
        fake,
        subject="{{ params.name }}",
        messageVersions=[version("ann@example.com", params=params)],
    )

    assert fake.received[0].subject == "Ann "


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"messageVersions": [version("a@b.example")] * 1001}, 400, "invalid_parameter"),
        ({"messageVersions": [version("ann")]}, 400, "invalid_parameter"),
        (
            {"messageVersions": [version("a@b.example", params={"x": "x" * 100_001})]},
            400,
            "invalid_parameter",
        ),
        (
            {"messageVersions": [version("a@b.example", params={"x": "x" * 1001})] * 1000},
            400,
            "invalid_parameter",
        ),
        ({"messageVersions": [version("a@b.example")], "subject": ""}, 400, "missing_parameter"),
        ({"to": [{"email": "a@b.example"}], "htmlContent": ""}, 400, "missing_parameter"),
        ({"to": [{"email": "a@b.example"}], "key": "wrong"}, 401, "unauthorized"),
        (
            {"to": [{"email": "a@b.example"}], "headers": {"idempotencyKey": "7"}},
            400,
            "invalid_parameter",
        ),
    ],
)
def test_brevo_refuses_the_whole_call(fake, fields, status, code):
    answer = brevo(fake, **fields)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not fake.received


def test_a_key_that_was_used_is_refused_and_nothing_is_sent_again(fake):
    call = {"to": [{"email": "a@b.example"}], "headers": {"idempotencyKey": str(uuid.uuid4())}}
    brevo(fake, **call)

    answer = brevo(fake, **call)

    assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_parameter")
    assert len(fake.received) == 1
    assert "idempotencyKey" not in fake.received[0].headers


def test_brevo_adds_an_unsubscribe_header_where_there_is_none(fake):
    own = {"List-Unsubscribe": "<https://harbour.example/1>"}

    brevo(fake, to=[{"email": "ann@example.com"}])
    brevo(fake, to=[{"email": "ann@example.com"}], headers=own)

    first, second = fake.received
    assert "mailin" in first.headers["List-Unsubscribe"]
    assert second.headers["List-Unsubscribe"] == own["List-Unsubscribe"]


def test_headers_that_are_not_ascii_leave_as_they_are(fake):
    brevo(fake, to=[{"email": "ann@example.com"}], headers={"List-Id": "Désk <a.example>"})

    assert fake.received[0].headers["List-Id"].encode("latin-1").decode() == "Désk <a.example>"


@pytest.mark.parametrize(
    ("name", "arrives"),
    [
        ("Désk", '"Désk" <n@harbour.example>'),
        ("Désk, Harbour", "n@harbour.example"),
        ("=?utf-8?q?D=C3=A9sk=2C_Harbour?=", '"Désk, Harbour" <n@harbour.example>'),
    ],
)
def test_a_name_with_letters_and_commas_has_to_be_encoded(fake, name, arrives):
    sender = {"name": name, "email": "n@harbour.example"}

    brevo(fake, to=[{"email": "ann@example.com"}], sender=sender)

    assert fake.received[0].headers["From"] == arrives
