"""The fake providers themselves, spoken to by plain HTTP and by Anymail as it comes."""

import json

import pytest
import requests
from anymail.exceptions import AnymailRequestsAPIError
from anymail.message import AnymailMessage
from django.core.mail import mailers

from tests.providers import HANG_UP, SILENCE, Status, provider


@pytest.fixture
def fake(request):
    with provider(request.param) as fake:
        yield fake


def providers(*names):
    return pytest.mark.parametrize("fake", names, indirect=True)


@pytest.fixture
def send(fake, settings):
    """Call it with an AnymailMessage's fields: by Anymail's own backend to two readers."""
    settings.MAILERS = {"default": fake.mailer}

    def send(**fields):
        mail = AnymailMessage(
            from_email="The Post <news@harbour.example>",
            to=["Ann <ann@example.com>", "bob@example.com"],
            **{"subject": "News", "body": "All of it"} | fields,
        )
        with mailers["default"] as backend:
            backend.send_messages([mail])
        return mail.anymail_status

    return send


def addresses(fake):
    return [message.address for message in fake.received]


# Mailgun -------------------------------------------------------------------------------------


def mailgun(fake, *, sign_in=("api", "mailgun-key"), domain="harbour.example", **fields):
    usual = {"from": "news@harbour.example", "subject": "News", "text": "All of it"}
    address = f"{fake.url}/v3/{domain}/messages"
    return requests.post(address, data=usual | fields, auth=sign_in, timeout=5)


@providers("mailgun")
def test_mailgun_shows_everybody_to_everybody_without_variables(fake):
    mailgun(fake, to=["ann@example.com", "bob@example.com"])

    assert [m.headers["To"] for m in fake.received] == ["ann@example.com, bob@example.com"] * 2


@providers("mailgun")
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


@providers("mailgun")
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


@providers("mailgun")
def test_mailgun_drops_who_bounced_without_a_word(fake):
    fake.inactive.add("ann@example.com")

    answer = mailgun(fake, to=["ann@example.com", "bob@example.com"])

    assert answer.ok
    assert addresses(fake) == ["bob@example.com"]


@providers("mailgun")
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

    assert addresses(fake) == ["ann@example.com", "bob@example.com"]
    assert fake.received[0].subject == "ü"


# Postmark ------------------------------------------------------------------------------------


def postmark(fake, path, body, token="postmark-token"):
    headers = {"X-Postmark-Server-Token": token}
    return requests.post(f"{fake.url}/{path}", json=body, headers=headers, timeout=5)


def letter(to, **fields):
    return {"From": "n@harbour.example", "To": to, "TextBody": "x"} | fields


@providers("postmark")
def test_postmark_says_of_each_message_what_became_of_it(fake):
    fake.inactive.add("bob@example.com")

    answer = postmark(
        fake,
        "email/batch",
        [
            letter("ann@example.com", HtmlBody="{{name}}", Metadata={"campaign": "7"}),
            letter("Bob <bob@example.com>"),
            letter("cyd"),
            letter("dan@example.com", Metadata={"campaign": "7" * 81}),
            letter("eve@example.com", TextBody=""),
        ],
    )

    assert answer.status_code == 200
    assert [told["ErrorCode"] for told in answer.json()] == [0, 406, 300, 300, 300]
    assert "Found inactive addresses: bob@example.com." in answer.json()[1]["Message"]
    ann = fake.received[0]
    assert ann.html.startswith("{{name}}")
    assert "o/1.gif" in ann.html
    assert ann.metadata == {"campaign": "7"}
    assert addresses(fake) == ["ann@example.com"]


@providers("postmark", "postmark-bulk")
@pytest.mark.parametrize(
    ("path", "body", "token", "code"),
    [
        ("email/batch", [letter("a@b.example")] * 501, "postmark-token", 410),
        ("email/batch", [letter("a@b.example")], "wrong", 10),
        ("email", letter(", ".join(f"r{n}@b.example" for n in range(51))), "postmark-token", 300),
    ],
)
def test_postmark_refuses_the_whole_call(fake, path, body, token, code):
    answer = postmark(fake, path, body, token)

    assert answer.status_code in {401, 422}
    assert answer.json()["ErrorCode"] == code
    assert not fake.received


@providers("postmark")
def test_postmark_refuses_bulk_where_nobody_asked_for_it(fake):
    answer = postmark(fake, "email/bulk", {"Messages": [letter("ann@example.com")]})

    assert (answer.status_code, answer.json()["ErrorCode"]) == (422, 14)


@providers("postmark-bulk")
def test_postmark_fills_in_one_wording_for_all(fake):
    model = {"name": 'Ann <b>&"é', "link": "https://harbour.example/?a&b"}

    answer = postmark(
        fake,
        "email/bulk",
        {
            "From": "n@harbour.example",
            "Subject": "For {{name}}",
            "TextBody": "{{name}} {{{ pm:unsubscribe }}}",
            "HtmlBody": "{{name}} {{{link}}} {{nothing}}",
            "TrackOpens": False,
            "TrackLinks": "None",
            "Messages": [{"To": "ann@example.com", "TemplateModel": model}],
        },
    )

    assert answer.json()["TotalMessages"] == 1
    ann = fake.received[0]
    assert ann.subject == 'For Ann <b>&"é'
    assert ann.text.startswith('Ann <b>&"é https://')
    assert ann.html == "Ann &lt;b&gt;&amp;&quot;&#233; https://harbour.example/?a&b "


@providers("postmark-bulk")
def test_postmark_refuses_a_template_that_it_cannot_read(fake):
    body = {
        "From": "n@harbour.example",
        "TextBody": "{{#if x}}",
        "Messages": [{"To": "a@b.example"}],
    }

    answer = postmark(fake, "email/bulk", body)

    assert answer.status_code == 422


@providers("postmark")
def test_postmark_keeps_our_message_id_only_where_it_is_asked_to(fake):
    ours = {"Name": "Message-ID", "Value": "<1@harbour.example>"}

    postmark(fake, "email", letter("ann@example.com", Headers=[ours]))
    keep = {"Name": "X-PM-KeepID", "Value": "true"}
    postmark(fake, "email", letter("ann@example.com", Headers=[ours, keep]))

    first, second = fake.received
    assert first.headers["Message-ID"].endswith("@mtasv.net>")
    assert second.headers["Message-ID"] == "<1@harbour.example>"


# All of them ---------------------------------------------------------------------------------

EVERY = ["mailgun", "postmark", "postmark-bulk"]


@providers(*EVERY)
def test_anymail_sends_each_reader_a_message_of_their_own(fake, send):
    status = send(
        metadata={"campaign": "7"},
        merge_metadata={
            "ann@example.com": {"subscriber": "1"},
            "bob@example.com": {"subscriber": "2"},
        },
        merge_headers={
            "ann@example.com": {"List-Unsubscribe": "<https://harbour.example/1>"},
            "bob@example.com": {"List-Unsubscribe": "<https://harbour.example/2>"},
        },
        track_opens=False,
        track_clicks=False,
    )

    assert status.status <= {"sent", "queued"}
    assert set(status.recipients) == {"ann@example.com", "bob@example.com"}
    assert all(told.message_id for told in status.recipients.values())
    ann, bob = fake.received
    assert "bob@example.com" not in str(ann)
    assert "ann@example.com" not in str(bob)
    assert bob.headers["List-Unsubscribe"] == "<https://harbour.example/2>"
    assert bob.metadata["subscriber"] == "2"
    assert bob.metadata["campaign"] == "7"
    assert bob.text == "All of it"
    assert fake.calls[0].readers == 2


@providers(*EVERY)
@pytest.mark.parametrize("status", [401, 429, 500])
def test_what_is_refused_reaches_nobody(fake, send, status):
    fake.next(Status(status, retry_after=30))

    with pytest.raises(AnymailRequestsAPIError) as refused:
        send()

    assert refused.value.status_code == status
    assert refused.value.response.headers["Retry-After"] == "30"
    assert not fake.received
    send()
    assert len(fake.received) == 2


@providers(*EVERY)
@pytest.mark.parametrize("step", [HANG_UP, SILENCE])
def test_what_was_accepted_arrives_though_no_answer_comes(fake, settings, send, step):
    settings.MAILERS = {"default": fake.mailer | {"OPTIONS": {**fake.options, "timeout": 0.2}}}
    fake.next(None, step, containing="ann@example.com")

    send()
    with pytest.raises(AnymailRequestsAPIError):
        send()

    assert len(fake.received) == 4
    assert [call.status for call in fake.calls] == [200, 0]


@providers("mailgun")
def test_a_step_waits_for_the_call_it_is_meant_for(fake):
    fake.next(Status(500), containing="bob")

    answers = [mailgun(fake, to=[f"{name}@example.com"]) for name in ["ann", "bob", "bob"]]

    assert [answer.status_code for answer in answers] == [200, 500, 200]
