"""Keys that mail is signed with: named in the environment, read from files, checked at start."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from config.checks import refuse_errors
from config.environment import Environment
from newsletter import dkim

pytestmark = pytest.mark.django_db

NO_LOCK = NoEncryption()
RELAY = Environment({"EMAIL_URL": "smtp://localhost"}).smtp("EMAIL_URL")
ED25519 = ed25519.Ed25519PrivateKey.generate()


def write(path, private, lock=NO_LOCK, form=PrivateFormat.PKCS8):
    path.write_bytes(private.private_bytes(Encoding.PEM, form, lock))
    path.chmod(0o600)
    return path


@pytest.fixture
def found(settings):
    """Call it with a path: what the checks say of a site that signs with the key there."""

    def found(path, mailer=RELAY):
        settings.DKIM_KEYS = [("harbour.example", "2026a", path)]
        settings.MAILERS = {"default": mailer}
        ours = [message for message in run_checks() if message.id.startswith("broadsheet.")]
        return {message.id.removeprefix("broadsheet."): message.msg for message in ours}

    return found


def refusal(path):
    with pytest.raises(dkim.KeyFileError) as error:
        dkim.load("harbour.example", "2026a", path)
    return str(error.value)


def test_what_is_wrong_with_a_file_is_said_in_words(tmp_path):
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish")
    curve = write(tmp_path / "curve", ec.generate_private_key(ec.SECP256R1()))
    locked = write(tmp_path / "locked", ED25519, BestAvailableEncryption(b"secret"))
    missing = tmp_path / "missing"

    assert refusal(missing) == f"{missing} cannot be read: No such file or directory."
    assert refusal(tmp_path) == f"{tmp_path} cannot be read: Is a directory."
    assert refusal(curve) == f"{curve} is neither an RSA nor an Ed25519 key; DKIM knows no others."
    assert refusal(locked) == f"{locked} is locked with a passphrase: write it without one."
    assert refusal(rubbish) == f"{rubbish} holds no private key in PEM."


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_keys_are_read_as_openssl_writes_them(tmp_path, form):
    path = write(tmp_path / "key", rsa.generate_private_key(65537, 2048), form=form)

    key = dkim.load("harbour.example", "2026a", path)

    assert (key.bits, key.algorithm) == (2048, "rsa-sha256")
    assert key.host == "2026a._domainkey.harbour.example"
    assert key.record.startswith("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQ")


def test_the_public_half_of_ed25519_is_its_32_bytes(tmp_path):
    key = dkim.load("harbour.example", "2026b", write(tmp_path / "key", ED25519))

    assert len(key.public) == 44
    assert key.record == f"v=DKIM1; k=ed25519; p={key.public}"


def test_a_short_key_is_warned_of_and_a_shorter_one_refused(found, tmp_path):
    weak = write(tmp_path / "weak", rsa.generate_private_key(65537, 1024))
    long = write(tmp_path / "long", rsa.generate_private_key(65537, 4104))

    assert list(found(weak)) == ["W021"]
    assert "4104 bits" in found(long)["E020"]
    with pytest.raises(ImproperlyConfigured, match="receivers look at 1024 to 4096"):
        refuse_errors()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660])
def test_a_key_that_others_can_take_or_change_is_warned_of(found, tmp_path, mode):
    path = write(tmp_path / "key", ED25519)
    path.chmod(mode)

    assert list(found(path)) == ["W022"]


def test_a_key_as_it_should_be_is_fine(found, tmp_path):
    path = write(tmp_path / "key", ED25519)
    path.chmod(0o640)

    assert found(path) == {}


def test_keys_that_would_sign_nothing_are_warned_of(found, tmp_path):
    provider = {
        "BACKEND": "anymail.backends.postmark.EmailBackend",
        "OPTIONS": {"server_token": "t"},
    }

    assert list(found(write(tmp_path / "key", ED25519), provider)) == ["W020"]


def test_a_missing_file_keeps_the_site_from_starting(found, tmp_path):
    assert list(found(tmp_path / "missing")) == ["E020"]
    with pytest.raises(ImproperlyConfigured, match=r"harbour.example:2026a: .* cannot be read"):
        refuse_errors()


def test_keys_are_named_by_domain_selector_and_file():
    text = "Harbour.example:2026A:/keys/rsa.pem, n-1.harbour.example:s1.eu:/keys/with:colon.pem"

    assert Environment({"DKIM_KEYS": text}).dkim_keys("DKIM_KEYS") == [
        ("harbour.example", "2026a", Path("/keys/rsa.pem")),
        ("n-1.harbour.example", "s1.eu", Path("/keys/with:colon.pem")),
    ]
    assert Environment({}).dkim_keys("DKIM_KEYS") == []


@pytest.mark.parametrize(
    "text",
    [
        *["/keys/rsa.pem", "harbour.example:/keys/rsa.pem", "harbour:a:/k", "harbour.example:a:"],
        *["harbour.example:a b:/k", "harbour.example:a{at}:/k", "a.example:s:/k,harbour.example"],
        "a.example:s:/k,A.example:S:/other",
    ],
)
def test_what_names_no_key_is_refused_in_words(text):
    with pytest.raises(ImproperlyConfigured, match="DKIM_KEYS"):
        Environment({"DKIM_KEYS": text}).dkim_keys("DKIM_KEYS")
