"""Letters have a mailer of their own, and a standby: who waits for one waits for no campaign."""

import smtplib
import ssl

import pytest
import requests
from django.db.models.functions import Now

from subscribers.models import Breaker, Letter, Sender
from subscribers.posting import _failure
from subscribers.tasks import send_letters
from tests.smtp import HANG_UP, RawServer, serving
from tests.subscribers.test_breakers import MINUTE, SILENT, pass_time

pytestmark = pytest.mark.django_db


@pytest.fixture
def servers(settings):
    """By the names of the mailers that send to them."""
    names = ["bulk", "letters", "relay"]
    with (
        serving(RawServer()) as bulk,
        serving(RawServer()) as letters,
        serving(RawServer()) as relay,
    ):
        servers = dict(zip(names, [bulk, letters, relay], strict=True))
        settings.MAILERS = {name: _smtp(server) for name, server in servers.items()}
        yield servers


def _smtp(server):
    options = {"host": server.host, "port": server.port, "timeout": 5}
    return {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}


@pytest.fixture
def sender(servers, publication):
    sender = publication.sender
    sender.mailer, sender.letter_mailer, sender.standby = "bulk", "letters", "relay"
    sender.save()
    return sender


@pytest.fixture
def warm(sender):
    sender.mark_standby(None)
    return sender


def gone(server):
    server.answer = lambda said: HANG_UP


def take_down(mailer):
    for _attempt in range(3):
        Breaker.objects.fail(mailer, SILENT)
        pass_time(MINUTE)
    Breaker.objects.filter(mailer=mailer).update(try_at=Now() + 5 * MINUTE)


def taken(servers):
    return {name: server.recipients() for name, server in servers.items() if server.received}


def test_letters_leave_by_their_own_mailer(sender, servers, sign_up):
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {"letters": ["ann@example.com"]}


def test_without_one_they_leave_as_campaigns_do(sender, servers, sign_up):
    Sender.objects.update(letter_mailer="")
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {"bulk": ["ann@example.com"]}


def test_trouble_with_campaigns_holds_up_no_letter(sender, servers, sign_up):
    take_down("bulk")
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {"letters": ["ann@example.com"]}


def test_a_letter_whose_mailer_fails_goes_by_the_standby_at_once(warm, servers, sign_up):
    gone(servers["letters"])
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {"relay": ["ann@example.com"]}
    assert Letter.objects.get().sent_at
    assert Breaker.objects.get().failures == 1


def test_while_it_is_down_nobody_waits_to_find_that_out(warm, servers, sign_up):
    take_down("letters")
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {"relay": ["ann@example.com"]}
    assert servers["letters"].connections == 0


def test_a_letter_finds_out_that_it_is_back(warm, servers, sign_up):
    take_down("letters")
    pass_time(10 * MINUTE)
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {"letters": ["ann@example.com"]}
    assert Breaker.objects.count() == 0


def test_a_standby_that_nobody_marked_takes_no_letter(sender, servers, sign_up):
    gone(servers["letters"])
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {}
    assert not Letter.objects.due().exists()


def test_without_a_standby_a_letter_is_tried_even_so(sender, servers, sign_up):
    take_down("letters")
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {"letters": ["ann@example.com"]}
    assert Breaker.objects.count() == 0


def test_a_refusal_of_the_mailbox_says_nothing_of_the_mailer(warm, servers, sign_up):
    servers["letters"].answer = lambda said: "550 5.1.1 Nobody" if said.step == "RCPT" else None
    sign_up("ann@example.com")

    send_letters()

    assert Letter.objects.get().given_up_at
    assert taken(servers) == {}
    assert Breaker.objects.count() == 0


def test_a_refusal_of_the_letter_is_not_tried_on_the_standby(warm, servers, sign_up):
    servers["letters"].answer = lambda said: "554 5.6.0 No" if said.step == "DOT" else None
    sign_up("ann@example.com")

    send_letters()

    assert taken(servers) == {}
    assert Breaker.objects.count() == 0


def answered(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), "unreachable"),
        (TimeoutError(), "unreachable"),
        (requests.ConnectionError(), "unreachable"),
        (smtplib.SMTPServerDisconnected("gone"), "unreachable"),
        (smtplib.SMTPConnectError(421, b"Later"), "busy"),
        (smtplib.SMTPConnectError(554, b"Go away"), "locked out"),
        (smtplib.SMTPDataError(421, b"Closing"), "busy"),
        (smtplib.SMTPAuthenticationError(454, b"Later"), "busy"),
        (smtplib.SMTPAuthenticationError(535, b"Wrong"), "locked out"),
        (smtplib.SMTPNotSupportedError("no STARTTLS"), "locked out"),
        (ssl.SSLError("bad certificate"), "locked out"),
        (answered(401), "locked out"),
        (answered(429), "busy"),
        (answered(503), "busy"),
        (answered(500), None),
        (answered(400), None),
        (smtplib.SMTPDataError(554, b"No"), None),
        (smtplib.SMTPSenderRefused(550, b"No", "news@harbour.example"), None),
        (ValueError("ours"), None),
    ],
)
def test_what_an_error_says_of_the_mailer(error, kind):
    failure = _failure(error)

    assert (failure.kind if failure else None) == kind
