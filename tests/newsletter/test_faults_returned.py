"""Whose fault it is, by what came back later: codes alone, and words of many."""

import pytest

from newsletter import faults
from newsletter.faults import Fault


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [
        ("5.1.1", "", Fault.NO_MAILBOX),
        (
            "5.1.1",
            "smtp; 550 5.1.1 <ann@example.org>: address rejected",
            Fault.NO_MAILBOX,
        ),
        ("550", "5.1.1 The email account that you tried to reach does not exist", Fault.NO_MAILBOX),
        ("550 5.1.1", "no such user", Fault.NO_MAILBOX),
        ("5.0.0", "smtp; 550-5.1.1 The email account does not exist", Fault.NO_MAILBOX),
        ("5.2.1", "mailbox disabled", Fault.NO_MAILBOX),
        ("5.2.2", "mailbox full", Fault.RECIPIENT),
        ("5.3.0", "other mail system problem", Fault.RECIPIENT),
        ("4.2.2", "over quota, gave up", Fault.PROVIDER),
        ("4.4.7", "delivery time expired", Fault.PROVIDER),
        ("5.4.7", "delivery time expired", Fault.RECIPIENT),
        ("5.7.1", "message refused", Fault.POLICY),
        ("5.7.26", "unauthenticated mail from harbour.example", Fault.POLICY),
        ("5.0.0", "smtp; 554 5.7.1 blocked using zen.spamhaus.org", Fault.POLICY),
        ("4.7.0", "421 4.7.28 unusual rate of unsolicited mail", Fault.POLICY),
        ("", "host mx.example.org[192.0.2.1] said: 550 5.1.1 no such user", Fault.NO_MAILBOX),
        ("", "421 4.7.28 unsolicited mail, expired", Fault.POLICY),
        # Its address is no code.
        ("", "Connection to 5.1.1.20 timed out", Fault.UNKNOWN),
        ("", "unknown user", Fault.NO_MAILBOX),
        ("", "message looks like spam", Fault.POLICY),
        ("", "something happened", Fault.UNKNOWN),
        ("", "", Fault.UNKNOWN),
    ],
)
def test_what_came_back_is_judged_by_its_code_and_else_its_words(code, text, fault):
    assert faults.of_return(code, text) is fault


def test_the_reporter_is_asked_where_there_is_no_code():
    words = "unknown user, or another problem"

    assert faults.of_return("", words) is Fault.NO_MAILBOX
    assert faults.of_return("", words, reporter=Fault.PROVIDER) is Fault.PROVIDER
    assert faults.of_return("5.1.1", words, reporter=Fault.PROVIDER) is Fault.NO_MAILBOX


def test_liars_are_known_by_their_house():
    said = ("550 5.5.0", "Requested action not taken: mailbox unavailable")

    assert faults.of_return(*said, "microsoft") is Fault.NO_MAILBOX


def test_what_is_kept_names_nobody():
    kept = faults.without_addresses("<ann.b+tag@example.org>: rfc822;ben@example.net is unknown")

    assert kept == "<•••@example.org>: rfc822;•••@example.net is unknown"
