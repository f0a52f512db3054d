"""Mailjet's stand-in, spoken to by plain HTTP."""

import pytest
import requests

pytestmark = pytest.mark.parametrize("fake", ["mailjet"], indirect=True)


def mailjet(fake, messages, sign_in=("mailjet-key", "mailjet-secret"), **shared):
    usual = {
        "From": {"Email": "n@harbour.example"},
        "Subject": "News",
        "TextPart": "x",
        "TrackOpens": "disabled",
        "TrackClicks": "disabled",
    }
    body = {"Globals": usual | shared, "Messages": messages}
    return requests.post(f"{fake.url}/v3.1/send", json=body, auth=sign_in, timeout=5)


def message(address, **fields):
    return {"To": [{"Email": address, "Name": "A reader"}]} | fields


def test_a_message_takes_the_place_of_what_globals_say(fake):
    answer = mailjet(
        fake,
        [
            message("ann@example.com", Headers={"X-Two": "hers"}),
            message("bob@example.com", EventPayload='{"subscriber": 2}'),
        ],
        Headers={"X-One": "1"},
    )

    assert [told["Status"] for told in answer.json()["Messages"]] == ["success", "success"]
    ann, bob = fake.received
    assert "X-One" not in ann.headers
    assert bob.headers["X-One"] == "1"
    assert bob.headers["To"] == '"A reader" <bob@example.com>'
    assert bob.metadata == {"subscriber": "2"}


def test_old_variables_are_filled_in_bodies_and_not_in_the_subject(fake):
    html = "[[var:name]] [[var:none:nobody]] {{var:name}}"

    mailjet(
        fake,
        [message("ann@example.com", Variables={"name": "<b>"})],
        Subject="[[var:name]]",
        HTMLPart=html,
    )

    assert fake.received[0].html == "<b> nobody {{var:name}}"
    assert fake.received[0].subject == "[[var:name]]"


def test_the_template_language_fills_the_subject_too(fake):
    variables = {"name": "{{var:link}}", "link": "x"}

    mailjet(
        fake,
        [message("ann@example.com", Variables=variables)],
        TemplateLanguage=True,
        Subject="{{var:name}}",
        TextPart='{{var:none:"nobody"}} [[var:link]]',
    )

    assert fake.received[0].subject == "{{var:link}}"
    assert fake.received[0].text == "nobody x"


@pytest.mark.parametrize("text", ["{{var:none}}", "{{ article }}", "{% if x %}"])
def test_what_the_template_language_cannot_fill_never_leaves(fake, text):
    answer = mailjet(fake, [message("a@b.example")], TemplateLanguage=True, TextPart=text)

    assert answer.status_code == 200
    assert not fake.received


def test_the_good_ones_are_sent_though_others_are_wrong(fake):
    answer = mailjet(
        fake,
        [
            message("ann"),
            message("bob@example.com"),
            message("cyd@example.com", Headers={"reply-to": "x@y.example"}),
            message("dan@example.com", Sender={"Email": "bounces@harbour.example"}),
        ],
    )

    assert answer.status_code == 400
    told = answer.json()["Messages"]
    assert [m["Status"] for m in told] == ["error", "success", "error", "error"]
    assert told[0]["Errors"][0]["ErrorMessage"] == '"ann" is an invalid email address.'
    assert [m.address for m in fake.received] == ["bob@example.com"]


@pytest.mark.parametrize(
    ("messages", "sign_in", "status"),
    [
        ([message("a@b.example")] * 51, ("mailjet-key", "mailjet-secret"), 400),
        ([], ("mailjet-key", "mailjet-secret"), 400),
        ([message("a@b.example")], ("mailjet-key", "wrong"), 401),
    ],
)
def test_mailjet_refuses_the_whole_call(fake, messages, sign_in, status):
    answer = mailjet(fake, messages, sign_in)

    assert answer.status_code == status
    assert answer.json()["StatusCode"] == status
    assert not fake.received
