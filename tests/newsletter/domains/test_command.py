"""check_domain as a whole: what it says, to whom, and when nobody answers (DOM-11)."""

import json

import pytest
from django.core.management import CommandError, call_command

from subscribers import name_servers
from tests.newsletter.domains.zones import run, spf

pytestmark = pytest.mark.django_db


def test_a_domain_as_it_should_be_is_fine(harbour, check):
    findings = check()

    assert findings.wrong() == set()
    assert findings.of("spf.mailer") == {"ok"}
    assert findings.of("dkim.key") == {"ok"}
    assert findings.of("dmarc.record") == {"ok"}
    assert (findings.of("alignment.spf"), findings.of("alignment.dkim")) == ({"note"}, {"ok"})
    assert findings.of("mx") == findings.of("tls") == {"ok"}


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits long for a name server."""
    monkeypatch.setattr(name_servers, "_PATIENCE", 0.4)
    monkeypatch.setattr(name_servers, "_ONE_TRY", 0.2)


@pytest.mark.parametrize("misbehaviour", ["silence", "servfail", "rubbish"])
@pytest.mark.parametrize(
    ("name", "check_name"),
    [
        ("harbour.example", "spf.answer"),
        ("spf.mailjet.com", "spf.answer"),
        ("mailjet._domainkey.harbour.example", "dkim.answer"),
        ("_dmarc.harbour.example", "dmarc.answer"),
        ("mx.harbour.example", "mx.answer"),
        ("default._bimi.harbour.example", "extras.answer"),
    ],
)
def test_no_answer_is_unknown_and_never_wrong(
    harbour, impatient, check, name, check_name, misbehaviour
):
    harbour.zones[name] = misbehaviour

    findings = check()

    assert "error" not in {one["level"] for one in findings}
    assert findings.of(check_name) == {"unknown"}


def test_a_record_of_four_kilobytes_in_many_strings_is_read(harbour, check):
    networks = " ".join(f"ip4:10.{number // 200}.{number % 200}.0/24" for number in range(230))
    spf(harbour, f"v=spf1 {networks} include:spf.mailjet.com -all")

    findings = check()

    assert findings.wrong() == set()
    assert len(findings.one("spf.one-record")["found"]) > 4000


def test_a_report_can_be_read_by_a_person(harbour, dns):
    del harbour.zones["_dmarc.harbour.example"]

    told, code = run(dns, "harbour.example", as_json=False)

    assert code == 1
    assert told.startswith(
        "harbour.example, bounces to harbour.example, mailer “default” (Mailjet)"
    )
    assert "DOM-01  SPF" in told
    assert "  ok       harbour.example has one record: v=spf1" in told
    assert "  ERROR    Neither harbour.example nor a domain above it has a DMARC record." in told
    assert '             _dmarc.harbour.example. TXT "v=DMARC1; p=none;' in told
    assert told.rstrip().endswith("unknown.")


def test_a_program_can_rely_on_what_it_reads(harbour, dns):
    first, _code = run(dns)
    again, _code = run(dns)

    document = json.loads(first)
    assert first == again
    assert document["version"] == 1
    [sending] = document["sendings"]
    assert list(sending) == [
        *["domain", "envelope_domain", "mailer", "host", "provider", "counts", "findings"]
    ]
    assert {tuple(one) for one in sending["findings"]} == {
        ("requirement", "check", "level", "found", "remedy", "record")
    }
    assert set(sending["counts"]) == {"ok", "note", "warning", "unknown", "error"}
    numbers = [one["requirement"] for one in sending["findings"]]
    assert numbers == sorted(numbers)


def test_without_a_name_every_sender_is_checked(harbour, dns, publication):
    publication.senders.create(name="Quay", email="desk@quay.example")

    told, _code = run(dns, "--sender", "desk@quay.example")
    all_told, _code = run(dns, "--selector", "mailjet")

    assert [one["domain"] for one in json.loads(told)["sendings"]] == ["quay.example"]
    domains = [one["domain"] for one in json.loads(all_told)["sendings"]]
    assert domains == ["harbour.example", "quay.example"]


def test_every_mailer_of_a_sender_is_checked(relay, dns, settings, publication):
    provider = {"BACKEND": "anymail.backends.mailjet.EmailBackend"}
    settings.MAILERS = settings.MAILERS | {"letters": provider, "other": provider}
    publication.sender.letter_mailer, publication.sender.standby = "letters", "gone"
    publication.sender.save()

    told, _code = run(dns)

    sendings = json.loads(told)["sendings"]
    assert [(one["mailer"], one["provider"]) for one in sendings] == [
        ("default", ""),
        ("letters", "Mailjet"),
    ]


def test_a_sender_whose_mailers_are_gone_is_told(harbour, dns, publication):
    publication.sender.mailer = "gone"
    publication.sender.save()

    with pytest.raises(CommandError, match="None of the sender's mailers"):
        run(dns)


def test_a_sender_or_file_or_name_server_that_is_none_is_told(harbour, dns, tmp_path):
    for words in [
        ["--sender", "nobody@harbour.example"],
        ["--resolver", "dns.example"],
        ["--resolver", "127.0.0.1:0"],
        ["--received", str(tmp_path / "missing")],
        ["elsewhere.test", "--send-to", "me@example.com"],
        ["a..example"],
    ]:
        with pytest.raises(CommandError):
            call_command("check_domain", "--resolver", dns.address, *words)


def test_a_domain_in_other_letters_is_asked_for_in_ascii(harbour, dns):
    told, _code = run(dns, "häfen.example")

    assert json.loads(told)["sendings"][0]["domain"] == "xn--hfen-loa.example"
    assert ("xn--hfen-loa.example", "TXT") in harbour.questions


def test_a_key_that_cannot_be_read_is_told_in_words(relay, dns, settings, tmp_path):
    settings.DKIM_KEYS = [("harbour.example", "2026a", tmp_path / "missing")]

    with pytest.raises(CommandError, match=r"DKIM_KEYS: .* cannot be read"):
        run(dns, "harbour.example")
