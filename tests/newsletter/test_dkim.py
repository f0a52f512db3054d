"""What leaves over SMTP is signed: any receiver can verify it, and nothing in it can be changed."""

import datetime
import re
import threading

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from django.core import mail
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from newsletter import dkim
from newsletter.content import Mailing, Reader, compile_versions
from newsletter.delivery.outcomes import Fate
from newsletter.delivery.transports import Transports
from newsletter.delivery.transports.smtp.letters import Letter as SmtpLetter
from newsletter.models import Version
from subscribers import emails
from subscribers.models import Letter, Renewal, Subscriber, Suppression, Terms
from tests.newsletter.sending import confirmed_readers, start, statuses, work
from tests.newsletter.test_content_properties import names
from tests.newsletter.test_dkim_keys import write
from tests.newsletter.transports import hand_over, messages, ours, use, wait_for
from tests.rfc import findings

AT = datetime.datetime(2026, 11, 24, 6, 30, 15, tzinfo=datetime.UTC)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def keys(settings, tmp_path):
    """Harbour signs with both kinds."""
    settings.DKIM_KEYS = [
        ("harbour.example", "2026a", write(tmp_path / "rsa.pem", RSA)),
        ("harbour.example", "2026b", write(tmp_path / "ed25519.pem", ED25519)),
    ]
    return dkim.keys_of("harbour.example")


@pytest.fixture
def server(smtp_server, settings):
    use(settings, smtp_server)
    return smtp_server


@pytest.fixture
def letters_server(server, settings):
    """As EMAIL_URL would have it."""
    backend = "newsletter.delivery.transports.smtp.EmailBackend"
    settings.MAILERS["default"]["BACKEND"] = backend
    return server


@pytest.fixture
def awkward(campaign, publication, settings):
    """Names and subjects that no header holds as they are, dots at the beginning of lines."""
    publication.sender.name = "Håfen-Pöst, “täglich” 📰"
    publication.sender.reply_to = "editors@harbour.example"
    publication.sender.save()
    publication.site = f"https://{'a-long-name.' * 12}harbour.example"
    settings.ALLOWED_HOSTS = [".harbour.example"]
    publication.save()
    campaign.subject = "Für {{ name|dich }}:  größere Fähren, " + "später als gedacht " * 5
    campaign.save()
    article = campaign.entries.get().article
    article.body = "<p>.</p><p>..two</p><p>.three</p><p>" + ". . .dots " * 60 + "</p>"
    article.save()
    return campaign


def verdicts(raw, public):
    """Of each signature in the message, by the algorithm: whether it verifies."""

    def answer(name, timeout=5):
        return records.get(name.decode().rstrip("."))

    records = {key.host: key.record.encode() for key in public}
    found = {}
    for place, name in enumerate(signature_names(raw)):
        try:
            found[name] = dkimpy.DKIM(raw).verify(place, dnsfunc=answer)
        except dkimpy.ValidationError:
            found[name] = False
    return found


def signature_names(raw):
    return re.findall(rb"^DKIM-Signature: v=1; a=([a-z0-9-]+);", raw, re.M)


def signed_names(raw):
    [first, *_others] = re.findall(rb"\bh=([^;]*);", raw)
    return re.sub(rb"\s", b"", first).decode().split(":")


BOTH = {b"rsa-sha256": True, b"ed25519-sha256": True}
NONE = {b"rsa-sha256": False, b"ed25519-sha256": False}


def test_a_campaign_over_smtp_verifies_with_both_keys(awkward, briefing, server, keys):
    confirmed_readers(50, briefing)
    Subscriber.objects.filter(address="reader7@example.org").update(name="Zoë  von  Köln " * 5)
    start(awkward)

    work()

    assert {verdict for verdict, _code in statuses(awkward).values()} == {"sent"}
    assert len(server.received) == 50
    for received in server.received:
        assert verdicts(received.raw, keys) == BOTH
        assert findings(received.raw) == []
        assert b"\r\n." in received.raw


@pytest.mark.parametrize(("number", "name"), [(0, b"rsa-sha256"), (1, b"ed25519-sha256")])
def test_one_key_signs_alone(campaign, server, keys, settings, number, name):
    settings.DKIM_KEYS = [settings.DKIM_KEYS[number]]

    hand_over(messages(campaign, 1))

    assert verdicts(server.received[0].raw, keys) == {name: True}


def test_who_has_no_key_signs_nothing(campaign, server, keys, settings):
    settings.DKIM_KEYS = [("quay.example", "a", settings.DKIM_KEYS[0][2])]

    hand_over(messages(campaign, 1))

    assert b"DKIM-Signature" not in server.received[0].raw


def test_without_keys_nothing_is_hashed_and_no_thread_is_asked(campaign, monkeypatch):
    monkeypatch.setattr(dkim.Signer, "sign", None)
    mailing = Mailing(compile_versions(campaign)[0])

    assert not mailing.takes_long
    assert mailing.smtp_message(Reader(7, "ann@example.com", "Ann", 1), AT)


def test_the_signature_is_by_the_domain_that_the_mail_is_from(campaign, server, keys, publication):
    publication.sender.email = "news@mail.harbour.example"
    publication.sender.save()

    hand_over(messages(campaign, 1))

    assert b"d=harbour.example; s=2026a;" in server.received[0].raw
    assert verdicts(server.received[0].raw, keys) == BOTH


def test_the_nearest_domain_signs(keys, settings):
    nearer = ("mail.harbour.example", "near", settings.DKIM_KEYS[0][2])
    settings.DKIM_KEYS = [*settings.DKIM_KEYS, nearer]

    assert [key.selector for key in dkim.keys_of("mail.harbour.example")] == ["near"]
    assert [key.selector for key in dkim.keys_of("a.Mail.harbour.example")] == ["near"]
    assert [key.selector for key in dkim.keys_of("harbour.example")] == ["2026a", "2026b"]
    assert dkim.keys_of("yharbour.example") == dkim.keys_of("example") == dkim.keys_of("") == ()


COVERED = [
    *["From", "Reply-To", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"],
    *["Feedback-ID", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe"],
    *["List-Archive", "List-Help", "List-Owner", "List-Post"],
]


@pytest.fixture
def raw(awkward, keys):
    """A signed message."""
    mailing = Mailing(compile_versions(awkward)[0])
    reader = Reader(7, "ann@example.com", "Zoë", awkward.mailing_lists.get().pk)
    wire = mailing.smtp_message(reader, AT)
    return wire.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")


@pytest.mark.parametrize("name", COVERED)
def test_every_header_that_counts_is_covered(raw, keys, name):
    field = re.search(rb"(?m)^%s: .*\r\n(?:[ \t].*\r\n)*" % name.encode(), raw)[0]
    changed = raw.replace(field, re.sub(rb"[A-Za-z0-9](?=\W*\Z)", b"-", field))
    without = raw.replace(field, b"")

    assert name in signed_names(raw)
    assert verdicts(raw, keys) == BOTH
    assert raw not in {changed, without}
    assert verdicts(changed, keys) == verdicts(without, keys) == NONE


ONCE = [*COVERED[:8], "Cc", "List-Unsubscribe", "List-Unsubscribe-Post"]


@pytest.mark.parametrize("name", ONCE)
def test_a_second_header_on_top_breaks_the_signature(raw, keys, name):
    assert verdicts(f"{name}: <https://bad.example>\r\n".encode() + raw, keys) == NONE


def test_a_changed_body_breaks_the_signature(raw, keys):
    assert verdicts(raw.replace(b"Harbour Post Ltd", b"Harbour Post Inc"), keys) == NONE
    assert verdicts(raw.replace(b"\r\n.", b"\r\n..", 1), keys) == NONE


def test_a_relay_may_fold_headers_anew_and_add_its_own(raw, keys):
    refolded = raw.replace(b"\r\nSubject: ", b"\r\nSUBJECT:  \r\n\t", 1)
    added = b"Received: from here by there; Tue, 24 Nov 2026 06:30:15 +0000\r\n"

    assert verdicts(added + refolded, keys) == BOTH


@given(name=names)
@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_a_reader_is_called_the_signature_verifies(awkward, keys, name):
    mailing = Mailing(compile_versions(awkward)[0])

    wire = mailing.smtp_message(Reader(7, "ann@example.com", name, 1), AT)

    raw = wire.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
    assert verdicts(raw, keys) == BOTH


def test_a_body_that_begins_with_a_slot_verifies(campaign, briefing, keys):
    version = compile_versions(campaign)[0]
    head, _end, _body = bytes(version.message).partition(b"\r\n\r\n")
    body = "\ufdd0name:46726965:text\ufdd1=\r\n, hello\r\n"
    bare = Version(campaign=campaign, mailing_list=briefing)
    bare.message = head + b"\r\n\r\n" + body.encode()

    wire = Mailing(bare).smtp_message(Reader(7, "ann@example.com", "", 1), AT)

    assert verdicts(wire.removesuffix(b".\r\n"), keys) == BOTH


@pytest.fixture
def signing_threads(monkeypatch):
    """The names of those that signed."""
    threads = []
    usual = dkim.Key.sign

    def sign(key, digest):
        threads.append(threading.current_thread().name.partition("_")[0])
        return usual(key, digest)

    monkeypatch.setattr(dkim.Key, "sign", sign)
    return threads


def test_rsa_is_signed_beside_the_loop_that_talks(campaign, server, keys, signing_threads):
    account = hand_over(messages(campaign, 20))

    assert account.fates() == {Fate.SENT: 20}
    assert signing_threads == ["dkim"] * 40


def test_ed25519_is_signed_by_the_loop(campaign, server, keys, settings, signing_threads):
    settings.DKIM_KEYS = settings.DKIM_KEYS[1:]

    hand_over(messages(campaign, 5))

    assert signing_threads == ["smtp"] * 5


def test_a_letter_said_again_is_not_signed_again(campaign, server, keys, monkeypatch):
    [message] = messages(campaign, 1)
    letter = SmtpLetter(message, ours)
    letter.fill_already()
    monkeypatch.setattr(dkim.Signer, "sign", None)

    letter.fill()

    assert letter.body.startswith(b"DKIM-Signature")


def test_an_address_that_no_header_can_hold_fails_alone_when_signed(campaign, server, keys):
    bad, good = messages(campaign, 2)
    bad = bad._replace(reader=bad.reader._replace(address="a b@example.com"))

    account = hand_over([bad, good])

    assert account.of(1).code == "address"
    assert account.fate(2) is Fate.SENT


def test_an_unreachable_server_is_told_once_for_all_that_are_signed(campaign, settings, keys):
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": "127.0.0.1", "port": 1, "timeout": 5},
        }
    }

    with Transports() as transports:
        transports["default"].take(messages(campaign, 40), ours)
        account = wait_for(transports, 40)

    assert account.fates() == {Fate.RETURNED: 40}
    assert len(account.errors) == 1


# Letters


@pytest.mark.parametrize("kind", Letter.Kind.values)
def test_letters_over_smtp_verify(letters_server, keys, subscribe, publication, kind):
    publication.sender.name = "Håfen-Pöst"
    publication.sender.reply_to = "editors@harbour.example"
    publication.sender.save()
    subscription = subscribe("ann@example.com")
    if kind == Letter.Kind.CONFIRM:
        type(subscription).objects.update(confirmed_at=None)
        subscription.refresh_from_db()
    if kind == Letter.Kind.LIFT:
        Suppression.objects.refuse(subscription.subscriber.suppression_key, "a test")
    if kind == Letter.Kind.TERMS:
        newest = Terms.objects.create(publication=publication, number=2, text="As before.")
        Renewal.objects.create(terms=newest, summary="Nothing.")
    letter = Letter.objects.create(
        kind=kind, subscriber=subscription.subscriber, subscription=subscription, abuse_key="x"
    )

    emails.send(letter)

    [received] = letters_server.received
    assert verdicts(received.raw, keys) == BOTH
    signed = set(signed_names(received.raw))
    assert {"From", "To", "Subject", "Date", "Message-ID", "Reply-To"} <= signed
    assert received.message["To"] == "ann@example.com"


def test_what_bounces_elsewhere_is_signed_by_whom_it_is_from(
    letters_server, keys, subscribe, publication, campaign
):
    publication.sender.bounce_domain = "bounces.quay.example"
    publication.sender.save()
    subscription = subscribe("ann@example.com")
    letter = Letter.objects.create(
        kind="welcome", subscriber=subscription.subscriber, abuse_key="x"
    )

    emails.send(letter)
    hand_over(messages(campaign, 1))

    assert len(letters_server.received) == 2
    for received in letters_server.received:
        assert received.mail_from.endswith("@bounces.quay.example")
        assert b"mailto:" in received.raw
        assert verdicts(received.raw, keys) == BOTH


def test_a_letter_with_dots_and_empty_lines_at_its_end_verifies(letters_server, keys):
    body = ".\n..\n. a\n\n\n\n"
    mail.EmailMessage("Subject", body, "news@harbour.example", ["ann@example.com"]).send()

    [received] = letters_server.received
    assert verdicts(received.raw, keys) == BOTH


def test_a_letter_whose_sender_has_no_key_leaves_as_it_is(letters_server, keys):
    mail.EmailMessage("Subject", "Hello", "news@quay.example", ["ann@example.com"]).send()

    assert b"DKIM-Signature" not in letters_server.received[0].raw


def test_a_name_that_stands_twice_is_signed_from_the_bottom_up(keys):
    raw = b"List-X: one\r\nFrom: news@harbour.example\r\nList-X: two\r\n\r\nHello\r\n"

    assert verdicts(dkim.signed(raw), keys) == BOTH
