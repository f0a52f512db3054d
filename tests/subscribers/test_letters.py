"""The few transactional messages: what they say, in which bytes, and that none is lost."""

import re
from datetime import timedelta
from email.header import decode_header, make_header
from email.policy import SMTP

import pytest
from django.core import mail
from django.db.models.functions import Now
from django.utils import timezone

from subscribers.models import (
    Consent,
    Evidence,
    Letter,
    Sender,
    Subscriber,
    Subscription,
    Suppression,
)
from subscribers.tasks import look_for_due_letters, send_letters
from subscribers.tokens import Purpose, read
from tests.rfc import findings

BY_LINK = Evidence(method=Consent.Method.LINK)


@pytest.fixture
def one_of_each(sign_up, letters, client, link, weekend):
    """The three letters, as one reader gets them."""
    sign_up("Ann@example.com", name="Mallory", lists=["morning-briefing", "weekend-reader"])
    client.post(link("c", letters()[0]))
    letters()
    sign_up("ann@example.com", lists=["weekend-reader"])
    return letters()


@pytest.fixture
def raw_over_smtp(smtp_server, settings):
    """Send what waits to a real SMTP server; the raw messages it got."""
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": smtp_server.host, "port": smtp_server.port, "timeout": 5},
        }
    }

    def raw_over_smtp():
        send_letters()
        return [received.raw for received in smtp_server.received]

    return raw_over_smtp


def test_the_letters_have_nothing_that_a_standard_forbids(one_of_each):
    for message in one_of_each:
        assert findings(message.message(policy=SMTP).as_bytes(), bulk=False) == []


def test_the_bytes_that_leave_over_smtp_are_in_order(
    raw_over_smtp, sign_up, client, link, settings, smtp_server, publication
):
    sign_up("Ann@example.com")
    confirm = raw_over_smtp()[0]
    path = re.search(rb"/c/\w+", confirm.replace(b"=\r\n", b""))[0].decode()
    client.post(path)
    welcome = raw_over_smtp()[1]

    assert findings(confirm, bulk=False) == []
    assert findings(welcome, bulk=False) == []
    assert smtp_server.envelopes() == [("news@harbour.example", "Ann@example.com")] * 2
    assert confirm.isascii()
    assert b"Content-Transfer-Encoding: quoted-printable" in confirm
    assert confirm.count(b"MIME-Version") == 1


def test_the_way_out_stands_in_the_welcome_letter_by_letter(
    raw_over_smtp, sign_up, client, link, publication
):
    publication.site = "https://a-rather-long-name-of-a-newspaper.news.harbour-and-sea.example"
    publication.save()
    sign_up("ann@example.com")
    raw_over_smtp()
    token = re.search(rb"/c/\w+", raw_over_smtp()[0].replace(b"=\r\n", b""))[0].decode()
    client.post(token)

    head = raw_over_smtp()[1].partition(b"\r\n\r\n")[0].decode("ascii") + "\r\n"

    way_out = re.search(r"^List-Unsubscribe: <(.*)>$", head.replace("\r", ""), re.MULTILINE)[1]
    assert way_out.startswith(f"{publication.site}/u/")
    assert len(way_out) > 78
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in head
    assert client.post(way_out.removeprefix(publication.site)).status_code == 200
    assert not Subscription.objects.mailable().exists()


def test_every_letter_says_that_a_machine_wrote_it(one_of_each):
    for message in one_of_each:
        built = message.message()
        assert built["Auto-Submitted"] == "auto-generated"
        assert built.get_content_type() == "multipart/alternative"
        assert [part.get_content_type() for part in built.iter_parts()] == [
            "text/plain",
            "text/html",
        ]


def test_the_confirmation_says_who_asked_for_what_when_and_where(one_of_each):
    text, html = one_of_each[0].body, one_of_each[0].alternatives[0].content

    for part in [text, html]:
        assert "Ann@example.com" in part
        assert "Morning Briefing" in part
        assert "Weekend Reader" in part
        assert "localhost" in part
        assert timezone.now().strftime("%B %Y") in part
        assert "/c/" in part
        assert "/b/" in part


def test_the_confirmation_holds_nothing_that_a_stranger_typed_and_no_pictures(one_of_each):
    confirm = one_of_each[0]

    whole = confirm.message().as_string() + confirm.body + confirm.alternatives[0].content
    assert "Mallory" not in whole
    assert "the-ferry-returns" not in whole
    assert "<img" not in whole
    assert "url(" not in whole


def test_the_text_is_a_letter(one_of_each):
    for message in one_of_each:
        assert message.body.startswith("Hello,\n\n")
        assert "<" not in message.body
        assert "&" not in message.body
        assert "\n\n\n" not in message.body
        lines = [line for line in message.body.splitlines() if "http" not in line]
        assert max(len(line) for line in lines) <= 78


def test_names_in_a_letter_are_text_and_nothing_else(sign_up, publication, briefing, letters):
    publication.name = "Fish & <Chips> {{ 7*7 }}"
    publication.save()

    sign_up()
    message = letters()[0]

    assert "Fish & <Chips> {{ 7*7 }}" in message.subject
    assert "Fish &amp; &lt;Chips&gt; {{ 7*7 }}" in message.alternatives[0].content


@pytest.mark.parametrize("name", ["=?utf-8?q?a=0D=0ABcc=3A_v=40x.example?=", "Post\x0c\x01\u2028B"])
def test_no_name_in_the_newsroom_is_a_way_into_the_header_or_a_control(
    raw_over_smtp, sign_up, publication, name
):
    publication.name = publication.sender.name = name
    publication.legal_name = publication.postal_address = name.replace("=?", "\x0b")
    publication.save()
    publication.sender.save()
    sign_up("ann@example.com")

    raw = raw_over_smtp()[0]

    assert findings(raw, bulk=False) == []
    assert b"\r\nBcc" not in raw
    encoded = re.search(rb"^Subject: ((?:.|\n )*)", raw.replace(b"\r", b""), re.MULTILINE)[1]
    subject = str(make_header(decode_header(encoded.decode())))
    assert subject.endswith(" ".join(name.replace("\x01", " ").split()))


def test_a_letter_comes_from_the_sender_of_its_list(sign_up, publication, briefing, letters):
    briefing.sender = Sender.objects.create(
        publication=publication,
        name="Früh, am Morgen",
        email="morning@briefing.example",
        reply_to="desk@harbour.example",
    )
    briefing.save()

    sign_up()
    built = letters()[0].message()

    assert built["From"].addresses[0].display_name == "Früh, am Morgen"
    assert built["From"].addresses[0].addr_spec == "morning@briefing.example"
    assert built["Reply-To"] == "desk@harbour.example"
    assert built["Message-ID"].endswith("@briefing.example>")


def test_without_a_sender_the_house_address_writes(sign_up, publication, letters, settings):
    settings.DEFAULT_FROM_EMAIL = "The desk <desk@paper.example>"
    publication.sender = None
    publication.save()

    sign_up()

    assert letters()[0].from_email == "The desk <desk@paper.example>"
    assert letters()[0].message()["Message-ID"].endswith("@paper.example>")


def test_links_lead_to_the_site_whatever_host_was_asked(client, form, publication, letters):
    publication.site = "https://harbour.example"
    publication.save()

    client.post("/sign-up/", form(), headers={"Host": "localhost"})

    assert "https://harbour.example/c/" in letters()[0].body
    assert "localhost" not in letters()[0].body


def test_a_message_keeps_its_id_when_it_is_tried_again(smtp_server, raw_over_smtp, sign_up):
    smtp_server.answer("DATA", "451 4.3.0 Try again later", times=1)
    sign_up()

    assert raw_over_smtp() == []
    letter = Letter.objects.get()
    assert "451" in letter.error
    assert letter.due_at > timezone.now() + timedelta(seconds=50)
    Letter.objects.update(due_at=Now())
    raw = raw_over_smtp()[0]

    sent = Letter.objects.get()
    assert sent.sent_at is not None
    assert f"Message-ID: {sent.message_id}\r\n".encode() in raw
    assert read(Purpose.LETTER, sent.message_id.strip("<>").partition("@")[0]) == (sent.pk,)


def test_a_mailbox_that_does_not_exist_is_not_asked_again(smtp_server, raw_over_smtp, sign_up):
    smtp_server.answer("RCPT", "550 5.1.1 No such user here")
    sign_up()

    assert raw_over_smtp() == []

    letter = Letter.objects.get()
    assert letter.given_up_at is not None
    assert "550" in letter.error
    assert "No such user here" in letter.error


def test_a_mailbox_that_is_busy_is_asked_again(smtp_server, raw_over_smtp, sign_up):
    smtp_server.answer("RCPT", "450 4.2.0 Greylisted", times=1)
    sign_up()

    raw_over_smtp()

    assert Letter.objects.get().given_up_at is None
    assert "Greylisted" in Letter.objects.get().error


def test_a_server_that_is_away_costs_no_letter(settings, sign_up):
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": "127.0.0.1", "port": 9, "timeout": 1},
        }
    }
    sign_up("ann@example.com")
    sign_up("bob@example.com")

    send_letters()

    assert [letter.attempts for letter in Letter.objects.all()] == [1, 1]
    assert all("refused" in letter.error for letter in Letter.objects.all())
    assert not Letter.objects.due().exists()


def test_pauses_grow_and_end(sign_up, settings):
    settings.MAILERS = {"default": {"BACKEND": "nonesuch.Backend"}}
    sign_up()
    pauses = []
    for _attempt in range(20):
        Letter.objects.filter(given_up_at=None).update(due_at=Now())
        send_letters()
        pauses.append(round((Letter.objects.get().due_at - timezone.now()).total_seconds() / 60))

    assert pauses[:4] == [1, 2, 4, 8]
    assert max(pauses) <= 240
    assert Letter.objects.get().given_up_at is not None
    assert "InvalidMailer" in Letter.objects.get().error


def test_a_letter_that_kills_its_worker_is_given_up_in_the_end(sign_up, letters):
    sign_up("ann@example.com")
    sign_up("bob@example.com")
    Letter.objects.filter(pk=Letter.objects.earliest("pk").pk).update(attempts=12)

    assert [message.to for message in letters()] == [["bob@example.com"]]
    assert Letter.objects.earliest("pk").given_up_at is not None


def test_a_letter_whose_worker_died_is_taken_up_again(sign_up, letters):
    sign_up()
    Letter.objects.claim()
    assert letters() == []

    Letter.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert len(letters()) == 1


def test_an_answered_letter_is_not_sent_late(sign_up, letters, client):
    sign_up()
    Subscription.objects.get().confirm(BY_LINK)

    assert [message.subject.split()[0] for message in letters()] == ["Welcome"]
    assert Letter.objects.get(kind="confirm").given_up_at is not None


@pytest.mark.parametrize("reason", ["complained", "bounced", "not_me", "by_staff"])
def test_an_address_suppressed_meanwhile_is_not_written_to(sign_up, letters, reason):
    sign_up()
    key = Subscriber.objects.get().suppression_key
    Suppression.objects.create(key=key, scope="everything", reason=reason)

    assert letters() == []
    assert Letter.objects.get().given_up_at is not None


def test_a_welcome_for_somebody_gone_again_is_not_sent(subscribe, letters):
    gone = subscribe("ann@example.com")
    Letter.objects.ask(Letter.Kind.WELCOME, gone.subscriber, gone)
    gone.end(Subscription.EndReason.UNSUBSCRIBED, BY_LINK)

    assert letters() == []


def test_the_heartbeat_finds_what_nobody_told_of(sign_up, eager):
    sign_up()

    look_for_due_letters()
    look_for_due_letters()

    assert len(mail.outbox) == 1


def test_letters_in_any_script_are_quoted_printable(sign_up, publication, briefing, letters):
    publication.name = "جريدة الميناء " * 5
    publication.save()
    briefing.name = "نشرة الصباح " * 8
    briefing.save()

    sign_up()
    built = letters()[0].message(policy=SMTP)

    assert findings(built.as_bytes(), bulk=False) == []
    assert {part["Content-Transfer-Encoding"] for part in built.iter_parts()} == {
        "quoted-printable"
    }


def test_letters_speak_the_language_of_the_list(sign_up, briefing, letters, client):
    briefing.language = "ar"
    briefing.save()

    sign_up(language="xx")

    assert '<html lang="ar" dir="rtl">' in letters()[0].alternatives[0].content
    assert Subscriber.objects.get().language == ""


def test_a_reader_is_written_to_in_the_language_of_the_form(sign_up, letters):
    sign_up(language="de")

    assert '<html lang="de" dir="ltr">' in letters()[0].alternatives[0].content
