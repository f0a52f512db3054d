"""Resend's stand-in, spoken to by plain HTTP."""

import pytest
import requests

pytestmark = pytest.mark.parametrize("fake", ["resend"], indirect=True)


def resend(fake, emails, sign_in="Bearer resend-key", **headers):
    return requests.post(
        f"{fake.url}/emails/batch",
        json=emails,
        headers={"Authorization": sign_in, **headers},
        timeout=5,
    )


def email(to, **fields):
    return {"from": "n@harbour.example", "to": [to], "subject": "News", "text": "x"} | fields


def test_each_email_has_everything_of_its_own(fake):
    headers = {"X-Metadata": '{"subscriber": "1"}', "Message-ID": "<1@harbour.example>"}

    answer = resend(fake, [email("ann@example.com", headers=headers), email("bob@example.com")])

    assert len(answer.json()["data"]) == 2
    ann, bob = fake.received
    assert ann.metadata == {"subscriber": "1"}
    assert ann.headers["Message-ID"] != "<1@harbour.example>"
    assert bob.headers["To"] == "bob@example.com"


@pytest.mark.parametrize(
    ("emails", "sign_in", "status", "name"),
    [
        ([email("a@b.example")] * 101, "Bearer resend-key", 422, "validation_error"),
        ([email("a@b.example"), email("ann")], "Bearer resend-key", 422, "validation_error"),
        ([email("a@b.example", subject="")], "Bearer resend-key", 422, "missing_required_field"),
        ([email("a@b.example")], "Bearer wrong", 403, "invalid_api_key"),
        ([email("a@b.example")], "", 401, "missing_api_key"),
    ],
)
def test_resend_refuses_the_whole_call(fake, emails, sign_in, status, name):
    answer = resend(fake, emails, sign_in)

    assert (answer.status_code, answer.json()["name"]) == (status, name)
    assert not fake.received


def test_a_permissive_batch_sends_the_good_ones(fake):
    batch = [email("ann"), email("bob@example.com")]

    answer = resend(fake, batch, **{"x-batch-validation": "permissive"})

    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 1
    assert [error["index"] for error in answer.json()["errors"]] == [0]
    assert [m.address for m in fake.received] == ["bob@example.com"]


def test_a_key_that_was_used_is_answered_as_before_and_sends_nothing(fake):
    key = {"Idempotency-Key": "7"}

    answers = [resend(fake, [email("ann@example.com")], **key) for _ in range(2)]
    other = resend(fake, [email("bob@example.com")], **key)

    assert answers[0].json() == answers[1].json()
    assert len(fake.received) == 1
    assert (other.status_code, other.json()["name"]) == (409, "invalid_idempotent_request")
