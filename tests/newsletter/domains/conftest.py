"""A domain as it should be, and the command that looks at it."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from newsletter import dkim
from tests.name_server import answering
from tests.newsletter.domains.zones import RIGHT, Findings, run, spf, txt
from tests.newsletter.test_dkim_keys import write

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def dns():
    """A name server that knows nothing yet."""
    with answering() as server:
        yield server


@pytest.fixture
def key(tmp_path):
    return dkim.load("harbour.example", "mailjet", write(tmp_path / "key", RSA))


@pytest.fixture
def harbour(dns, key, settings, publication):
    """A domain as it should be, sending by Mailjet; `publish` and `zones` change it."""
    settings.MAILERS = {"default": {"BACKEND": "anymail.backends.mailjet.EmailBackend"}}
    settings.ANYMAIL = {"MAILJET_API_KEY": "k", "MAILJET_SECRET_KEY": "s"}
    # Nobody listens there; whether somebody should is a test of its own.
    publication.site = "https://localhost:1"
    publication.save()
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
