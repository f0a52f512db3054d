"""Amazon's stand-in, spoken to by boto3 and by Anymail as it comes."""

import json

import boto3
import pytest
from anymail.exceptions import AnymailAPIError
from anymail.message import AnymailMessage
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from django.core.mail import mailers

from tests.providers import HANG_UP, SILENCE, Status

pytestmark = pytest.mark.parametrize("fake", ["amazon-ses"], indirect=True)
ONCE = {"total_max_attempts": 1}


@pytest.fixture
def send(fake):
    """Call it with entries, and a template's parts: by boto3, which tries once."""
    options = fake.options["client_params"]
    client = boto3.client("sesv2", **options, config=Config(retries=ONCE, read_timeout=0.5))

    def send(*entries, **parts):
        content = {"Subject": "News", "Text": "x"} | parts
        return client.send_bulk_email(
            FromEmailAddress="=?utf-8?q?D=C3=A9sk?= <n@harbour.example>",
            DefaultContent={"Template": {"TemplateContent": content, "TemplateData": "{}"}},
            BulkEmailEntries=list(entries),
        )["BulkEmailEntryResults"]

    yield send
    client.close()


def entry(address, headers=(), **values):
    return {
        "Destination": {"ToAddresses": [address]},
        "ReplacementEmailContent": {
            "ReplacementTemplate": {"ReplacementTemplateData": json.dumps(values)}
        },
        "ReplacementHeaders": [{"Name": name, "Value": value} for name, value in headers],
    }


def test_values_are_filled_in_as_they_are(fake, send):
    headers = [("X-Metadata", '{"subscriber": "1"}'), ("Message-ID", "<1@harbour.example>")]

    told = send(entry("ann@example.com", headers, name="<b>{{x}}"), Html="{{ name }}")

    assert [result["Status"] for result in told] == ["SUCCESS"]
    ann = fake.received[0]
    assert ann.html == "<b>{{x}}"
    assert ann.metadata == {"subscriber": "1"}
    assert ann.headers["From"] == '"Désk" <n@harbour.example>'
    assert ann.headers["To"] == "ann@example.com"
    assert "amazonses" in ann.headers["Message-ID"]


def test_a_message_whose_variable_has_no_value_never_leaves(fake, send):
    told = send(entry("ann@example.com"), entry("bob@example.com", name="Bob"), Text="{{name}}")

    assert [result["Status"] for result in told] == ["SUCCESS", "SUCCESS"]
    assert [m.address for m in fake.received] == ["bob@example.com"]


def test_every_entry_is_judged_for_itself(fake, send):
    fake.inactive.add("cyd@example.com")

    told = send(entry("ann"), entry("bob@example.com"), entry("cyd@example.com"))

    assert [result["Status"] for result in told] == ["INVALID_PARAMETER", "SUCCESS", "SUCCESS"]
    assert [m.address for m in fake.received] == ["bob@example.com"]


@pytest.mark.parametrize(
    "entries",
    [
        [entry("a@b.example")] * 51,
        [entry("a@b.example", [("X-Name", "Désk")])],
        [entry("a@b.example", [(f"X-{number}", "x") for number in range(16)])],
        [entry("a@b.example", name="x" * 200_000)] * 6,
    ],
)
def test_amazon_refuses_the_whole_call(fake, send, entries):
    with pytest.raises(ClientError) as refused:
        send(*entries)

    assert refused.value.response["Error"]["Code"] == "BadRequestException"
    assert not fake.received


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (429, "TooManyRequestsException"),
        (403, "UnrecognizedClientException"),
        (500, "InternalServiceErrorException"),
    ],
)
def test_trouble_has_amazons_names(fake, send, status, name):
    fake.next(Status(status, retry_after=30))

    with pytest.raises(ClientError) as refused:
        send(entry("ann@example.com"))

    assert refused.value.response["Error"]["Code"] == name
    assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "30"
    assert not fake.received


@pytest.mark.parametrize(
    ("step", "error"), [(HANG_UP, ConnectionClosedError), (SILENCE, ReadTimeoutError)]
)
def test_what_was_accepted_arrives_though_no_answer_comes(fake, send, step, error):
    fake.next(step)

    with pytest.raises(error):
        send(entry("ann@example.com"))

    assert len(fake.received) == 1


def test_a_raw_message_arrives_as_it_was_built(fake, settings):
    settings.MAILERS = {"default": fake.mailer}
    mail = AnymailMessage("News", "All of it, é", "Désk <n@harbour.example>", ["ann@example.com"])
    mail.metadata = {"campaign": "7"}
    mail.attach_alternative("<p>All of it</p>", "text/html")

    with mailers["default"] as backend:
        backend.send_messages([mail])

    ann = fake.received[0]
    assert ann.text.strip() == "All of it, é"
    assert ann.html.strip() == "<p>All of it</p>"
    assert ann.metadata == {"campaign": "7"}


def test_who_does_not_sign_in_is_refused(fake, settings):
    options = fake.options["client_params"] | {"aws_access_key_id": "AKIAWRONG"}
    settings.MAILERS = {"default": fake.mailer | {"OPTIONS": {"client_params": options}}}

    with pytest.raises(AnymailAPIError, match="UnrecognizedClient"), mailers["default"] as backend:
        backend.send_messages([AnymailMessage("News", "x", "n@harbour.example", ["a@b.example"])])
