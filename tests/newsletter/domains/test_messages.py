"""DOM-08, UNS-05, DOM-07: a message read where it arrived, and the link that it carries."""

import contextlib
import http.server
import json
import re
import threading
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from newsletter.domains import hosts
from tests.newsletter.domains.zones import run
from tests.newsletter.test_dkim_keys import write
from tests.newsletter.transports import use
from tests.smtp import certificate

pytestmark = pytest.mark.django_db

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ALL = (
    "from:reply-to:to:subject:date:message-id:feedback-id:list-id:list-unsubscribe:"
    "list-unsubscribe-post"
)
# What stock OpenDKIM signs of a newsletter: RFC 6376, section 5.4.1.
STOCK = "from:reply-to:subject:date:to:list-id:list-help:list-unsubscribe:list-post:list-owner"


@pytest.fixture
def received(tmp_path):
    """Call it with fields on top, and what to change; gives the file of a message that arrived."""

    def received(*fields, names=ALL, domain="harbour.example", without=""):
        head = [
            *fields,
            f"DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=mailjet;\r\n\th={names};",
            "\tbh=x; b=y",
            "From: =?utf-8?q?Harbour?= <news@harbour.example>",
            "To: ann@example.com",
            "Subject: A test",
            "Date: Tue, 24 Nov 2026 06:30:15 +0000",
            "Message-ID: <1@harbour.example>",
            "Feedback-ID: 1:briefing:campaign:harbour",
            "List-Unsubscribe: <https://harbour.example/u/1>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ]
        kept = [line for line in head if not (without and line.startswith(f"{without}:"))]
        path = tmp_path / "received.eml"
        path.write_bytes("\r\n".join([*kept, "", "Hello\r\n"]).encode())
        return str(path)

    return received


PASSED = "Authentication-Results: mx.example; spf=pass; dkim=pass header.d=x; dmarc=pass"


def test_a_message_as_it_should_arrive_is_fine(harbour, check, received):
    findings = check("--received", received(PASSED))

    assert findings.wrong() == set()
    assert findings.of("received.one-click") == {"ok"}
    assert findings.one("received.one-click")["requirement"] == "UNS-05"
    assert findings.one("received.results")["found"].startswith("mx.example; spf=pass")
    assert f"h={ALL}" in findings.one("received.signature")["found"]
    lists = [one["found"] for one in findings if one["check"] == "received.list"]
    assert "List-Unsubscribe: <https://harbour.example/u/1>" in lists


def test_where_bounces_go_is_read_from_the_message(harbour, check, received):
    findings = check("--received", received("Return-Path: <b+x@bnc.mailjet.com>", PASSED))

    assert findings.one("spf.one-record")["found"].startswith("bnc.mailjet.com ")
    assert findings.of("alignment.spf") == {"warning"}


def test_a_stock_opendkim_breaks_one_click_and_is_found(harbour, check, received):
    findings = check("--received", received(PASSED, names=STOCK))

    one_click, covered = findings.one("received.one-click"), findings.one("received.covered")
    assert one_click["level"] == "error"
    assert "leave out List-Unsubscribe-Post:" in one_click["found"]
    assert "harbour.example (mailjet)" in one_click["found"]
    assert "SignHeaders *,+List-Unsubscribe,+List-Unsubscribe-Post" in one_click["remedy"]
    assert covered["level"] == "warning"
    assert "Message-ID, Feedback-ID" in covered["found"]
    assert "one-click unsubscribing no" in findings.one("mailboxes.gmail")["found"]


def test_a_message_that_nobody_signed(harbour, check, received):
    one = check("--received", received(PASSED, without="DKIM-Signature")).one("received.one-click")

    assert (one["level"], one["found"]) == ("error", "Nobody signed the message.")


@pytest.mark.parametrize("name", ["List-Unsubscribe", "List-Unsubscribe-Post"])
def test_a_message_that_lost_its_link_on_the_way(harbour, check, received, name):
    one = check("--received", received(PASSED, without=name)).one("received.one-click")

    assert (one["level"], one["found"]) == ("error", f"The message has arrived without {name}.")


def test_a_signature_of_somebody_else(harbour, check, received):
    findings = check("--received", received(PASSED, domain="relay.test"))

    assert findings.of("received.aligned") == findings.of("dkim.aligned") == {"error"}


@pytest.mark.parametrize("method", ["spf", "dkim", "dmarc"])
def test_what_the_receiver_found_wrong_is_an_error(harbour, check, received, method):
    results = PASSED.replace(f"{method}=pass", f"{method}=fail")
    forged = "Authentication-Results: forged.example; spf=pass; dkim=pass; dmarc=pass"

    findings = check("--received", received(results, forged))

    assert findings.of(f"received.{method}") == {"error"}


def test_a_message_that_no_receiver_looked_at(harbour, check, received):
    assert check("--received", received()).of("received.results") == {"unknown"}


def test_sealing_on_the_way_is_only_noted(harbour, check, received):
    seal = "ARC-Seal: i=1; a=rsa-sha256; d=forwarder.test; s=x; cv=none; b=y"

    one = check("--received", received(PASSED, seal)).one("received.arc")

    assert (one["requirement"], one["level"]) == ("DOM-10", "note")
    assert "forwarder.test" in one["found"]


def test_whatever_is_given_for_a_message_is_read(harbour, check, tmp_path):
    path = tmp_path / "rubbish"
    path.write_bytes(b"\xff\x00 no header\r\n: at all\r\nDKIM-Signature\r\nFrom: @\r\n\xfe")

    assert check("harbour.example", "--received", str(path)).of("received.one-click") == {"error"}


def test_the_message_says_whose_domain_is_checked(harbour, dns, received):
    told, _code = run(dns, "--received", received())

    assert json.loads(told)["sendings"][0]["domain"] == "harbour.example"


@pytest.fixture
def relay_next_door(harbour, smtp_server, settings, briefing):
    use(settings, smtp_server)
    return smtp_server


def test_a_test_is_sent_as_a_campaign_is_and_can_be_read_back(
    relay_next_door, dns, settings, tmp_path, check
):
    settings.DKIM_KEYS = [("harbour.example", "2026a", write(tmp_path / "rsa", RSA))]

    sent = check("harbour.example", "--send-to", "me@example.com").one("sent")

    [received] = relay_next_door.received
    path = tmp_path / "received"
    path.write_bytes(PASSED.encode() + b"\r\n" + received.raw)
    findings = check("--received", str(path))
    assert sent["level"] == "ok"
    assert received.recipients == ["me@example.com"]
    assert received.message["Subject"] == "A test of harbour.example"
    assert re.match(r"<https://localhost:1/", received.message["List-Unsubscribe"])
    assert findings.of("received.one-click") == {"ok"}
    assert findings.of("received.covered") == set()


def test_a_test_that_cannot_be_sent_says_why(relay_next_door, dns, check):
    relay_next_door.answer("RCPT", "550 5.1.1 No such user")

    one = check("harbour.example", "--send-to", "me@example.com").one("sent")

    assert one["level"] == "error"
    assert "No such user" in one["found"]


def test_a_sender_of_no_list_sends_no_test(relay_next_door, dns, check, briefing):
    briefing.delete()

    assert check("harbour.example", "--send-to", "me@example.com").of("sent") == {"error"}


# The link, tried


@contextlib.contextmanager
def site(context, status):
    """Answers every POST so; `bodies` keeps what came."""
    bodies = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_words):
            """Tests are quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_request: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}/u/token", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [
        (200, "ok", "is answered 200"),
        (202, "ok", "is answered 202"),
        (301, "error", "redirects"),
        (403, "error", "with 403"),
        (500, "error", "with 500"),
    ],
)
def test_the_link_is_posted_to(tmp_path, monkeypatch, status, level, words):
    path, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    with site(context, status) as (url, bodies):
        [finding] = hosts.check_unsubscribing(url)

    assert finding.level == level
    assert words in finding.found
    assert bodies == [b"List-Unsubscribe=One-Click"]


def test_a_site_that_nobody_vouches_for_is_an_error(tmp_path):
    _path, context = certificate(tmp_path)

    with site(context, 200) as (url, bodies):
        [finding] = hosts.check_unsubscribing(url)

    assert finding.level == "error"
    assert "could not be trusted" in finding.found
    assert bodies == []


def test_a_site_without_tls_is_an_error_and_one_out_of_reach_is_unknown():
    [plain] = hosts.check_unsubscribing("http://localhost:8000/u/token")
    [silent] = hosts.check_unsubscribing("https://localhost:1/u/token")

    assert (plain.check, plain.level) == ("unsubscribe.tls", "error")
    assert silent.level == "unknown"


def test_the_link_that_is_tried_is_answered_and_unsubscribes_nobody(client, subscribe):
    subscription = subscribe("ann@example.com")
    url = hosts.unsubscribe_url(subscription.mailing_list.publication)

    answer = client.post(urlsplit(url).path, {"List-Unsubscribe": "One-Click"})

    subscription.refresh_from_db()
    assert answer.status_code == 200
    assert subscription.ended_at is None
