"""What it means when a call fails: whose fault it is, and what was said."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from anymail.exceptions import AnymailAPIError

from newsletter import faults
from newsletter.content import Reader
from newsletter.delivery.outcomes import Outcome, judged
from newsletter.faults import Fault

_NEVER_LEFT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)
# botocore's own names, known by name as only Amazon's backend brings it along.
_BOTO_NEVER_LEFT = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
_BOTO_OURS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ParamValidationError",
}
# TLS that never came about. Any other trouble of TLS may come after the request was read.
_NO_HANDSHAKE = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|HANDSHAKE_FAILURE|UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION"
    r"|WRONG_VERSION_NUMBER|doesn't match"
)


class RefusedError(Exception):
    """A call that brought nobody anything, as far as is known: in the provider's own words."""

    def __init__(self, fault: Fault, code: str, words: str, rest: timedelta | None = None) -> None:
        # Of a call to many, each reader keeps the answer: nobody else's address may be in it.
        words = faults.without_addresses(words)
        super().__init__(f"{code} {words}".strip())
        self.fault = fault
        self.code = code
        self.words = words
        self.rest = rest

    def outcome(self, reader: Reader) -> Outcome:
        """What it comes to for one of its readers. Raises TransportError if it is about all."""
        return judged(self.fault, reader, self.code, self.words, self.rest)

    @property
    def is_about_readers(self) -> bool:
        """Perhaps about only one of them: the others may be asked for again."""
        return self.fault in {Fault.RECIPIENT, Fault.NO_MAILBOX, Fault.POLICY}


def refused(response: requests.Response) -> RefusedError:
    """By an answer that is none of a success."""
    code, words = str(response.status_code), " ".join(response.text.split())
    return RefusedError(faults.of_http(code, words), code, words, _rest(response))


def failed(error: AnymailAPIError) -> RefusedError:
    """By what Anymail makes of an answer, or of none."""
    if isinstance(error.response, requests.Response):
        return refused(error.response)
    if isinstance(error.response, dict) and "Error" in error.response:
        code, words = _amazons(error.response)
        return RefusedError(faults.of_http(code, words), code, words)
    return RefusedError(_fault_of_connection(error), "", str(error.__cause__ or error))


def _amazons(answer: dict[str, Any]) -> tuple[str, str]:
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    named = answer["Error"]
    return str(status), f"{named.get('Code', '')} {named.get('Message', '')}"


def _fault_of_connection(error: AnymailAPIError) -> Fault:
    """What broke before the request was out has sent nothing; after it, who knows."""
    cause = error.__cause__
    kind = type(cause).__name__
    if kind == "SSLError":
        return Fault.SENDER if _NO_HANDSHAKE.search(str(cause)) else Fault.UNKNOWN
    if kind in _BOTO_OURS:
        return Fault.SENDER
    if isinstance(cause, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return Fault.EVERYBODY
    reason = getattr(cause.args[0], "reason", None) if cause and cause.args else None
    if isinstance(reason, _NEVER_LEFT) or kind in _BOTO_NEVER_LEFT:
        return Fault.EVERYBODY
    return Fault.UNKNOWN


def _rest(response: requests.Response) -> timedelta | None:
    """The provider's Retry-After: seconds, or a date."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        return timedelta(seconds=int(asked))
    try:
        return max(parsedate_to_datetime(asked) - datetime.now(UTC), timedelta(0))
    except (TypeError, ValueError):
        return None
