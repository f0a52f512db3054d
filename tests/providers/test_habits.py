"""What providers do by themselves, unless they are told or set up otherwise."""

import pytest
from anymail.message import AnymailMessage
from django.core.mail import mailers

pytestmark = pytest.mark.filterwarnings("ignore:django-anymail has dropped official support")


def providers(*names):
    return pytest.mark.parametrize("fake", names, indirect=True)


@pytest.fixture
def send(fake, settings):
    """Call it with an AnymailMessage's fields: to Ann and Bob, one message each."""
    settings.MAILERS = {"default": fake.mailer}

    def send(**fields):
        to = ["ann@example.com", "bob@example.com"]
        mail = AnymailMessage("News", "All of it", "news@harbour.example", to, **fields)
        mail.attach_alternative('<a href="https://harbour.example/">All of it</a>', "text/html")
        mail.merge_metadata = {address: {"subscriber": address} for address in to}
        with mailers["default"] as backend:
            backend.send_messages([mail])
        return mail.anymail_status.recipients

    return send


@providers("brevo", "mailgun", "mailjet", "postmark-bulk", "resend", "sendgrid", "sparkpost")
def test_who_bounced_earlier_is_dropped_without_a_word(fake, send):
    fake.inactive.add("ann@example.com")

    told = send()

    assert {status.status for status in told.values()} <= {"sent", "queued"}
    assert [message.address for message in fake.received] == ["bob@example.com"]


@providers("mailgun", "mailjet", "postmark", "sendgrid", "sparkpost")
def test_links_are_counted_unless_that_is_switched_off(fake, send):
    send()
    send(track_clicks=False)

    counted, _bob, plain, _bob = fake.received
    assert 'href="https://harbour.example/"' not in counted.html
    assert 'href="https://harbour.example/"' in plain.html


@providers("mailgun", "mailjet", "sendgrid", "sparkpost")
def test_opens_are_counted_unless_that_is_switched_off(fake, send):
    send()
    send(track_opens=False)

    counted, _bob, plain, _bob = fake.received
    assert "<img" in counted.html
    assert "<img" not in plain.html


@providers("brevo", "postmark", "resend")
def test_where_no_call_can_forbid_it_opens_are_not_counted(fake, send):
    send()

    assert "<img" not in fake.received[0].html


@providers("postmark")
def test_a_broadcast_stream_adds_a_way_out_unless_they_approved_of_ours(fake, send):
    own = {"List-Unsubscribe": "<https://harbour.example/1>"}
    stream = {"esp_extra": {"MessageStream": "broadcast"}, "headers": own}

    send(**stream)
    ours = fake.received[0]
    fake.api.adds_unsubscribe = True
    send(**stream)
    theirs = fake.received[2]

    assert ours.headers["List-Unsubscribe"] == own["List-Unsubscribe"]
    assert "unsubscribe" not in ours.html
    assert theirs.headers["List-Unsubscribe"] != own["List-Unsubscribe"]
    assert "unsubscribe" in theirs.html
