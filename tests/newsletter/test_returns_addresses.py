"""The addresses at which mail comes back: written into what we send, and closed to sign-up."""

import re
from datetime import UTC, datetime
from email import policy
from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content import Mailing, Reader, compile_versions
from newsletter.receivers.mail import Kind, read
from newsletter.receivers.mail.arrivals import take_in
from subscribers import tokens
from subscribers.models import Letter, Sender, Subscriber, Subscription
from subscribers.tasks import send_letters
from subscribers.tokens import Purpose
from tests.newsletter.sending import start, work
from tests.providers import provider
from tests.rfc import findings

AT = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
DOMAIN = "bounces.harbour.example"


@pytest.fixture
def bounce_domain(publication):
    """The paper's sender has one."""
    publication.sender.bounce_domain = DOMAIN
    publication.sender.save()


@pytest.fixture
def compiled(campaign):
    """Call it with a reader: the message, as bytes."""

    def compiled(reader):
        [version] = compile_versions(campaign)
        return Mailing(version).message(reader, AT)

    return compiled


def ways_out(raw):
    """The addresses of List-Unsubscribe, and how the field is written."""
    field = re.search(rb"^(List-Unsubscribe: (?:.*\r?\n )*.*)\r?\n", raw, re.MULTILINE)[1].decode()
    return re.findall(r"<([^>]*)>", field), field.removesuffix("\r")


# The way out by mail -----------------------------------------------------------------------------


def test_the_way_out_by_mail_follows_that_on_the_web(compiled, bounce_domain, subscribe):
    ann = subscribe("ann@example.org")

    raw = compiled(Reader(ann.subscriber_id, "ann@example.org", "Ann", ann.mailing_list_id))

    assert findings(raw) == []
    (web, by_mail), field = ways_out(raw)
    token = web.rstrip("/").rpartition("/")[2]
    assert by_mail == f"mailto:u+{token}@{DOMAIN}?subject=unsubscribe"
    assert re.fullmatch(r"List-Unsubscribe: <[^>\s]*>,\r\n <[^>\s]*>", field)
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw


def test_what_a_mail_program_makes_of_it_ends_the_subscription(
    compiled, bounce_domain, subscribe, campaign
):
    ann = subscribe("ann@example.org")
    raw = compiled(Reader(ann.subscriber_id, "ann@example.org", "Ann", ann.mailing_list_id))
    address = ways_out(raw)[0][1].removeprefix("mailto:").partition("?")[0]

    reading = read(f"From: anybody@example.com\nTo: <{address}>\n\nHello".encode())
    take_in([reading])

    assert reading.kind is Kind.UNSUBSCRIBE
    assert not Subscription.objects.mailable().exists()


def test_without_a_bounce_domain_there_is_none(compiled, briefing):
    addresses, field = ways_out(compiled(Reader(7, "ann@example.org", "", briefing.pk)))

    assert len(addresses) == 1
    assert "mailto" not in field


def test_a_provider_whose_return_path_bears_our_domain_would_not_pass_it_on(
    compiled, bounce_domain, briefing, settings
):
    settings.MAILERS = {"default": {"BACKEND": "anymail.backends.test.EmailBackend"}}

    addresses, _field = ways_out(compiled(Reader(7, "ann@example.org", "", briefing.pk)))

    assert len(addresses) == 1


def test_in_pieces_it_stands_in_one_line(campaign, bounce_domain, briefing):
    [version] = compile_versions(campaign)
    headers = Mailing(version).parts(Reader(7, "ann@example.org", "", briefing.pk), AT).headers

    assert re.fullmatch(r"<https?://\S+>, <mailto:u\+\S+>", headers["List-Unsubscribe"])


@pytest.mark.filterwarnings("ignore:django-anymail has dropped official support")
@pytest.mark.parametrize(
    "name",
    ["amazon-ses", "brevo", "mailgun", "mailjet", "postmark", "resend", "sendgrid", "sparkpost"],
)
def test_a_standby_through_an_api_writes_every_reader_their_own(
    campaign, bounce_domain, subscribe, settings, name
):
    readers = [subscribe(f"reader{number}@example.org").subscriber for number in range(5)]
    start(campaign)

    with provider(name) as fake:
        settings.MAILERS = {"default": fake.mailer}
        work()

    assert len(fake.received) == len(readers)
    for received in fake.received:
        field = f"List-Unsubscribe: {received.header('List-Unsubscribe')}\n".encode()
        (web, by_mail), _field = ways_out(field)
        token = web.rstrip("/").rpartition("/")[2]
        reader, _mailing_list, _campaign = tokens.read(Purpose.UNSUBSCRIBE, token)
        assert Subscriber.objects.get(pk=reader).address == received.address
        assert by_mail == f"mailto:u+{token}@{DOMAIN}?subject=unsubscribe"


@given(
    st.integers(1, 2**40), st.integers(1, 2**16), st.integers(0, 2**32), st.sampled_from(Purpose)
)
def test_no_local_part_is_longer_than_mail_servers_take(reader, mailing_list, campaign, purpose):
    numbers = {
        Purpose.UNSUBSCRIBE: (reader, mailing_list, campaign),
        Purpose.BOUNCE: (reader, campaign),
    }.get(purpose, (reader,))

    assert len(f"u+{tokens.sign(purpose, *numbers)}") <= 64


def test_a_welcome_offers_it_too(sign_up, bounce_domain, client, smtp_server, settings):
    send_to(smtp_server, settings)
    sign_up()
    send_letters()
    confirm = re.search(rb"/c/\w+", smtp_server.received[0].raw.replace(b"=\r\n", b""))[0]
    client.post(confirm.decode())
    send_letters()
    raw = smtp_server.received[1].raw

    assert findings(raw, bulk=False) == []
    (web, by_mail), field = ways_out(raw)
    assert by_mail == f"mailto:u+{web.rstrip('/').rpartition('/')[2]}@{DOMAIN}?subject=unsubscribe"
    assert "\n" not in field


# Where letters bounce to -------------------------------------------------------------------------


def send_to(server, settings):
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": server.host, "port": server.port, "timeout": 5},
        }
    }


def test_a_letter_bounces_to_an_address_of_its_own(sign_up, bounce_domain, smtp_server, settings):
    send_to(smtp_server, settings)

    sign_up()
    send_letters()

    (received,) = smtp_server.received
    local, _at, domain = received.mail_from.partition("@")
    assert domain == DOMAIN
    assert tokens.read(Purpose.BOUNCE, local.removeprefix("b+")) == (Letter.objects.get().pk,)
    message = BytesParser(policy=policy.default).parsebytes(received.raw)
    assert message["From"] == "The Harbour Post <news@harbour.example>"
    assert findings(received.raw, bulk=False) == []


def test_without_a_bounce_domain_it_bounces_to_the_author(sign_up, smtp_server, settings):
    send_to(smtp_server, settings)

    sign_up()
    send_letters()

    assert smtp_server.received[0].mail_from == "news@harbour.example"


def test_a_provider_that_has_envelopes_of_its_own_is_told_of_none(
    sign_up, bounce_domain, settings, mailoutbox
):
    settings.MAILERS = {"default": {"BACKEND": "anymail.backends.test.EmailBackend"}}

    sign_up()
    send_letters()

    (message,) = mailoutbox
    assert "envelope_sender" not in message.anymail_test_params
    assert message.anymail_test_params["from"].addr_spec == "news@harbour.example"


def test_the_standby_that_has_envelopes_of_its_own_takes_over(
    sign_up, bounce_domain, settings, mailoutbox, publication
):
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": "127.0.0.1", "port": 9, "timeout": 1},
        },
        "other": {"BACKEND": "anymail.backends.test.EmailBackend"},
    }
    publication.sender.standby = publication.sender.warmed_standby = "other"
    publication.sender.save()

    sign_up()
    send_letters()

    (message,) = mailoutbox
    assert "envelope_sender" not in message.anymail_test_params
    assert message.anymail_test_params["from"].addr_spec == "news@harbour.example"


# Addresses of ours that nobody can subscribe (BNC-10) ---------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "news@harbour.example",
        "NEWS@HARBOUR.EXAMPLE",
        "news+tag@harbour.example",
        "desk@harbour.example",
        "desk+daily@harbour.example",
        "daily@harbour.example",
        "newsroom@localhost.example",
        f"b+AbCdEfGhIjKlMnOpQrStUvWxYz@{DOMAIN}",
        f"u+AbCdEfGhIjKlMnOpQrStUvWxYz@{DOMAIN}",
        f"anybody@{DOMAIN.upper()}",
        "anybody@rückläufer.example",
        "anybody@xn--rcklufer-3za0v.example",
        "post@zeitung-bücher.example",
    ],
)
def test_no_address_of_ours_can_be_subscribed(
    sign_up, bounce_domain, publication, settings, address
):
    settings.DEFAULT_FROM_EMAIL = "The newsroom <newsroom@localhost.example>"
    publication.sender.reply_to = "desk+all@harbour.example"
    publication.sender.save()
    for email, domain in [
        ("daily+briefing@harbour.example", ""),
        ("post@zeitung-bücher.example", "rückläufer.example"),
    ]:
        Sender.objects.create(
            publication=publication, name="Another", email=email, bounce_domain=domain
        )

    answer = sign_up(address)

    assert answer.status_code == 422
    assert "That is our own address" in answer.content.decode()
    assert not Letter.objects.exists()


@pytest.mark.parametrize("address", ["ann@harbour.example", "anybody@example.org"])
def test_others_can_be(sign_up, bounce_domain, address):
    assert sign_up(address).status_code == 303
