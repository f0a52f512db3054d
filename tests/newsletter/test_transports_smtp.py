"""Handing over to a mail server: a real conversation, good and bad."""

from collections import Counter
from datetime import timedelta

import pytest

from newsletter import delivery, stopping
from newsletter.content import ContentError
from newsletter.delivery import pauses
from newsletter.delivery.transports.smtp import conversation
from newsletter.models import Campaign, Deferral
from newsletter.reports import Progress, progress
from subscribers.addresses import AddressError
from subscribers.models import Consent, Evidence, Subscription, Suppression
from tests.newsletter.sending import (
    bring_forward,
    confirmed_readers,
    start,
    statuses,
    work,
)
from tests.smtp import HANG_UP, SILENCE


def use(settings, server, **options):
    """Send to this server, as EMAIL_URL would say."""
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": server.host, "port": server.port, "timeout": 5, **options},
        }
    }


@pytest.fixture
def server(smtp_server, settings):
    use(settings, smtp_server)
    return smtp_server


@pytest.fixture
def three(campaign, subscribe):
    """The campaign, started, to Ann, Bob and Cyd, in this order."""
    for name in ["ann", "bob", "cyd"]:
        subscribe(f"{name}@example.com")
    return start(campaign)


def recipients(server):
    return sorted(to for _sender, to in server.envelopes())


def test_a_thousand_readers_get_one_message_each(campaign, briefing, server):
    confirmed_readers(1000, briefing)
    start(campaign)

    work()

    assert campaign.finish()
    assert progress(campaign) == Progress(audience=1000, sent=1000)
    assert len(set(recipients(server))) == len(server.received) == 1000
    assert {mail.message["To"] for mail in server.received} == set(recipients(server))
    assert len({mail.message["List-Unsubscribe"] for mail in server.received}) == 1000


def test_one_connection_serves_several_batches(campaign, briefing, server, settings, monkeypatch):
    settings.SMTP_CONNECTIONS = 1
    monkeypatch.setattr("newsletter.models.planning.BATCH", 5)
    confirmed_readers(12, briefing)
    start(campaign)

    work()

    assert Counter(line.split()[0] for line in server.commands)["EHLO"] == 1


def test_the_servers_words_are_kept_with_what_was_sent(three, server):
    work()

    assert "queued as" in three.deliveries.first().provider_id


def test_an_unknown_mailbox_fails_and_the_others_are_served(three, server):
    server.answer("RCPT", "550 5.1.1 No such user here", containing="bob@")

    work()

    assert three.finish()
    assert statuses(three)["bob@example.com"] == ("failed", "550 5.1.1")
    assert three.deliveries.get(status="failed").text == "No such user here"
    assert recipients(server) == ["ann@example.com", "cyd@example.com"]


def test_a_policy_refusal_of_one_reader_is_that_readers_alone(three, server):
    server.answer("DATA", "550 5.7.1 Message refused by the recipient", containing="bob@")

    work()

    assert Deferral.objects.get().code == "550 5.7.1"
    assert recipients(server) == ["ann@example.com", "cyd@example.com"]
    three.refresh_from_db()
    assert three.status == Campaign.Status.SENDING
    bring_forward(three)
    work()
    assert statuses(three)["bob@example.com"] == ("failed", "550 5.7.1")


def test_not_now_is_tried_again_later(three, server):
    server.answer("RCPT", "450 4.2.1 Greylisted, come back", containing="bob@", times=1)

    work()

    deferral = Deferral.objects.get()
    assert (deferral.attempts, deferral.code) == (1, "450 4.2.1")
    assert not three.finish()
    assert recipients(server) == ["ann@example.com", "cyd@example.com"]
    bring_forward(three)
    work()
    assert recipients(server) == ["ann@example.com", "bob@example.com", "cyd@example.com"]
    assert three.finish()
    assert not Deferral.objects.exists()


def test_pauses_grow_and_never_end_beyond_an_hour():
    first = timedelta(minutes=1)
    minutes = [pauses.growing(first, attempts).seconds / 60 for attempts in range(1, 12)]

    assert minutes[0] < 1.3
    assert minutes[4] > minutes[0] * 5
    assert max(minutes) <= 75


def test_a_reader_who_left_while_deferred_is_skipped(three, server):
    server.answer("RCPT", "450 4.2.1 Greylisted", containing="bob@", times=1)
    work()
    bob = Subscription.objects.get(subscriber__address="bob@example.com")
    bob.end("unsubscribed", Evidence(method="link"))
    bring_forward(three)

    work()

    assert statuses(three)["bob@example.com"] == ("skipped", "unsubscribed")
    assert three.finish()


def test_a_connection_lost_after_the_final_dot_is_uncertain_and_not_repeated(three, server):
    server.answer("DATA", HANG_UP, containing="bob@")

    work()

    assert three.finish()
    assert progress(three) == Progress(audience=3, sent=2, uncertain=1)
    assert statuses(three)["bob@example.com"][0] == "uncertain"


def test_silence_after_the_final_dot_is_uncertain(three, smtp_server, settings, monkeypatch):
    monkeypatch.setattr(conversation, "FINAL_DOT", 0.5)
    use(settings, smtp_server, timeout=0.5)
    smtp_server.answer("DATA", SILENCE, containing="bob@")

    work()

    assert progress(three) == Progress(audience=3, sent=2, uncertain=1)


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
def test_a_connection_lost_before_that_is_no_ones_fault_and_repeated(three, server, command):
    containing = "" if command == "MAIL" else "bob@"
    server.answer(command, HANG_UP, containing=containing, times=1)

    work()
    bring_forward(three)
    work()

    assert recipients(server) == ["ann@example.com", "bob@example.com", "cyd@example.com"]
    assert progress(three) == Progress(audience=3, sent=3)


def test_a_server_that_closes_after_some_messages_is_called_again(three, server):
    """The connection is spent; our mail is not refused, and nobody has to wait."""
    server.answer("RCPT", "421 4.7.0 Too many messages", containing="bob@", times=1)

    work()

    assert progress(three) == Progress(audience=3, sent=3)
    assert Counter(line.split()[0] for line in server.commands)["EHLO"] == 2


def test_a_server_that_is_down_makes_the_batch_wait_and_nobody_fail(campaign, subscribe, settings):
    class Nobody:
        host, port = "127.0.0.1", 9

    use(settings, Nobody)
    subscribe("ann@example.com")
    start(campaign)

    work()

    batch = campaign.batches.get()
    assert batch.due_at > campaign.started_at
    assert batch.lease_until is None
    assert progress(campaign) == Progress(audience=1)
    assert not Deferral.objects.exists()


def test_mail_goes_on_when_the_server_is_back(campaign, subscribe, settings, smtp_server):
    test_a_server_that_is_down_makes_the_batch_wait_and_nobody_fail(campaign, subscribe, settings)
    use(settings, smtp_server)
    bring_forward(campaign)

    work()

    assert campaign.finish()
    assert recipients(smtp_server) == ["ann@example.com"]


def test_a_server_in_trouble_makes_the_batch_wait(three, server):
    server.answer("MAIL", "452 4.3.1 Insufficient system storage", times=1)

    work()

    assert progress(three) == Progress(audience=3)
    assert server.received == []
    bring_forward(three)
    work()
    assert len(server.received) == 3


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("MAIL", "550 5.7.1 Sender refused"),
        ("MAIL", "530 5.7.0 Authentication required"),
        ("RCPT", "554 5.7.1 <ann@example.com>: Relay access denied"),
        ("DATA", "552 5.3.4 Message too big for system"),
    ],
)
def test_a_refusal_of_us_pauses_the_campaign_in_the_servers_words(three, server, command, answer):
    server.answer(command, answer)

    work()

    three.refresh_from_db()
    assert three.status == Campaign.Status.PAUSED
    assert three.trouble == answer
    assert progress(three) == Progress(audience=3)


def test_a_campaign_paused_for_our_fault_misses_nobody_when_it_is_mended(three, server):
    server.answer("RCPT", "554 5.7.1 Relay access denied", containing="bob@", times=1)
    work()
    assert recipients(server) == ["ann@example.com"]

    three.resume()
    bring_forward(three)
    work()

    assert recipients(server) == ["ann@example.com", "bob@example.com", "cyd@example.com"]
    assert three.finish()


def test_a_message_larger_than_the_server_takes_is_not_handed_over(three, server):
    server.largest = 1000

    work()

    three.refresh_from_db()
    assert three.status == Campaign.Status.PAUSED
    assert progress(three) == Progress(audience=3)
    assert not [line for line in server.commands if line.upper().startswith(("RCPT", "DATA"))]


def test_tls_and_sign_in(campaign, subscribe, strict_smtp_server, settings):
    subscribe("ann@example.com")
    sign_in = {"username": "desk@harbour", "password": "p/ss:w@rd%", "use_tls": True}
    use(settings, strict_smtp_server, **sign_in | {"host": "localhost"})
    start(campaign)

    work()

    assert recipients(strict_smtp_server) == ["ann@example.com"]


def test_a_wrong_password_pauses_the_campaign(campaign, subscribe, strict_smtp_server, settings):
    subscribe("ann@example.com")
    sign_in = {"username": "desk@harbour", "password": "wrong", "use_tls": True}
    use(settings, strict_smtp_server, **sign_in | {"host": "localhost"})
    start(campaign)

    work()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert campaign.trouble.startswith("535")
    assert progress(campaign) == Progress(audience=1)


def test_a_certificate_that_nobody_vouches_for_pauses_the_campaign(
    campaign, subscribe, strict_smtp_server, settings, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE")
    subscribe("ann@example.com")
    use(settings, strict_smtp_server, host="localhost", use_tls=True)
    start(campaign)

    work()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert "certificate" in campaign.trouble


def test_an_address_with_special_letters_is_not_mangled(campaign, subscribe, server, settings):
    settings.SMTPUTF8 = True
    subscribe("jörg@example.com")
    subscribe("ann@example.com")
    start(campaign)

    work()

    assert statuses(campaign)["jörg@example.com"][0] == "failed"
    assert recipients(server) == ["ann@example.com"]


def test_a_test_mail_goes_out_from_a_draft_and_says_that_it_is_one(campaign, server):
    delivery.send_test(campaign, "editor@harbour.example")

    mail = server.received[0]
    assert mail.recipients == ["editor@harbour.example"]
    assert mail.message["Subject"] == "[Test] The ferry returns"
    campaign.refresh_from_db()
    assert campaign.subject == "The ferry returns"
    assert not campaign.versions.exists()
    assert not campaign.deliveries.exists()


def test_a_test_mail_that_is_refused_says_why(campaign, server):
    server.answer("RCPT", "550 5.1.1 No such user")

    with pytest.raises(delivery.TransportError, match="No such user"):
        delivery.send_test(campaign, "editor@harbour.example")


def test_a_test_mail_of_what_cannot_be_sent_says_why(campaign, publication, server):
    publication.postal_address = ""
    publication.save()

    with pytest.raises(ContentError, match="postal address"):
        delivery.send_test(Campaign.objects.get(), "editor@harbour.example")


@pytest.mark.parametrize("reason", ["unsubscribed", "complained", "bounced", "not_me"])
def test_a_test_mail_does_not_go_to_who_wants_none(campaign, subscribe, server, reason):
    key = subscribe("ann@example.com").subscriber.suppression_key
    Suppression.objects.create(key=key, scope="everything", reason=reason)

    with pytest.raises(AddressError):
        delivery.send_test(campaign, "Ann@example.com")

    assert server.received == []


def test_having_left_another_list_does_not_keep_a_test_away(campaign, subscribe, weekend, server):
    evidence = Evidence(method=Consent.Method.LINK)
    subscribe("ann@example.com", weekend).end("unsubscribed", evidence)
    delivery.send_test(campaign, "ann@example.com")
    assert recipients(server) == ["ann@example.com"]

    subscribe("ann@example.com").end("unsubscribed", evidence)
    with pytest.raises(AddressError):
        delivery.send_test(campaign, "ann@example.com")


def test_a_worker_stops_between_windows(campaign, briefing, server):
    confirmed_readers(50, briefing)
    start(campaign)
    stopping.stop()
    try:
        work()
    finally:
        stopping.go_on()

    assert server.received == []
