"""DOM-05 to DOM-07, DOM-09: the machines, the houses, and what else may be published."""

import pytest

from newsletter.domains import mailboxes
from tests.newsletter.domains.zones import RIGHT, dmarc, envelope

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("records", "level"),
    [
        (["relay.harbour.example. A 9.9.9.9"], "ok"),
        (["relay.harbour.example. A 9.9.9.10"], "error"),
        ([], "error"),
    ],
)
def test_a_relay_has_a_name_that_leads_back(relay, check, records, level):
    relay.zones["relay.harbour.example"] = ["relay.harbour.example. A 9.9.9.9"]
    relay.zones["9.9.9.9.in-addr.arpa"] = ["9.9.9.9.in-addr.arpa. PTR out.harbour.example."]
    relay.zones["out.harbour.example"] = [record.replace("relay.", "out.", 1) for record in records]

    assert check().of("ptr") == {level}


def test_a_relay_without_a_name(relay, check):
    del relay.zones["9.9.9.9.in-addr.arpa"]

    assert check().one("ptr")["record"] == {
        "name": "9.9.9.9.in-addr.arpa",
        "kind": "PTR",
        "value": "relay.harbour.example.",
        "zone_line": "9.9.9.9.in-addr.arpa. PTR relay.harbour.example.",
    }


def test_mail_in_the_clear_over_the_internet_is_an_error(relay, check):
    assert check().of("tls") == {"error"}


@pytest.mark.parametrize("host", ["127.0.0.1", "relay", "near.harbour.example"])
def test_a_relay_next_door_is_not_seen_from_outside(relay, check, settings, host):
    settings.MAILERS["default"]["OPTIONS"]["host"] = host
    relay.publish("near.harbour.example. A 10.0.0.7")

    findings = check()

    assert findings.of("ptr") == {"unknown"}
    assert findings.of("tls") == {"ok"}


@pytest.mark.parametrize("trusted", [True, False])
def test_the_certificate_of_the_mail_server_is_looked_at(
    harbour, check, settings, request, trusted, monkeypatch
):
    server = request.getfixturevalue("strict_smtp_server")
    if not trusted:
        monkeypatch.delenv("SSL_CERT_FILE")
    settings.MAILERS = {
        "default": {
            "BACKEND": "newsletter.delivery.transports.smtp.EmailBackend",
            "OPTIONS": {
                "host": "localhost",
                "port": server.port,
                "use_tls": True,
                "username": "desk@harbour",
                "password": "p/ss:w@rd%",
            },
        }
    }

    assert check().of("tls") == ({"ok"} if trusted else {"error"})


def test_a_mail_server_that_is_not_there_is_unknown(relay, check, settings):
    settings.MAILERS["default"]["OPTIONS"] = {"host": "127.0.0.1", "port": 1, "use_tls": True}

    assert check().of("tls") == {"unknown"}


def test_a_refused_sign_in_is_an_error(strict_smtp_server, harbour, check, settings):
    options = {"host": "localhost", "port": strict_smtp_server.port, "use_tls": True}
    settings.MAILERS = {
        "default": {
            "BACKEND": "newsletter.delivery.transports.smtp.EmailBackend",
            "OPTIONS": {**options, "username": "desk", "password": "wrong"},
        }
    }

    assert check().of("tls") == {"error"}


def test_each_house_is_told_what_is_met(harbour, check):
    dmarc(harbour)

    findings = check()

    for house in ["gmail", "yahoo", "microsoft", "apple"]:
        one = findings.one(f"mailboxes.{house}")
        assert one["level"] == "error"
        assert "SPF yes, DKIM yes, DMARC no" in one["found"]
    assert findings.one("mailboxes.gmail")["requirement"] == "DOM-05"
    assert findings.one("mailboxes.apple")["requirement"] == "DOM-06"


def test_what_nobody_looked_at_is_unknown_to_the_houses():
    [gmail, *_others] = mailboxes.summaries([])

    assert gmail.level == "unknown"


@pytest.mark.parametrize(
    ("records", "level"),
    [
        (["harbour.example. MX 10 mx.harbour.example."], "ok"),
        (["harbour.example. A 198.51.100.7"], "warning"),
        (["harbour.example. MX 0 ."], "error"),
        (["harbour.example. MX 10 gone.harbour.example."], "error"),
        (
            [
                "harbour.example. MX 10 mx.harbour.example.",
                "harbour.example. MX 20 gone.harbour.example.",
            ],
            "warning",
        ),
        ([], "error"),
    ],
)
def test_replies_must_find_somebody(harbour, check, records, level):
    harbour.zones["harbour.example"] = [f'harbour.example. TXT "{RIGHT}"', *records]

    assert check().of("mx") == {level}


def test_bounces_must_find_somebody(harbour, check, publication):
    envelope(publication, "bounces.harbour.example")

    findings = [one for one in check() if one["check"] == "mx"]

    assert [one["level"] for one in findings] == ["ok", "error"]
    assert findings[0]["found"].startswith("From, Replies: mail to harbour.example goes")
    assert findings[1]["found"].startswith("Bounces: bounces.harbour.example has neither")


def test_answers_to_another_domain_must_find_somebody_too(harbour, check, publication):
    publication.sender.reply_to = "desk@quay.example"
    publication.sender.save()

    findings = [one for one in check() if one["check"] == "mx"]

    assert [one["level"] for one in findings] == ["ok", "error"]
    assert findings[1]["found"].startswith("Replies: quay.example")


def test_what_may_be_published_besides_is_only_noted(harbour, check):
    findings = check()

    assert findings.of("extras.bimi") == {"note"}
    assert findings.of("extras.mta-sts") == findings.of("extras.tls-rpt") == {"note"}


@pytest.mark.parametrize(("asked", "level"), [("none", "warning"), ("reject", "note")])
def test_a_logo_needs_a_policy(harbour, check, asked, level):
    dmarc(harbour, f"v=DMARC1; p={asked}; rua=mailto:a@harbour.example")
    harbour.publish(
        'default._bimi.harbour.example. TXT "v=BIMI1; l=https://harbour.example/logo.svg"'
    )

    assert check().of("extras.bimi") == {level}
