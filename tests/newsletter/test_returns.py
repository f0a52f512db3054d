"""What a mail that comes back is, and which message of ours it is about: a corpus and its edges."""

import time
import tracemalloc

import pytest

from newsletter import faults
from newsletter.faults import Fault
from newsletter.receivers.mail import Kind, Reading, read
from newsletter.receivers.mail.ours import Ours
from subscribers import tokens
from tests import bounces

# Of a bounce, the folder says whose fault it is.
BOUNCES = {
    "hard": {Fault.NO_MAILBOX},
    "soft": {Fault.RECIPIENT, Fault.PROVIDER},
    "policy": {Fault.POLICY},
}
LINE_ENDS = pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])


def written(path):
    return f"{path.parent.name}/{path.stem}"


def test_there_are_enough_of_them():
    assert len(bounces.paths()) >= 60


@LINE_ENDS
@pytest.mark.parametrize("path", bounces.paths(), ids=written)
def test_each_is_what_its_folder_says(path, line_end):
    folder = path.parent.name

    reading = read(bounces.mail(path, 7, 3, 2).replace(b"\n", line_end))

    if folder in BOUNCES:
        assert reading.kind is Kind.BOUNCE
        assert faults.of_return(reading.code, reading.text) in BOUNCES[folder]
    elif folder == "strangers":
        assert reading.kind is Kind.BOUNCE
    else:
        assert reading.kind == folder
    if folder in {"auto-reply", "other", "strangers"}:
        assert not reading.is_report
    else:
        assert reading.is_report
        assert (reading.ours.subscriber, reading.ours.campaign) == (7, 3)


@pytest.mark.parametrize("path", bounces.paths(), ids=written)
def test_of_whatever_is_cut_off_anywhere_nothing_crashes(path):
    raw = bounces.mail(path)

    kinds = {read(raw[:length]).kind for length in range(0, len(raw), 97)}

    assert Kind.UNREADABLE not in kinds


# Which message of ours ---------------------------------------------------------------------------


def test_the_envelope_that_it_came_back_to_says_which(settings):
    raw = bounces.mail("hard/postfix-unknown-user", 7, 3)
    other = bounces.filled("Delivered-To: @@VERP@@\n", 8, 4)

    assert read(other + raw).ours[:2] == (8, 4)


def test_a_mail_server_may_say_for_whom_it_took_it():
    raw = bounces.mail("hard/postfix-unknown-user").replace(b"b+", b"x+").replace(b"To: ", b"No: ")
    recipient = bounces.filled("@@VERP@@", 7, 3).decode()

    assert read(raw, recipient).ours[:2] == (7, 3)


@pytest.mark.parametrize("plus", ["+", "%2B", "=2B"])
def test_relays_that_rewrite_the_envelope_leave_the_token(plus):
    token = tokens.sign(tokens.Purpose.BOUNCE, 7, 3)
    rewritten = f"prvs=1234abcd=b{plus}{token}@bounces.harbour.example"
    raw = bounces.mail("strangers/another-mailing").replace(
        b"Return-Path: <>", f"Return-Path: <>\nDelivered-To: {rewritten}".encode(), 1
    )

    assert read(raw).ours == Ours(7, 3)


def test_a_token_that_lost_its_case_is_none_but_the_message_id_has_another():
    raw = bounces.mail("hard/postfix-unknown-user", 7, 3)
    envelope = bounces.filled("@@VERP@@", 7, 3)

    assert read(raw.replace(envelope, envelope.lower())).ours[:2] == (7, 3)


def test_a_token_of_an_older_key_still_tells(settings):
    raw = bounces.mail("hard/postfix-unknown-user", 7, 3)

    settings.LINK_KEYS = ["a-newer-one-that-signs-from-now-on", *settings.LINK_KEYS]

    assert read(raw).ours[:2] == (7, 3)


def test_ten_thousand_made_up_tokens_are_not_all_tried(monkeypatch):
    made_up = b"".join(
        b"<%dAbCdEfGhIjKlMnOpQrStUvWx@x.example>\n" % number for number in range(9999)
    )
    raw = bounces.mail("strangers/another-mailing").replace(b"Dear Ann", made_up)
    usual, tried = tokens.read, []
    monkeypatch.setattr(tokens, "read", lambda *told: tried.append(told) or usual(*told))

    assert not read(raw).is_report
    assert len(tried) < 100


def test_a_link_in_the_text_tells_less_than_the_message_itself():
    """Somebody may have quoted another's."""
    raw = bounces.mail("hard/no-verp-but-message-id", 7, 3)
    quoted = bounces.filled("<ann@example.org>: @@LINK@@", 9, 5)

    assert read(raw.replace(b"<ann@example.org>: unknown", quoted)).ours[:2] == (7, 3)


def test_the_letter_is_known_by_envelope_and_by_message_id():
    for name in ["postfix-unknown-user", "no-original-but-verp", "no-verp-but-message-id"]:
        assert read(bounces.mail(f"hard/{name}", letter=12)).ours.letter == 12


# What it says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("hard/postfix-unknown-user", "550 5.1.1", "User unknown in virtual mailbox table"),
        ("hard/gmail-no-such-account", "550 5.1.1", "double-checking the recipient's"),
        ("hard/exim-report", "550", "No such user here"),
        ("hard/exim-old-text", "550 5.1.1", "<ann@example.org>:"),
        ("hard/exchange-online", "550 5.1.10", "RESOLVER.ADR.RecipientNotFound"),
        ("hard/exchange-2003", "550 5.1.1", ""),
        ("hard/qmail-local", "550 5.1.1", "no mailbox here by that name"),
        ("hard/qmail-remote", "550 5.1.1", "User unknown"),
        ("hard/mailenable", "550 5.1.1", "No such user here"),
        ("soft/exchange-expired", "450 4.4.7", "QUEUE.Expired"),
        ("soft/exim-retry-timeout", "452 4.2.2", "Over quota"),
        ("policy/gmail-unauthenticated", "550 5.7.26", "sender is unauthenticated"),
    ],
)
def test_the_answer_is_written_as_in_the_ledger(name, code, words):
    reading = read(bounces.mail(name))

    assert reading.code == code
    assert words in reading.text


def test_an_answer_holds_nothing_that_a_database_refuses():
    raw = bounces.mail("hard/sendmail").replace(b"User unknown", b"User\0 \xffunknown\xed\xa0\x80")

    text = read(raw).text

    assert "\0" not in text
    assert text.encode()


def test_the_same_mail_has_one_digest_whatever_its_way():
    raw = bounces.mail("hard/postfix-unknown-user")

    assert read(raw).digest == read(b"Received: by another; today\n" + raw).digest
    assert read(raw).digest != read(bounces.mail("hard/sendmail")).digest


# Whatever anybody sends --------------------------------------------------------------------------


def nested(depth, inmost=""):
    """Multiparts within each other."""
    heads = "".join(
        f'Content-Type: multipart/mixed; boundary="b{level}"\n\n--b{level}\n'
        for level in range(depth)
    )
    return heads.encode() + inmost.encode()


def within(seconds, megabytes, raw):
    """What it is, read in so much time of a processor, and memory."""
    began = time.process_time()
    reading = read(raw)
    assert time.process_time() - began < seconds
    tracemalloc.start()
    assert read(raw) == reading
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < megabytes * 1e6
    return reading


QMAIL = (
    b"Hi. This is the qmail-send program\n\n<ann@example.org>:\nSorry, no mailbox here. (#5.1.1)\n"
)


def wide(level=3):
    """Multiparts of many parts, which are such themselves."""
    if not level:
        return b"\nx"
    parts = b"".join(b"\n--%d\n%b" % (level, wide(level - 1)) for _ in range(39))
    return b"Content-Type: multipart/x; boundary=%d\n%b" % (level, parts)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n\n",
        b"\0" * 100_000,
        b"\xff\xfe" * 50_000,
        b"From: a\r" * 10_000,
        b"Subject: " + b"=?utf-8?q?=00?= " * 20_000 + b"\n\n",
        b"X: y\n" * 100_000,
        b"Content-Type: multipart/report; boundary=\n\n--\n--\n--\n",
        b"Content-Type: multipart/report; boundary=x\n\n" + b"--x\n" * 100_000,
        b"Content-Type: multipart/report\n\n" + b"--\n" * 100_000,
        b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n\n" * 50_000,
        b"Content-Type: message/delivery-status\n\nAction: \0\nStatus: \xff\n",
        b"Content-Type: text/plain; charset=\xff\n\n\xff",
        b"From: mailer-daemon\nContent-Type: text/plain; charset=idna\n\nHi. This is the"
        + b"x" * 9999,
        b"From: mailer-daemon\nContent-Type: multipart/mixed; boundary=\xe4\n\n--\xe4\n\nx",
        b"Date: Mon, 99 Feb 999999 99:99:99 +9999\n\n",
        b"Message-ID: " + b"<" * 100_000,
        b"From: MAILER-DAEMON\n\n" + b"<" * 400_000,
        wide(),
        b"From: mailer-daemon\nContent-Type: text/plain; charset=undefined\n\n" + QMAIL,
        nested(1_000),
        b"Return-Path: <>\n" + nested(100_000),
        b"Return-Path: <>\n" + b"Content-Type: message/rfc822\n\n" * 10_000,
    ],
    ids=range(23),
)
def test_nothing_is_too_broken(raw):
    assert within(0.5, 20, raw).kind is not Kind.UNREADABLE


def test_ten_megabytes_of_junk_cost_next_to_nothing():
    raw = b"From: MAILER-DAEMON\nSubject: x\n\n" + b"A line of no interest.\n" * 450_000

    assert within(0.1, 20, raw).kind is Kind.OTHER


def test_a_report_is_read_though_ten_megabytes_came_back_with_it():
    raw = bounces.mail("hard/postfix-unknown-user", 7, 3)
    raw = raw.replace(b"The first boat left at six.", b"The boat left.\n" * 700_000)

    reading = within(0.2, 20, raw)

    assert (reading.kind, reading.code, reading.ours[:2]) == (Kind.BOUNCE, "550 5.1.1", (7, 3))


def test_a_report_is_not_looked_for_a_thousand_levels_deep():
    status = "Content-Type: message/delivery-status\n\nFinal-Recipient: x; a@b\nAction: failed\n"

    assert read(nested(1_000, status)) == Reading(
        Kind.OTHER, digest=read(nested(1_000, status)).digest
    )


def test_our_own_mistake_is_loud_and_holds_up_nobody(monkeypatch, caplog):
    def stumble(raw):
        raise ZeroDivisionError

    monkeypatch.setattr("newsletter.receivers.mail.reading.parts", stumble)

    assert read(b"Subject: x\n\n") == Reading(Kind.UNREADABLE)
    assert "could not be read" in caplog.text


def test_what_flufl_stumbles_over_is_no_bounce(monkeypatch):
    def stumble(message):
        raise LookupError("unknown encoding")

    monkeypatch.setattr("newsletter.receivers.mail.improper.all_failures", stumble)

    assert read(bounces.mail("hard/qmail-local")).kind is Kind.OTHER
