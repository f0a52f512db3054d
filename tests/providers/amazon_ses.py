"""Amazon SES v2: SendBulkEmail and SendEmail, as boto3 speaks it.

By its API reference (SendBulkEmail, BulkEmailEntry, MessageHeader, Template) and developer guide
("Using templates", "Advanced email personalization", "Header fields"):
- at most 50 entries, each a message of its own whose addresses see each other; a request with an
  inline template has 1 MB;
- inline templates know only `{{key}}`: TemplateData for all, ReplacementTemplateData for one;
  nothing is escaped ("SES doesn't escape HTML content"); a variable without a value is a rendering
  failure: the entry is a success, and its message never leaves;
- headers are printable ASCII, 995 characters, at most 15 for an entry; an entry's override the
  template's by name; Message-ID and Date are overwritten;
- every entry is judged for itself, in their order; who is on the suppression list is dropped
  without a word;
- it counts opens and clicks only where a configuration set says so, and none does here.
"""

import base64
import json
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

from tests.providers.conversation import Accounts, Answer, Call, Received, RefusedError, Taken
from tests.providers.fields import bare, mailboxes, merged, named
from tests.providers.identifiers import new_id

_MOST_ENTRIES = 50
_MOST_BYTES = 1024 * 1024
_MOST_HEADERS = 15
_NAME = re.compile(r"[!-9;-~]{1,126}")
_VALUE = re.compile(r"[ -~]{1,995}")
_TAG = re.compile(r"\{\{([^{}]*)\}\}")
_OVERWRITTEN = {"message-id", "date"}
_NAMES = {
    401: (403, "UnrecognizedClientException"),
    403: (403, "UnrecognizedClientException"),
    429: (429, "TooManyRequestsException"),
    500: (500, "InternalServiceErrorException"),
    503: (503, "ServiceUnavailableException"),
}

_Fields = dict[str, Any]


class _UnrenderedError(Exception):
    """A message whose variables have no values."""


class AmazonSES:
    backend = "amazon_ses"

    def options(self, url: str) -> dict[str, Any]:
        client = {
            "aws_access_key_id": "AKIAHARBOUR",
            "aws_secret_access_key": "amazon-secret",
            "region_name": "eu-west-1",
            "endpoint_url": url,
        }
        return {"client_params": client}

    def take(self, call: Call, accounts: Accounts) -> Taken:
        signed = call.headers.get("authorization", "")
        if not signed.startswith("AWS4-HMAC-SHA256 Credential=AKIAHARBOUR/"):
            raise RefusedError(self.trouble(403))
        match call.path:
            case "/v2/email/outbound-bulk-emails":
                return _bulk(call, accounts)
            case "/v2/email/outbound-emails":
                return _one(call, accounts)
        raise RefusedError(_error(404, "UnknownOperationException", "Unknown operation."))

    def count(self, call: Call) -> Taken:
        readers = call.body.count(b'"Destination"')
        if call.path == "/v2/email/outbound-emails":
            return Taken(Answer(200, {"MessageId": _id()}), readers)
        told = [_succeeded() for _ in range(readers)]
        return Taken(Answer(200, {"BulkEmailEntryResults": told}), readers)

    def trouble(self, status: int) -> Answer:
        answered, name = _NAMES.get(status, (status, "InternalFailure"))
        words = {429: "Maximum sending rate exceeded."}.get(status, "The request has failed.")
        return _error(answered, name, words)


def _error(status: int, name: str, words: str) -> Answer:
    return Answer(status, {"message": words}, {"x-amzn-ErrorType": name})


def _bad(words: str) -> RefusedError:
    return RefusedError(_error(400, "BadRequestException", words))


def _id() -> str:
    return f"0102{new_id()}-{new_id()}-000000"


def _succeeded() -> _Fields:
    return {"Status": "SUCCESS", "MessageId": _id()}


def _bulk(call: Call, accounts: Accounts) -> Taken:
    mail = call.json
    if len(call.body) > _MOST_BYTES:
        raise _bad("Request size is greater than 1 MB.")
    entries = mail.get("BulkEmailEntries") or []
    if not 1 <= len(entries) <= _MOST_ENTRIES:
        words = f"Member must have length less than or equal to {_MOST_ENTRIES}"
        raise _bad(f"Value at 'bulkEmailEntries' failed to satisfy constraint: {words}")
    template = (mail.get("DefaultContent") or {}).get("Template") or {}
    if not template.get("TemplateContent"):
        raise _bad("Template is missing.")
    for entry in [*entries, {"ReplacementHeaders": template.get("Headers")}]:
        _check_headers(entry.get("ReplacementHeaders") or [])
    told = [_judged(entry, accounts) for entry in entries]
    good = [e for e, t in zip(entries, told, strict=True) if t["Status"] == "SUCCESS"]
    answer = Answer(200, {"BulkEmailEntryResults": told})
    return Taken(answer, len(good), lambda: _messages(call.number, mail, good, accounts))


def _check_headers(headers: list[_Fields]) -> None:
    if len(headers) > _MOST_HEADERS:
        raise _bad(f"Member must have length less than or equal to {_MOST_HEADERS}")
    for header in headers:
        if not _NAME.fullmatch(header["Name"]) or not _VALUE.fullmatch(header["Value"]):
            raise _bad(f"Invalid header {header['Name']!r}.")


def _judged(entry: _Fields, accounts: Accounts) -> _Fields:
    to = (entry.get("Destination") or {}).get("ToAddresses") or [""]
    if all(accounts.is_address(bare(mailbox)) for mailbox in to):
        return _succeeded()
    return {"Status": "INVALID_PARAMETER", "Error": f"Illegal address: {to[0]}"}


def _messages(
    call: int, mail: _Fields, entries: list[_Fields], accounts: Accounts
) -> Iterator[Received]:
    for entry in entries:
        try:
            message = _message(call, mail, entry)
        except _UnrenderedError:
            continue
        for mailbox in entry["Destination"]["ToAddresses"]:
            if bare(mailbox) not in accounts.inactive:
                yield message


def _message(call: int, mail: _Fields, entry: _Fields) -> Received:
    template = mail["DefaultContent"]["Template"]
    content = template["TemplateContent"]
    replaced = (entry.get("ReplacementEmailContent") or {}).get("ReplacementTemplate") or {}
    known = json.loads(template.get("TemplateData") or "{}")
    known |= json.loads(replaced.get("ReplacementTemplateData") or "{}")
    subject, text, page = (
        _filled(content.get(name) or "", known) for name in ["Subject", "Text", "Html"]
    )
    headers = _headers(mail, template, entry)
    to = entry["Destination"]["ToAddresses"]
    return Received(bare(to[0]), subject, text, page, headers, _metadata(headers), call)


def _filled(template: str, known: _Fields) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name not in known:
            raise _UnrenderedError
        return str(known[name])

    return _TAG.sub(value, template)


def _headers(mail: _Fields, template: _Fields, entry: _Fields) -> dict[str, str]:
    usual = {
        "From": _decoded(mail["FromEmailAddress"]),
        "To": ", ".join(_decoded(to) for to in entry["Destination"]["ToAddresses"]),
    }
    if mail.get("ReplyToAddresses"):
        usual["Reply-To"] = ", ".join(_decoded(to) for to in mail["ReplyToAddresses"])
    given = merged(_listed(template.get("Headers")), _listed(entry.get("ReplacementHeaders")))
    given = {n: v for n, v in given.items() if n.lower() not in _OVERWRITTEN}
    return merged(usual, {"Message-ID": f"<{_id()}@eu-west-1.amazonses.com>"}, given)


def _listed(headers: list[_Fields] | None) -> dict[str, str]:
    return {header["Name"]: header["Value"] for header in headers or []}


def _decoded(mailbox: str) -> str:
    name, address = parseaddr(mailbox)
    return named(str(make_header(decode_header(name))), address)


def _metadata(headers: dict[str, str]) -> dict[str, str]:
    return {n: str(v) for n, v in json.loads(headers.get("X-Metadata") or "{}").items()}


def _one(call: Call, accounts: Accounts) -> Taken:
    raw = call.json["Content"].get("Raw")
    if not raw:
        raise _bad("Only raw messages are taken one by one.")
    mail = message_from_bytes(base64.b64decode(raw["Data"]), policy=policy.default)
    to = (call.json.get("Destination") or {}).get("ToAddresses") or mailboxes(mail["To"])
    if not all(accounts.is_address(address) for address in to):
        raise _bad(f"Illegal address: {to}")
    reached = [address for address in to if address not in accounts.inactive]
    answer = Answer(200, {"MessageId": _id()})
    return Taken(answer, 1, lambda: (_parsed(call.number, mail, address) for address in reached))


def _parsed(call: int, mail: EmailMessage, address: str) -> Received:
    headers = {n: str(v) for n, v in mail.items() if n.lower() not in _OVERWRITTEN}
    bodies = [mail.get_body((kind,)) for kind in ["plain", "html"]]
    text, page = (body.get_content() if body else "" for body in bodies)
    return Received(address, str(mail["Subject"]), text, page, headers, _metadata(headers), call)
