"""Providers in tests that take many readers in one call."""

import pytest

# How many readers a call takes.
LIMITS = {
    "amazon-ses": 50,
    "brevo": 1000,
    "mailgun": 1000,
    "mailjet": 50,
    "postmark": 500,
    "resend": 100,
    "sendgrid": 1000,
    "sparkpost": 1000,
}


def only(*names):
    """Instead of all of them."""
    return pytest.mark.parametrize("name", names, indirect=True)
