"""What check_domain finds wrong in the DNS, by each requirement: right, wrong, and unknown."""

import json
from io import StringIO

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from django.core.management import CommandError, call_command

from newsletter import dkim
from newsletter.domains import hosts, mailboxes
from subscribers import name_servers
from tests.name_server import answering
from tests.newsletter.test_dkim import write

pytestmark = pytest.mark.django_db

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
RIGHT = "v=spf1 ip4:198.51.100.0/24 include:spf.mailjet.com -all"


@pytest.fixture
def dns(monkeypatch):
    """A name server that nobody waits long for."""
    monkeypatch.setattr(name_servers, "_PATIENCE", 0.4)
    monkeypatch.setattr(name_servers, "_ONE_TRY", 0.2)
    with answering() as server:
        yield server


@pytest.fixture
def key(tmp_path):
    return dkim.load("harbour.example", "mailjet", write(tmp_path / "key", RSA))


@pytest.fixture
def harbour(dns, key, settings, publication, monkeypatch):
    """A domain as it should be, sending by Mailjet; `publish` and `zones` change it."""
    settings.MAILERS = {"default": {"BACKEND": "anymail.backends.mailjet.EmailBackend"}}
    settings.ANYMAIL = {"MAILJET_API_KEY": "k", "MAILJET_SECRET_KEY": "s"}
    monkeypatch.setattr(hosts, "check_unsubscribing", lambda _url: iter(()))
    dns.publish(
        f'harbour.example. TXT "{RIGHT}"',
        'harbour.example. TXT "some-other-site-verification=1"',
        "harbour.example. MX 10 mx.harbour.example.",
        "mx.harbour.example. A 198.51.100.7",
        txt("mailjet._domainkey.harbour.example", key.record),
        '_dmarc.harbour.example. TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc@harbour.example"',
        'spf.mailjet.com. TXT "v=spf1 ip4:203.0.113.0/24 ?all"',
    )
    return dns


def txt(name, value):
    """A TXT record in strings of 255."""
    pieces = [value[start : start + 255] for start in range(0, len(value), 255)]
    return f"{name}. TXT " + " ".join(f'"{piece}"' for piece in pieces)


@pytest.fixture
def check(dns):
    """Call it with the command's arguments: its findings by check, the worst of each first."""

    def check(*words, **options):
        told, code = run(dns, *words, **options)
        document = json.loads(told)
        [sending] = document["sendings"]
        is_wrong = any(one["level"] == "error" for one in sending["findings"])
        assert code == (1 if is_wrong else 0)
        return Findings(sending["findings"])

    return check


class Findings(list):
    def of(self, check):
        """Levels of what was looked at."""
        return {one["level"] for one in self if one["check"] == check}

    def one(self, check):
        [one] = [one for one in self if one["check"] == check]
        return one

    def wrong(self):
        """Everything that is not fine, but for what is summed up."""
        return {
            one["check"]
            for one in self
            if one["level"] in {"error", "warning", "unknown"}
            and not one["check"].startswith("mailboxes.")
        }


def run(dns, *words, as_json=True):
    out = StringIO()
    words = words or ["harbour.example"]
    shape = ["--json"] if as_json else []
    try:
        call_command("check_domain", *words, "--resolver", dns.address, *shape, stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


def spf(dns, text, *others):
    dns.zones["harbour.example"] = [
        record for record in dns.zones["harbour.example"] if "v=spf1" not in record
    ]
    dns.publish(txt("harbour.example", text), *others)


def test_a_domain_as_it_should_be_is_fine(harbour, check):
    findings = check()

    assert findings.wrong() == {"unsubscribe"} - {"unsubscribe"}
    assert findings.of("spf.mailer") == {"ok"}
    assert findings.of("dkim.key") == {"ok"}
    assert findings.of("dmarc.record") == {"ok"}
    assert findings.of("alignment.spf") == findings.of("alignment.dkim") == {"ok"}
    assert findings.of("mx") == findings.of("tls") == {"ok"}


# DOM-01


def test_without_spf_the_record_to_publish_is_said(harbour, check):
    spf(harbour, "v=spf10 -all")

    one = check().one("spf.one-record")

    assert (one["requirement"], one["level"]) == ("DOM-01", "error")
    assert one["record"]["zone_line"] == (
        'harbour.example. TXT "v=spf1 include:spf.mailjet.com ~all"'
    )


def test_two_records_are_merged_into_one(harbour, check):
    harbour.publish('harbour.example. TXT "v=spf1 mx ip4:198.51.100.0/24 ~all"')

    one = check().one("spf.one-record")

    assert one["level"] == "error"
    assert one["record"]["value"] == ("v=spf1 ip4:198.51.100.0/24 include:spf.mailjet.com mx ~all")


def chain(dns, length):
    """So many lookups: each includes the next."""
    dns.publish(
        *[
            f'{number}.spf.example. TXT "v=spf1 include:{number + 1}.spf.example -all"'
            for number in range(1, length)
        ],
        f'{length}.spf.example. TXT "v=spf1 ip4:192.0.2.1 -all"',
    )
    spf(dns, "v=spf1 include:spf.mailjet.com include:1.spf.example -all")


@pytest.mark.parametrize(("length", "level"), [(9, "ok"), (10, "error")])
def test_ten_lookups_are_the_most(harbour, check, length, level):
    chain(harbour, length)

    findings = check()

    assert findings.of("spf.lookups") == {level}
    assert findings.one("spf.lookups")["found"].startswith(f"{length + 1} of 10 lookups")


def test_mechanisms_that_ask_are_counted_and_those_that_do_not_are_not(harbour, check):
    harbour.publish("a.example. A 192.0.2.1")
    spf(
        harbour,
        "v=spf1 a:a.example mx ptr exists:%{i}.x.example ip4:192.0.2.1 ip6:2001:db8::/32 "
        "exp=why.example redirect=gone.example include:spf.mailjet.com ~all",
    )

    findings = check()

    assert findings.one("spf.lookups")["found"] == "5 of 10 lookups."
    assert findings.wrong() == {"spf.ptr"}


@pytest.mark.parametrize(("names", "level"), [(1, "warning"), (2, "warning"), (3, "error")])
def test_two_lookups_may_lead_nowhere(harbour, check, names, level):
    gone = " ".join(f"a:gone{number}.example" for number in range(names))
    spf(harbour, f"v=spf1 {gone} include:spf.mailjet.com -all")

    assert check().of("spf.voids") == {level}


@pytest.mark.parametrize(
    ("ends", "level"),
    [("+all", "error"), ("all", "error"), ("?all", "warning"), ("", "warning"), ("~all", "ok")],
)
def test_what_is_said_of_all_others(harbour, check, ends, level):
    spf(harbour, f"v=spf1 include:spf.mailjet.com {ends}".strip())

    assert check().of("spf.all") == {level}


def test_an_included_record_may_not_let_everybody_in(harbour, check):
    harbour.zones["spf.mailjet.com"] = ['spf.mailjet.com. TXT "v=spf1 +all"']

    one = check().one("spf.all")

    assert one["level"] == "error"
    assert "spf.mailjet.com" in one["found"]


def test_what_a_redirect_leads_to_counts_as_our_own(harbour, check):
    spf(harbour, "v=spf1 redirect=_spf.harbour.example")
    harbour.publish('_spf.harbour.example. TXT "v=spf1 include:spf.mailjet.com -all"')

    findings = check()

    assert findings.wrong() == set()
    assert findings.one("spf.lookups")["found"] == "2 of 10 lookups."


@pytest.mark.parametrize(
    "term",
    ["ip4:1.2.3", "ip4:2001:db8::1", "ip6:1.2.3.4", "include:", "inlcude:x.example", "all:x", "a="],
)
def test_a_broken_term_breaks_the_record(harbour, check, term):
    spf(harbour, f"v=spf1 {term} include:spf.mailjet.com -all")

    expected = set() if term == "a=" else {"error"}
    assert check().of("spf.syntax") == expected


@pytest.mark.parametrize(
    "target",
    [
        "nothing.example. A 192.0.2.1",
        'nothing.example. TXT "v=spf1 include:harbour.example -all"',
        'nothing.example. TXT "no spf"',
    ],
)
def test_what_is_included_must_have_a_record_and_not_lead_back(harbour, check, target):
    spf(harbour, "v=spf1 include:nothing.example include:spf.mailjet.com -all", target)

    assert check().of("spf.include") == {"error"}


def test_the_provider_must_be_included(harbour, check):
    spf(harbour, "v=spf1 ip4:198.51.100.0/24 -all")

    one = check().one("spf.mailer")

    assert one["level"] == "error"
    assert one["record"]["value"] == ("v=spf1 ip4:198.51.100.0/24 include:spf.mailjet.com -all")


def test_an_envelope_that_is_the_providers_alias_needs_no_include(harbour, check, publication):
    publication.sender.bounce_domain = "bnc.harbour.example"
    publication.sender.save()
    harbour.publish(
        "bnc.harbour.example. CNAME bnc3.mailjet.com.",
        'bnc3.mailjet.com. TXT "v=spf1 ip4:203.0.113.0/24 -all"',
        "bnc3.mailjet.com. MX 10 mx.harbour.example.",
    )

    findings = check()

    assert findings.wrong() == set()
    assert "alias" in findings.one("spf.mailer")["found"]


def test_spf_is_that_of_the_envelope(harbour, check, publication):
    publication.sender.bounce_domain = "bounces.harbour.example"
    publication.sender.save()

    one = check().one("spf.one-record")

    assert one["record"]["name"] == "bounces.harbour.example"


@pytest.fixture
def relay(harbour, settings):
    """Sending by a relay of our own at a public address."""
    settings.MAILERS = {
        "default": {
            "BACKEND": "newsletter.delivery.transports.smtp.EmailBackend",
            "OPTIONS": {"host": "relay.harbour.example", "port": 1},
        }
    }
    harbour.publish(
        "relay.harbour.example. A 9.9.9.9",
        "9.9.9.9.in-addr.arpa. PTR relay.harbour.example.",
    )
    spf(harbour, "v=spf1 a:relay.harbour.example -all")
    return harbour


def test_a_relay_must_be_named(relay, check):
    assert check().of("spf.mailer") == {"ok"}
    spf(relay, "v=spf1 ip4:198.51.100.0/24 -a:relay.harbour.example -all")
    assert check().of("spf.mailer") == {"warning"}


# DOM-02


def selector(dns, value, name="mailjet"):
    dns.zones[f"{name}._domainkey.harbour.example"] = [
        txt(f"{name}._domainkey.harbour.example", value)
    ]


@pytest.mark.parametrize(
    ("record", "check_name", "level"),
    [
        ("v=DKIM1; k=rsa; p=", "dkim.revoked", "error"),
        ("v=DKIM1; k=rsa; p=bm8ga2V5", "dkim.key", "error"),
        ("v=DKIM1; k=rsa; p=no key", "dkim.key", "error"),
        ("v=DKIM2; p=bm8ga2V5", "dkim.key", "error"),
        ("hello", "dkim.key", "error"),
    ],
)
def test_a_key_that_is_none(harbour, check, record, check_name, level):
    selector(harbour, record)

    assert level in check().of(check_name)


@pytest.mark.parametrize(
    ("flags", "check_name", "level"),
    [
        ("t=y", "dkim.testing", "warning"),
        ("t=s", "dkim.testing", None),
        ("h=sha1", "dkim.hash", "error"),
        ("h=sha1:sha256", "dkim.hash", None),
        ("s=other", "dkim.service", "error"),
        ("s=email", "dkim.service", None),
    ],
)
def test_flags_of_a_key(harbour, check, key, flags, check_name, level):
    selector(harbour, f"v=DKIM1; {flags}; p={key.public}")

    findings = check()

    assert findings.of(check_name) == ({level} if level else set())
    assert findings.of("dkim.key") == {"ok"}


@pytest.mark.parametrize(("bits", "level"), [(768, "error"), (1024, "warning"), (2048, None)])
def test_the_length_of_a_key(harbour, check, key, monkeypatch, bits, level):
    from newsletter.domains import keys

    monkeypatch.setattr(keys, "_bits", lambda _kind, _public: bits)

    assert check().of("dkim.length") == ({level} if level else set())


def test_a_short_key_is_measured(harbour, check, tmp_path):
    weak = dkim.load("harbour.example", "weak", write(tmp_path / "weak", WEAK))
    selector(harbour, weak.record)

    assert "1024 bits" in check().one("dkim.length")["found"]


def test_an_ed25519_key_is_read(harbour, check, tmp_path):
    private = ed25519.Ed25519PrivateKey.generate()
    key = dkim.load("harbour.example", "ed", write(tmp_path / "ed", private))
    selector(harbour, key.record)

    assert check().of("dkim.key") == {"ok"}


def test_a_provider_whose_keys_are_not_there(harbour, check):
    del harbour.zones["mailjet._domainkey.harbour.example"]

    findings = check()

    assert findings.of("dkim.key") == {"error"}
    assert findings.of("alignment.dkim") == {"unknown"}


def test_a_selector_may_be_an_alias_and_long_and_in_pieces(harbour, check, key):
    name = "k1._domainkey.harbour.example"
    harbour.zones[name] = [f"{name}. CNAME k1.keys.example."]
    harbour.publish(txt("k1.keys.example", f"v=DKIM1; n={'long ' * 700}; k=rsa; p={key.public}"))

    findings = check("harbour.example", "--selector", "k1")

    assert findings.of("dkim.key") == {"ok"}
    assert len(harbour.zones["k1.keys.example"][0]) > 3900


def test_an_alias_that_leads_nowhere(harbour, check):
    name = "k1._domainkey.harbour.example"
    harbour.publish(f"{name}. CNAME gone.keys.example.")

    one = check("harbour.example", "--selector", "k1").one("dkim.key")

    assert one["level"] == "error"
    assert "gone.keys.example" in one["found"]


def test_two_keys_at_one_selector(harbour, check):
    harbour.publish('mailjet._domainkey.harbour.example. TXT "v=DKIM1; p=x"')

    assert check().of("dkim.key") == {"error"}


def test_our_own_keys_are_looked_up_and_compared(relay, check, settings, tmp_path):
    settings.DKIM_KEYS = [
        ("harbour.example", "2026a", write(tmp_path / "rsa", RSA)),
        ("harbour.example", "2026b", write(tmp_path / "ed", ed25519.Ed25519PrivateKey.generate())),
    ]
    by_rsa, by_ed25519 = dkim.keys_of("harbour.example")
    selector(relay, by_rsa.record, "2026a")
    selector(relay, by_rsa.record, "2026b")

    findings = check()

    assert findings.of("dkim.key") == {"ok"}
    assert findings.one("dkim.ours")["record"] == {
        "name": by_ed25519.host,
        "kind": "TXT",
        "value": by_ed25519.record,
        "zone_line": f'{by_ed25519.host}. TXT "{by_ed25519.record}"',
    }


def test_a_key_to_be_published_is_told_in_strings_of_255(
    relay, check, settings, tmp_path
):
    settings.DKIM_KEYS = [("harbour.example", "2026a", write(tmp_path / "rsa", RSA))]

    one = check().one("dkim.key")

    record = dkim.keys_of("harbour.example")[0].record
    assert one["record"]["zone_line"] == txt("2026a._domainkey.harbour.example", record)
    assert one["record"]["zone_line"].count('"') == 4


def test_ed25519_alone_is_warned_of(relay, check, settings, tmp_path):
    private = ed25519.Ed25519PrivateKey.generate()
    settings.DKIM_KEYS = [("harbour.example", "2026b", write(tmp_path / "ed", private))]

    assert check().of("dkim.rsa") == {"warning"}


def test_a_relay_whose_selector_nobody_knows(relay, check):
    findings = check()

    assert findings.of("dkim.key") == findings.of("alignment.dkim") == {"unknown"}
    assert "--selector" in findings.one("dkim.key")["remedy"]


# DOM-03


def dmarc(dns, *texts, at="harbour.example"):
    dns.zones[f"_dmarc.{at}"] = [f'_dmarc.{at}. TXT "{text}"' for text in texts]


@pytest.mark.parametrize(
    ("texts", "check_name", "level"),
    [
        ([], "dmarc.record", "error"),
        (["v=DMARC1; p=none; rua=mailto:a@harbour.example"], "dmarc.record", "ok"),
        (["v=DMARC1; rua=mailto:a@harbour.example"], "dmarc.p", "warning"),
        (["v=DMARC1; p=maybe; rua=mailto:a@harbour.example"], "dmarc.p", "warning"),
        (["v=DMARC1; p=none"], "dmarc.rua", "warning"),
        (["v=DMARC1; p=none; rua=https://harbour.example"], "dmarc.rua", "warning"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "dmarc.one-record", "error"),
        (["p=none; v=DMARC1"], "dmarc.syntax", "error"),
        (["v=dmarc1; p=none"], "dmarc.syntax", "error"),
        (["v=DMARC1; p=none; pct=50"], "dmarc.pct", "warning"),
        (["v=DMARC1; p=none; rf=afrf"], "dmarc.rf", "warning"),
        (["v=DMARC1; p=none; ri=86400"], "dmarc.ri", "warning"),
        (["v=DMARC1; p=none; t=y"], "dmarc.t", "warning"),
        (["v=DMARC1; p=none; t=x"], "dmarc.t", "warning"),
        (["v=DMARC1; p=none; sp=x"], "dmarc.sp", "warning"),
        (["v=DMARC1; p=none; np=x"], "dmarc.np", "warning"),
        (["v=DMARC1; p=none; adkim=x"], "dmarc.adkim", "warning"),
        (["v=DMARC1; p=none; psd=y"], "dmarc.psd", "warning"),
        (["v=DMARC1; p=none; psd=n"], "dmarc.psd", None),
    ],
)
def test_policies(harbour, check, texts, check_name, level):
    dmarc(harbour, *texts)

    findings = check()

    assert findings.of(check_name) == ({level} if level else set())
    assert level is None or findings.one(check_name)["requirement"] == "DOM-03"


def test_without_a_policy_the_record_to_publish_is_said(harbour, check):
    del harbour.zones["_dmarc.harbour.example"]

    assert check().one("dmarc.record")["record"]["zone_line"] == (
        '_dmarc.harbour.example. TXT "v=DMARC1; p=none; rua=mailto:dmarc@harbour.example"'
    )


def test_a_policy_is_found_by_walking_up_and_sp_counts(harbour, check):
    dmarc(harbour, "v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:a@harbour.example")

    findings = check("a.b.harbour.example")

    assert findings.one("dmarc.record")["found"] == (
        "_dmarc.harbour.example asks for quarantine on mail from a.b.harbour.example."
    )


def test_a_walk_asks_no_more_than_eight_times(harbour, check):
    domain = ".".join("abcdefghijkl") + ".harbour.example"

    check(domain)

    asked = {name for name in harbour.asked if name.startswith("_dmarc.")}
    mine = {name for name in asked if name.endswith("harbour.example")} | {"_dmarc.example"}
    assert len(mine & asked) == 8
    assert f"_dmarc.{domain}" in asked
    assert "_dmarc.h.i.j.k.l.harbour.example" in asked
    assert "_dmarc.g.h.i.j.k.l.harbour.example" not in asked


def test_a_registry_is_not_the_organisation(harbour, check):
    """psd=y at the top: what lies one below is, and a neighbour under it is a stranger."""
    del harbour.zones["_dmarc.harbour.example"]
    dmarc(harbour, "v=DMARC1; p=reject; psd=y", at="example")

    one = check().one("dmarc.record")

    assert one["found"].startswith("_dmarc.example asks for reject")


@pytest.mark.parametrize("agrees", [True, False])
def test_reports_to_a_stranger_must_be_agreed_to(harbour, check, agrees):
    dmarc(harbour, "v=DMARC1; p=none; rua=mailto:x@reports.test!10m,mailto:a@harbour.example")
    if agrees:
        harbour.publish('harbour.example._report._dmarc.reports.test. TXT "v=DMARC1"')

    findings = check()

    assert findings.of("dmarc.rua") == ({"ok"} if agrees else {"ok", "warning"})
    records = [one["record"] for one in findings if one["record"]]
    wanted = 'harbour.example._report._dmarc.reports.test. TXT "v=DMARC1"'
    assert [record["zone_line"] for record in records] == ([] if agrees else [wanted])


# DOM-04


def envelope(publication, domain):
    publication.sender.bounce_domain = domain
    publication.sender.save()


@pytest.mark.parametrize(
    ("modes", "bounces", "level"),
    [
        ("", "bounces.harbour.example", "ok"),
        ("; aspf=r", "bounces.harbour.example", "ok"),
        ("; aspf=s", "bounces.harbour.example", "warning"),
        ("; aspf=s", "harbour.example", "ok"),
        ("", "bounces.elsewhere.test", "warning"),
        ("", "yharbour.example", "warning"),
    ],
)
def test_whether_the_envelope_is_aligned(harbour, check, publication, modes, bounces, level):
    dmarc(harbour, f"v=DMARC1; p=none; rua=mailto:a@harbour.example{modes}")
    envelope(publication, bounces)

    assert check().of("alignment.spf") == {level}


def test_a_neighbour_under_a_registry_is_not_aligned(harbour, check, publication):
    dmarc(harbour, "v=DMARC1; p=reject; psd=y", at="example")
    envelope(publication, "quay.example")

    assert check().of("alignment.spf") == {"warning"}


def test_a_part_that_stands_by_itself_is_not_aligned(harbour, check, publication):
    dmarc(harbour, "v=DMARC1; p=none; psd=n", at="apart.harbour.example")
    envelope(publication, "bounces.apart.harbour.example")

    assert check().of("alignment.spf") == {"warning"}


def test_neither_aligned_is_an_error(harbour, check, publication, tmp_path):
    envelope(publication, "bounces.elsewhere.test")
    message = tmp_path / "message"
    message.write_bytes(
        b"From: news@harbour.example\r\nDKIM-Signature: v=1; d=elsewhere.test; s=x; h=from\r\n\r\n"
    )

    findings = check("--received", str(message))

    assert findings.of("alignment") == {"error"}
    assert findings.of("dkim.aligned") == {"error"}


def test_a_strict_domain_wants_its_own_signature(relay, check, settings, tmp_path, publication):
    dmarc(relay, "v=DMARC1; p=none; adkim=s")
    publication.sender.email = "news@mail.harbour.example"
    publication.sender.save()
    settings.DKIM_KEYS = [("harbour.example", "2026a", write(tmp_path / "rsa", RSA))]

    assert check("mail.harbour.example").of("alignment.dkim") == {"warning"}


# DOM-05, DOM-06


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


def test_a_relay_next_door_is_not_seen_from_outside(relay, check, settings):
    settings.MAILERS["default"]["OPTIONS"]["host"] = "127.0.0.1"

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


# DOM-07


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
    assert "Bounces" in findings[1]["found"]


# DOM-09


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


# DOM-11


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
def test_no_answer_is_unknown_and_never_wrong(harbour, check, name, check_name, misbehaviour):
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


# The command


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


def test_a_sender_or_file_or_name_server_that_is_none_is_told(harbour, dns, tmp_path):
    for words in [
        ["--sender", "nobody@harbour.example"],
        ["--resolver", "dns.example"],
        ["--resolver", "127.0.0.1:0"],
        ["--received", str(tmp_path / "missing")],
        ["elsewhere.test", "--send-to", "me@example.com"],
    ]:
        with pytest.raises(CommandError):
            call_command("check_domain", "--resolver", dns.address, *words)


def test_a_domain_in_other_letters_is_asked_for_in_ascii(harbour, dns):
    told, _code = run(dns, "häfen.example")

    assert json.loads(told)["sendings"][0]["domain"] == "xn--hfen-loa.example"
    assert ("xn--hfen-loa.example", "TXT") in harbour.questions
