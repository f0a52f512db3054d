"""Resend: POST /emails and /emails/batch.

By its API reference ("Send batch emails", "Errors", "Idempotency keys") and changelog ("Batch
validation modes"):
- a batch has at most 100 emails, each with everything of its own; nothing is substituted;
- one that is wrong refuses them all, unless `x-batch-validation: permissive` asks for the others
  to be sent: then `errors` says which, by index, and `data` has only those that were taken;
- a repeated Idempotency-Key (at most 256 characters, known for 24 hours) is answered as before and
  sends nothing; the same key with another body is a conflict;
- an email reaches at most 50 addresses, and shows them to each other;
- a wrong key is 403, none at all 401;
- tracking is a setting of the domain and off until it is turned on.
It sends through Amazon's SES, which overwrites Message-ID and Date.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.providers.conversation import (
    Accounts,
    Answer,
    Call,
    Keys,
    Received,
    RefusedError,
    Taken,
)
from tests.providers.fields import bare
from tests.providers.identifiers import new_id

_MOST_EMAILS = 100
_MOST_RECIPIENTS = 50
_OVERWRITTEN = {"message-id", "date"}

_Fields = dict[str, Any]


class Resend:
    backend = "resend"

    def __init__(self) -> None:
        self._keys = Keys()

    def options(self, url: str) -> dict[str, Any]:
        return {"api_key": "resend-key", "api_url": url}

    def take(self, call: Call, accounts: Accounts) -> Taken:
        self._admit(call)
        key = call.headers.get("idempotency-key", "")
        if len(key) > 256:
            raise _refused(400, "invalid_idempotency_key", "The key must be between 1-256 chars.")
        if known := self._keys.known(key):
            return _repeated(call, *known)
        taken = self._taken(call, accounts)
        if key:
            self._keys.remember(key, call.body, taken.answer)
        return taken

    def count(self, call: Call) -> Taken:
        readers = call.body.count(b'"to"')
        if call.path == "/emails":
            return Taken(Answer(200, {"id": new_id()}), readers)
        return Taken(Answer(200, {"data": [_id() for _ in range(readers)]}), readers)

    def trouble(self, status: int) -> Answer:
        match status:
            case 401:
                return _error(
                    401, "missing_api_key", "Missing API key in the authorization header."
                )
            case 429:
                words = "Too many requests. You can only make 2 requests per second."
                return _error(429, "rate_limit_exceeded", words)
            case _:
                return _error(status, "internal_server_error", "An unexpected error occurred.")

    def _admit(self, call: Call) -> None:
        given = call.headers.get("authorization", "")
        if not given:
            raise RefusedError(self.trouble(401))
        if given != "Bearer resend-key":
            raise _refused(403, "invalid_api_key", "API key is invalid.")

    def _taken(self, call: Call, accounts: Accounts) -> Taken:
        if call.path == "/emails":
            _check(call.json, accounts)
            answer = Answer(200, _id())
            return Taken(answer, 1, lambda: _messages(call.number, [call.json], accounts))
        if call.path != "/emails/batch":
            raise _refused(404, "not_found", "The requested endpoint does not exist.")
        emails, errors = _sorted(call, accounts)
        told: _Fields = {"data": [_id() for _ in emails]}
        if errors:
            told["errors"] = errors
        return Taken(
            Answer(200, told), len(emails), lambda: _messages(call.number, emails, accounts)
        )


def _error(status: int, name: str, words: str) -> Answer:
    return Answer(status, {"statusCode": status, "name": name, "message": words})


def _refused(status: int, name: str, words: str) -> RefusedError:
    return RefusedError(_error(status, name, words))


def _id() -> dict[str, str]:
    return {"id": new_id()}


def _repeated(call: Call, body: bytes, answer: Answer) -> Taken:
    if body != call.body:
        words = "Same idempotency key used with a different request payload."
        raise _refused(409, "invalid_idempotent_request", words)
    return Taken(answer, 0)


def _sorted(call: Call, accounts: Accounts) -> tuple[list[_Fields], list[_Fields]]:
    """Those that are taken, and what is wrong with the others."""
    if len(call.json) > _MOST_EMAILS:
        words = f"You can only send up to {_MOST_EMAILS} emails in a batch."
        raise _refused(422, "validation_error", words)
    is_permissive = call.headers.get("x-batch-validation") == "permissive"
    emails, errors = [], []
    for index, email in enumerate(call.json):
        try:
            _check(email, accounts)
            emails.append(email)
        except RefusedError as refused:
            if not is_permissive:
                raise
            errors.append({"index": index, "message": refused.answer.body["message"]})
    return emails, errors


def _check(email: _Fields, accounts: Accounts) -> None:
    for name in ["from", "to", "subject"]:
        if not email.get(name):
            raise _refused(422, "missing_required_field", f"Missing `{name}` field.")
    if not email.get("html") and not email.get("text"):
        raise _refused(422, "missing_required_field", "Missing `html` or `text` field.")
    to = _list(email["to"])
    if len(to) > _MOST_RECIPIENTS:
        words = f"The `to` field must not exceed {_MOST_RECIPIENTS} recipients."
        raise _refused(422, "validation_error", words)
    for name, mailboxes in [("from", [email["from"]]), ("to", to)]:
        if not all(accounts.is_address(bare(mailbox)) for mailbox in mailboxes):
            words = f"Invalid `{name}` field. The email address needs to follow the format."
            raise _refused(422, "validation_error", words)


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def _messages(call: int, emails: list[_Fields], accounts: Accounts) -> Iterator[Received]:
    for email in emails:
        for mailbox in _list(email["to"]):
            if bare(mailbox) not in accounts.inactive:
                yield _message(call, email, bare(mailbox))


def _message(call: int, email: _Fields, address: str) -> Received:
    given = {n: v for n, v in (email.get("headers") or {}).items() if n.lower() not in _OVERWRITTEN}
    usual = {
        "From": email["from"],
        "To": ", ".join(_list(email["to"])),
        "Message-ID": f"<{new_id()}@email.amazonses.com>",
    }
    if email.get("reply_to"):
        usual["Reply-To"] = ", ".join(_list(email["reply_to"]))
    return Received(
        address,
        email["subject"],
        email.get("text", ""),
        email.get("html", ""),
        usual | given,
        json.loads(given.get("X-Metadata", "{}")),
        call,
    )
