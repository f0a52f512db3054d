"""Postmark's stand-in, spoken to by plain HTTP."""

import pytest
import requests


def providers(*names):
    return pytest.mark.parametrize("fake", names, indirect=True)


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
            letter(
                "ann@example.com",
                HtmlBody="{{name}}",
                Metadata={"campaign": "7"},
                TrackOpens=True,
            ),
            letter("Bob <bob@example.com>"),
            letter("cyd"),
            letter("dan@example.com", Metadata={"campaign": "7" * 81}),
            letter("eve@example.com", TextBody=""),
            letter("fay@example.com", MessageStream="news"),
        ],
    )

    assert answer.status_code == 200
    assert [told["ErrorCode"] for told in answer.json()] == [0, 406, 300, 300, 300, 1235]
    assert "Found inactive addresses: bob@example.com." in answer.json()[1]["Message"]
    ann = fake.received[0]
    assert ann.html.startswith("{{name}}")
    assert "o/1.gif" in ann.html
    assert ann.metadata == {"campaign": "7"}
    assert [m.address for m in fake.received] == ["ann@example.com"]


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
