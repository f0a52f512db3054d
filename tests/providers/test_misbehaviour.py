"""What all stand-ins have in common, with Anymail as it comes on the other end."""

import pytest
from anymail.exceptions import AnymailRequestsAPIError
from anymail.message import AnymailMessage
from django.core.mail import mailers

from tests.providers import APIS, HANG_UP, SILENCE, Status

# Amazon's backend does not speak HTTP by requests; see test_amazon_ses.py.
EVERY = sorted(set(APIS) - {"amazon-ses"})
# How each is told to leave messages alone.
UNTOUCHED = {
    "brevo": {},
    "resend": {},
    "sendgrid": {
        "esp_extra": {"tracking_settings": {"subscription_tracking": {"enable": False}}},
        "track_opens": False,
        "track_clicks": False,
    },
    "sparkpost": {
        "esp_extra": {"options": {"transactional": True}},
        "track_opens": False,
        "track_clicks": False,
    },
}

pytestmark = [
    pytest.mark.parametrize("fake", EVERY, indirect=True),
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support"),
]


@pytest.fixture
def untouched(request, fake):
    usual = {"track_opens": False, "track_clicks": False}
    return UNTOUCHED.get(request.node.callspec.params["fake"], usual)


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
        mail.attach_alternative("<p>All of it</p>", "text/html")
        with mailers["default"] as backend:
            backend.send_messages([mail])
        return mail.anymail_status

    return send


def test_anymail_sends_each_reader_a_message_of_their_own(fake, send, untouched):
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
        **untouched,
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


@pytest.mark.parametrize("step", [HANG_UP, SILENCE])
def test_what_was_accepted_arrives_though_no_answer_comes(fake, settings, send, step):
    settings.MAILERS = {"default": fake.mailer | {"OPTIONS": {**fake.options, "timeout": 0.5}}}
    fake.next(step, containing="ann@example.com")

    with pytest.raises(AnymailRequestsAPIError):
        send()

    assert len(fake.received) == 2
    assert fake.calls[0].status == 0
