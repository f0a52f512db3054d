"""From a host and a port to a connection that takes mail."""

import base64
import hmac

import pytest

from newsletter.delivery.outcomes import BusyError, Fate, LockedOutError, UnreachableError
from tests.newsletter.transports import hand_over, messages, use
from tests.smtp import HANG_UP, SILENCE, RawServer, certificate, serving

SIGN_IN = {"username": "desk@harbour", "password": "p/ss:w@rd%"}


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """A certificate for localhost that we trust; the server's side of it."""
    path, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return context


def only_error(account):
    (error,) = account.errors
    assert set(account.fates()) == {Fate.RETURNED}
    return error


@pytest.mark.parametrize("at_once", [True, False])
def test_tls_from_the_start_or_after_a_word(campaign, settings, tls, at_once):
    extensions = ("PIPELINING",) if at_once else ("PIPELINING", "STARTTLS")
    with serving(RawServer(tls=tls, tls_at_once=at_once, extensions=extensions)) as server:
        how = {"use_ssl": True} if at_once else {"use_tls": True}
        use(settings, server, connections=3, host="localhost", **how)
        account = hand_over(messages(campaign, 30))

    assert account.fates() == {Fate.SENT: 30}
    assert len(server.received) == 30
    assert len(server.steps("EHLO")) == (3 if at_once else 6)


def test_tls_and_sign_in(campaign, settings, strict_smtp_server):
    use(settings, strict_smtp_server, host="localhost", use_tls=True, **SIGN_IN)

    account = hand_over(messages(campaign, 3))

    assert account.fates() == {Fate.SENT: 3}
    assert len(strict_smtp_server.received) == 3


def test_a_wrong_password_is_ours_to_mend(campaign, settings, strict_smtp_server):
    sign_in = {**SIGN_IN, "password": "wrong"}
    use(settings, strict_smtp_server, host="localhost", use_tls=True, **sign_in)

    error = only_error(hand_over(messages(campaign, 3)))

    assert isinstance(error, LockedOutError)
    assert str(error).startswith("535")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_certificate_that_nobody_vouches_for_is_ours_to_mend(
    campaign, settings, tmp_path, at_once
):
    _path, context = certificate(tmp_path)
    server = RawServer(tls=context, tls_at_once=at_once, extensions=("STARTTLS",))
    with serving(server):
        how = {"use_ssl": True} if at_once else {"use_tls": True}
        use(settings, server, host="localhost", **how)
        error = only_error(hand_over(messages(campaign, 3)))

    assert isinstance(error, LockedOutError)
    assert "certificate" in str(error)
    assert server.steps("MAIL") == []


def test_a_certificate_for_another_name_is_ours_to_mend(campaign, settings, tls):
    with serving(RawServer(tls=tls, extensions=("STARTTLS",))) as server:
        use(settings, server, host="127.0.0.1", use_tls=True)
        error = only_error(hand_over(messages(campaign, 1)))

    assert isinstance(error, LockedOutError)
    assert server.steps("MAIL") == []


def test_what_is_to_be_secret_is_never_said_in_plain(campaign, settings, tls):
    with serving(RawServer(tls=tls)) as server:
        use(settings, server, host="localhost", use_tls=True, **SIGN_IN)
        error = only_error(hand_over(messages(campaign, 1)))

    assert isinstance(error, LockedOutError)
    assert str(error) == "STARTTLS extension not supported by server."
    assert [said.step for said in server.said] == ["GREETING", "EHLO"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("454 4.7.0 TLS not available", BusyError),
        ("554 5.7.3 Refused", LockedOutError),
        ("220 Go on\r\n250 2.0.0 Slipped in", LockedOutError),
        (HANG_UP, UnreachableError),
        (SILENCE, UnreachableError),
    ],
)
def test_a_refused_starttls_is_the_end_of_it(campaign, settings, tls, answer, kind):
    told = lambda said: answer if said.step == "STARTTLS" else None  # noqa: E731
    with serving(RawServer(tls=tls, extensions=("STARTTLS",), answer=told)) as server:
        use(settings, server, host="localhost", use_tls=True, timeout=0.5)
        error = only_error(hand_over(messages(campaign, 2)))

    assert type(error) is kind
    assert server.steps("MAIL") == []


def challenge(said):
    return f"334 {base64.b64encode(said).decode()}"


def test_cram_md5(campaign, settings):
    def told(said):
        return challenge(b"<1@raw.example>") if said.step == "AUTH" else None

    with serving(RawServer(extensions=("AUTH PLAIN CRAM-MD5",), answer=told)) as server:
        use(settings, server, **SIGN_IN)
        hand_over(messages(campaign, 1))

    digest = hmac.new(SIGN_IN["password"].encode(), b"<1@raw.example>", "md5").hexdigest()
    assert server.steps("AUTH")[0].argument == "CRAM-MD5"
    response = base64.b64decode(server.steps("RESPONSE")[0].argument).decode()
    assert response == f"desk@harbour {digest}"


def test_login(campaign, settings):
    def told(said):
        return challenge(b"Password:") if said.step == "AUTH" else None

    with serving(RawServer(extensions=("AUTH=LOGIN",), answer=told)) as server:
        use(settings, server, **SIGN_IN)
        hand_over(messages(campaign, 1))

    name, first = server.steps("AUTH")[0].argument.split()
    assert (name, base64.b64decode(first)) == ("LOGIN", b"desk@harbour")
    assert base64.b64decode(server.steps("RESPONSE")[0].argument) == b"p/ss:w@rd%"


def test_plain_with_special_letters(campaign, settings):
    with serving(RawServer(extensions=("AUTH PLAIN",))) as server:
        use(settings, server, username="jörg", password="schlüssel")
        account = hand_over(messages(campaign, 1))

    said = server.steps("AUTH")[0].argument.split()[1]
    assert base64.b64decode(said).decode() == "\0jörg\0schlüssel"
    assert account.fates() == {Fate.SENT: 1}


def test_where_one_way_is_refused_the_next_is_tried(campaign, settings):
    def told(said):
        return "535 5.7.8 No" if said.step == "AUTH" and "PLAIN" in said.argument else None

    with serving(RawServer(extensions=("AUTH PLAIN LOGIN",), answer=told)) as server:
        use(settings, server, **SIGN_IN)
        account = hand_over(messages(campaign, 1))

    assert account.fates() == {Fate.SENT: 1}
    assert [said.argument.split()[0] for said in server.steps("AUTH")] == ["PLAIN", "LOGIN"]


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ((), "SMTP AUTH extension not supported by server."),
        (("AUTH GSSAPI",), "No suitable authentication method found."),
    ],
)
def test_a_sign_in_that_is_not_possible_is_ours_to_mend(campaign, settings, extensions, words):
    with serving(RawServer(extensions=extensions)) as server:
        use(settings, server, **SIGN_IN)
        error = only_error(hand_over(messages(campaign, 1)))

    assert isinstance(error, LockedOutError)
    assert str(error) == words


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("454 4.7.0 Temporary authentication failure", BusyError),
        ("421 4.7.0 Too many errors", BusyError),
        ("535 5.7.8 Wrong", LockedOutError),
        ("334 not base64!", UnreachableError),
        (HANG_UP, UnreachableError),
    ],
)
def test_whose_fault_a_failed_sign_in_is(campaign, settings, answer, kind):
    told = lambda said: answer if said.step in {"AUTH", "RESPONSE"} else None  # noqa: E731
    with serving(RawServer(extensions=("AUTH PLAIN",), answer=told)) as server:
        use(settings, server, **SIGN_IN)
        error = only_error(hand_over(messages(campaign, 2)))

    assert type(error) is kind


@pytest.mark.parametrize("way", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_server_that_asks_on_and_on_is_left(campaign, settings, way):
    told = lambda said: "334 bW9yZQ==" if said.step in {"AUTH", "RESPONSE"} else None  # noqa: E731
    with serving(RawServer(extensions=(f"AUTH {way}",), answer=told)) as server:
        use(settings, server, **SIGN_IN)
        error = only_error(hand_over(messages(campaign, 2)))

    assert isinstance(error, UnreachableError)
    assert str(error) == "The server's challenges have no end."


def test_a_host_without_an_address_cannot_be_reached(campaign, settings):
    with serving(RawServer()) as server:
        use(settings, server, host="no-such-host.invalid")
        error = only_error(hand_over(messages(campaign, 2)))

    assert isinstance(error, UnreachableError)


def test_we_say_our_name(campaign, settings):
    with serving(RawServer()) as server:
        use(settings, server)
        hand_over(messages(campaign, 1))

    assert server.steps("EHLO")[0].argument
