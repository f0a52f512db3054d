"""SendGrid's stand-in, spoken to by plain HTTP."""

import pytest
import requests

pytestmark = pytest.mark.parametrize("fake", ["sendgrid"], indirect=True)


def sendgrid(fake, people, key="sendgrid-key", **fields):
    usual = {
        "from": {"email": "n@harbour.example"},
        "subject": "News",
        "content": [{"type": "text/plain", "value": "x"}],
        "tracking_settings": {
            name: {"enable": False}
            for name in ["click_tracking", "open_tracking", "subscription_tracking"]
        },
    }
    return requests.post(
        f"{fake.url}/v3/mail/send",
        json=usual | {"personalizations": people} | fields,
        headers={"Authorization": f"Bearer {key}"},
        timeout=5,
    )


def person(address, **fields):
    return {"to": [{"email": address, "name": "A reader"}]} | fields


def many(count, **fields):
    return [person(f"r{number}@example.com", **fields) for number in range(count)]


def test_substitutions_replace_any_text_once_and_escape_nothing(fake):
    substitutions = {"-name-": "<b>-link-", "-link-": "https://harbour.example/"}

    answer = sendgrid(
        fake,
        [person("ann@example.com", substitutions=substitutions), person("bob@example.com")],
        subject="For -name-",
        content=[
            {"type": "text/plain", "value": "-name- -link-"},
            {"type": "text/html", "value": '<a href="-link-">-name-</a>'},
        ],
    )

    assert answer.status_code == 202
    assert not answer.content
    ann, bob = fake.received
    assert ann.subject == "For <b>-link-"
    assert ann.text == "<b>-link- https://harbour.example/"
    assert ann.html == '<a href="https://harbour.example/"><b>-link-</a>'
    assert bob.subject == "For -name-"
    assert bob.headers["To"] == '"A reader" <bob@example.com>'


def test_a_personalization_overrides_the_message_by_name(fake):
    sendgrid(
        fake,
        [person("ann@example.com", headers={"x-a": "hers"}, custom_args={"a": "hers"})],
        headers={"X-A": "all", "X-B": "all"},
        custom_args={"a": "all", "b": "all"},
    )

    ann = fake.received[0]
    assert ann.metadata == {"a": "hers", "b": "all"}
    assert ann.headers["x-a"] == "hers"
    assert ann.headers["X-B"] == "all"


@pytest.mark.parametrize(
    ("people", "fields", "words"),
    [
        (many(1001), {}, "limited to 1000 personalizations"),
        (many(2) + many(1), {}, "You have included [r0@example.com] more than once"),
        (many(1000, substitutions={str(n): "x" for n in range(11)}), {}, "10,000 substitutions"),
        ([person("ann")], {}, "Does not contain a valid address"),
        (many(1, headers={"Reply-To": "a@b.example"}), {}, "reserved keys"),
        (many(1, custom_args={"campaign": 7}), {}, "must be strings"),
        (many(1), {"content": []}, "content value"),
        (many(1), {"key": "wrong"}, "authorization grant is invalid"),
        ([], {}, "at least one personalization"),
    ],
)
def test_sendgrid_refuses_the_whole_call(fake, people, fields, words):
    answer = sendgrid(fake, people, **fields)

    assert answer.status_code in {400, 401}
    assert words in answer.json()["errors"][0]["message"]
    assert not fake.received


def test_what_is_not_switched_off_is_added(fake):
    html = '<a href="https://harbour.example/">x</a>'

    sendgrid(fake, many(1), tracking_settings={}, content=[{"type": "text/html", "value": html}])

    page = fake.received[0].html
    assert 'href="https://u1.ct.sendgrid.net/c/https://harbour.example/"' in page
    assert "o/1.gif" in page
    assert "unsubscribe" in page
    assert "List-Unsubscribe" in fake.received[0].headers
