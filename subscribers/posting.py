"""Handing a letter to its mailer, or to the standby when that one is down."""

import smtplib
import ssl
from typing import Any

from django.core.mail import EmailMessage

from subscribers.models import Breaker, Failure, Letter

Kind = Breaker.Kind
# botocore's own names, known by name as only Amazon's backend brings it along.
_AMAZON_AWAY = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}


def post(letter: Letter, message: EmailMessage, mailers: list[str]) -> None:
    """By the first of these that takes it; and write down what became of it."""
    words = ""
    for mailer in Breaker.objects.in_order(mailers):
        try:
            message.send(using=mailer)
        except smtplib.SMTPRecipientsRefused as error:
            return _refused(letter, error)
        # Every provider's backend raises classes of its own, and none of them may stop the letters
        # behind this one: whatever it was, it is kept in the row and tried again.
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            if not _is_down(mailer, error):
                break
        else:
            Breaker.objects.close(mailer)
            return letter.mark_sent(message.extra_headers["Message-ID"])
    return letter.defer(words)


def _refused(letter: Letter, error: smtplib.SMTPRecipientsRefused) -> None:
    """The mailbox was refused: for good if the server says 5xx, else for now."""
    code, answer = next(iter(error.recipients.values()))
    reason = f"{code} {answer.decode(errors='replace')}"
    return letter.give_up(reason) if code >= 500 else letter.defer(reason)


def _is_down(mailer: str, error: Exception) -> bool:
    """Whether another mailer may do better with this letter; all are told."""
    failure = _failure(error)
    if failure:
        Breaker.objects.fail(mailer, failure)
    return failure is not None


def _failure(error: Exception) -> Failure | None:
    """What an attempt says of the mailer; None if it may be this letter's own trouble."""
    words = f"{type(error).__name__}: {error}"
    match error:
        case smtplib.SMTPServerDisconnected():
            return Failure(Kind.UNREACHABLE, words)
        case smtplib.SMTPResponseException():
            return _turned_away(error, words)
        case smtplib.SMTPNotSupportedError() | ssl.SSLError():
            return Failure(Kind.LOCKED_OUT, words)
        case smtplib.SMTPException():
            return None
        case OSError():
            return _unanswered(error, words)
        case _ if type(error.__cause__).__name__ in _AMAZON_AWAY:
            return Failure(Kind.UNREACHABLE, words)
    return None


def _turned_away(error: smtplib.SMTPResponseException, words: str) -> Failure | None:
    """At the door, before anything was said of the letter."""
    at_login = (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError)
    if error.smtp_code == 421 or (isinstance(error, at_login) and error.smtp_code < 500):
        return Failure(Kind.BUSY, words)
    return Failure(Kind.LOCKED_OUT, words) if isinstance(error, at_login) else None


def _unanswered(error: Any, words: str) -> Failure | None:
    """No connection at all; or, as providers' errors have it, the answer to a request."""
    match getattr(getattr(error, "response", None), "status_code", None):
        case None:
            return Failure(Kind.UNREACHABLE, words)
        case 401:
            return Failure(Kind.LOCKED_OUT, words)
        case 429 | 503:
            return Failure(Kind.BUSY, words)
    return None
