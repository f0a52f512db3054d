"""What a log line may carry."""

import logging

import pytest

from config.logs import Discreet, discreet


@pytest.mark.parametrize("purpose", "cbur")
def test_a_token_does_not_reach_the_log(purpose):
    line = f"Not Found: /{purpose}/3kTz9QeL0aXcV7bNm2 (GET)"

    assert discreet(line) == f"Not Found: /{purpose}/••• (GET)"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("550 <ann.smith@example.com> unknown", "550 <a•••@example.com> unknown"),
        ("to=['b@example.com']", "to=['b•••@example.com']"),
        ("ann+news@example.com, jo@example.org", "a•••@example.com, j•••@example.org"),
        ("at 12:00 nobody @ home", "at 12:00 nobody @ home"),
    ],
)
def test_an_address_is_masked_in_the_log(line, kept):
    assert discreet(line) == kept


def test_an_article_is_named_in_the_log():
    assert discreet("Not Found: /articles/the-ferry-returns/") == (
        "Not Found: /articles/the-ferry-returns/"
    )


def test_a_traceback_is_masked_too():
    error = ValueError("ann@example.com is no such mailbox")
    record = logging.LogRecord(
        "x", logging.ERROR, "x.py", 1, "failed", None, (ValueError, error, None)
    )

    line = Discreet("%(message)s").format(record)

    assert "ann@" not in line
    assert "a•••@example.com is no such mailbox" in line
