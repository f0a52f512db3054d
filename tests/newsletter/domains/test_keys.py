"""DOM-02: the keys that signatures are verified with."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from newsletter import dkim
from tests.newsletter.domains.zones import txt
from tests.newsletter.test_dkim_keys import write

pytestmark = pytest.mark.django_db

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)


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


# Of 768 bits, by OpenSSL.
TINY = (
    "MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhANtYha1YVt2R918vxD2pT0UijvrjCVn0R9bPn1VASnjdBwJgpBriula7"
    "MGUnUTIE/2ihmkWs1Dy95WRyNLAlSKi7fyEBXK+VhSZmgB6LPN3Bywzc8DKLSgD36G9RN2O6JwIDAQAB"
)


def test_a_short_key_is_warned_of_and_a_shorter_one_is_an_error(harbour, check, tmp_path):
    selector(harbour, f"v=DKIM1; p={TINY}")
    tiny = check().one("dkim.length")
    weak = dkim.load("harbour.example", "weak", write(tmp_path / "weak", WEAK))
    selector(harbour, weak.record)
    short = check().one("dkim.length")

    assert (tiny["level"], short["level"]) == ("error", "warning")
    assert "768 bits" in tiny["found"]
    assert "1024 bits" in short["found"]


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


def test_a_key_to_be_published_is_told_in_strings_of_255(relay, check, settings, tmp_path):
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
