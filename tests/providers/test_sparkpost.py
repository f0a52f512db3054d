"""SparkPost's stand-in, spoken to by plain HTTP."""

import pytest
import requests

pytestmark = pytest.mark.parametrize("fake", ["sparkpost"], indirect=True)
QUIET = {"transactional": True, "open_tracking": False, "click_tracking": False}


def sparkpost(fake, recipients, key="sparkpost-key", content=None, **fields):
    usual = {"from": "n@harbour.example", "subject": "News", "text": "x"}
    body = {
        "options": QUIET,
        "recipients": recipients,
        "content": usual | (content or {}),
    } | fields
    return requests.post(
        f"{fake.url}/api/v1/transmissions/",
        json=body,
        headers={"Authorization": key},
        timeout=5,
    )


def recipient(address, **fields):
    return {"address": {"email": address, "name": "A reader"}} | fields


def test_values_are_escaped_where_they_stand(fake):
    values = {"name": "<b>/{{email}}", "token": "a/b&c"}
    link = "https://harbour.example/{{token}}/{{{token}}}"

    answer = sparkpost(
        fake,
        [recipient("ann@example.com", substitution_data=values)],
        content={
            "subject": "{{name}} {{none}}",
            "text": f"{{{{name}}}} {link}",
            "html": f'{{{{name}}}} {{{{{{name}}}}}} <a href="{link}">',
            "headers": {"X-Token": "{{token}}"},
        },
    )

    assert answer.json()["results"]["total_accepted_recipients"] == 1
    ann = fake.received[0]
    assert ann.subject == "<b>/{{email}} "
    assert ann.text == "<b>/{{email}} https://harbour.example/a%2Fb%26c/a/b&c"
    assert ann.html == (
        '&lt;b&gt;&#x2F;{{email}} <b>/{{email}} <a href="https://harbour.example/a%2Fb%26c/a/b&c">'
    )
    assert ann.headers["X-Token"] == "a/b&c"
    assert ann.headers["To"] == '"A reader" <ann@example.com>'


def test_braces_arrive_by_their_macros_and_attributes_of_links_do_not(fake):
    text = '{{ opening_double_curly() }}x{{closing_double_curly()}} https://a.example[[data-x="0"]]'

    sparkpost(fake, [recipient("ann@example.com")], content={"text": text})

    assert fake.received[0].text == "{{x}} https://a.example"


def test_metadata_of_both_levels_come_together(fake):
    sparkpost(
        fake,
        [recipient("ann@example.com", metadata={"subscriber": "1"})],
        metadata={"campaign": "7", "subscriber": "0"},
    )

    assert fake.received[0].metadata == {"campaign": "7", "subscriber": "1"}


@pytest.mark.parametrize(
    ("recipients", "fields", "status", "code"),
    [
        ([recipient("ann")], {}, 400, "5002"),
        ([recipient("a@b.example")], {"content": {"text": "{{#if x}}"}}, 422, "3000"),
        ([recipient("a@b.example")], {"content": {"subject": "{{ end }}"}}, 422, "3000"),
        ([recipient("a@b.example")], {"return_path": "b@elsewhere.example"}, 400, "7001"),
        ([recipient("a@b.example", metadata={"x": "x" * 1001})], {}, 422, "1300"),
        ([recipient("a@b.example")], {"key": "wrong"}, 401, None),
    ],
)
def test_sparkpost_refuses_the_whole_call(fake, recipients, fields, status, code):
    answer = sparkpost(fake, recipients, **fields)

    assert answer.status_code == status
    assert answer.json()["errors"][0].get("code") == code
    assert not fake.received


def test_addresses_that_are_none_are_only_counted(fake):
    answer = sparkpost(fake, [recipient("ann@nowhere"), recipient("bob@example.com")])

    assert answer.status_code == 200
    assert answer.json()["results"]["total_rejected_recipients"] == 1
    assert "ann" not in answer.text
    assert [m.address for m in fake.received] == ["bob@example.com"]


def test_our_unsubscribe_header_is_kept_only_where_the_mail_is_transactional(fake):
    own = {"List-Unsubscribe": "<https://harbour.example/1>"}

    for options in [QUIET, QUIET | {"transactional": False}]:
        sparkpost(fake, [recipient("ann@example.com")], options=options, content={"headers": own})

    first, second = fake.received
    assert first.headers["List-Unsubscribe"] == own["List-Unsubscribe"]
    assert second.headers["List-Unsubscribe"] == "<mailto:unsubscribe@unsub.spmta.com>"
