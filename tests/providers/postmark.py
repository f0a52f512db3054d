"""Postmark: POST /email, /email/batch and /email/bulk.

By its API reference ("Email API", "Bulk Email", "API overview: error codes") and support articles
(1180: error 300; 1077: template syntax; 1208, 1299 and 1300: unsubscribe links; metadata):
- /email/batch takes 500 messages, each with bodies, headers and metadata of its own; it answers 200
  and says for each, in their order, what became of it. Nothing is substituted in it but
  `{{{ pm:unsubscribe }}}`;
- /email/bulk takes one wording and any number of readers within 50 MB, with Mustachio in subject
  and bodies: `{{key}}` is escaped in HTML, `{{{key}}}` nowhere, what has no value becomes nothing.
  It has to be unlocked by their support (422, 14), answers for all at once, and leaves aside those
  it does not reach without a word;
- a message reaches at most 50 addresses, and shows them to each other;
- metadata: 10 fields, names of 20 and values of 80 characters;
- Message-ID is Postmark's own unless X-PM-KeepID says otherwise;
- a broadcast stream adds Postmark's own unsubscribe link and headers, unless they approved of the
  account's own way;
- links are counted as the server says, unless TrackLinks says no; opens where TrackOpens says yes,
  which no message can forbid where the server counts them (this one does not).
"""

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.providers.conversation import Accounts, Answer, Call, Received, RefusedError, Taken
from tests.providers.fields import mailboxes
from tests.providers.identifiers import new_id
from tests.providers.rewriting import with_clicks, with_opens

_MOST_MESSAGES = 500
_MOST_BYTES = 50 * 1024 * 1024
_MOST_RECIPIENTS = 50
_STREAMS = {"outbound", "broadcast"}
_HOST = "click.pstmrk.it"
_UNSUBSCRIBE = re.compile(r"\{\{\{\s*pm:unsubscribe[^}]*\}\}\}")
_TAG = re.compile(r"\{\{\{\s*([^{}]*?)\s*\}\}\}|\{\{\s*([^{}]*?)\s*\}\}")
# As it stands between messages: inside one its quotes have backslashes.
_TO = re.compile(r'"To": ?"((?:[^"\\]|\\.)*)"')
_KNOWN = re.compile(r"&?\s*[\w.]+|pm:unsubscribe.*")

_Fields = dict[str, Any]


class _InvalidError(Exception):
    """A message that is not taken, as Postmark's code and words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(code, words)
        self.told = {"ErrorCode": code, "Message": words}


class Postmark:
    """A server whose broadcast stream leaves unsubscribing to us."""

    backend = "postmark"
    has_bulk = False
    adds_unsubscribe = False

    def options(self, url: str) -> dict[str, Any]:
        return {"server_token": "postmark-token", "api_url": url}

    def take(self, call: Call, accounts: Accounts) -> Taken:
        self._admit(call)
        match call.path:
            case "/email":
                return self._one(call, accounts)
            case "/email/batch":
                return self._batch(call, accounts)
            case "/email/bulk":
                return self._bulk(call, accounts)
        raise RefusedError(_said(404, 404, "Not found."))

    def count(self, call: Call) -> Taken:
        if call.path == "/email/bulk":
            return Taken(_in_progress(call.json), call.body.count(b'"To"'))
        if call.path == "/email":
            return Taken(Answer(200, _ok(call.json["To"])), 1)
        taken = _ok("")
        told = [taken | {"To": to, "MessageID": new_id()} for to in _TO.findall(call.body.decode())]
        return Taken(Answer(200, told), len(told))

    def trouble(self, status: int) -> Answer:
        match status:
            case 401:
                words = "No Account or Server API tokens were supplied in the HTTP headers."
                return _said(status, 10, words)
            case 429:
                return _said(status, 429, "Rate limit exceeded.")
            case _:
                return _said(status, 500, "Internal server error.")

    def _admit(self, call: Call) -> None:
        if call.headers.get("x-postmark-server-token") != "postmark-token":
            raise RefusedError(self.trouble(401))
        if len(call.body) > _MOST_BYTES:
            raise RefusedError(_said(413, 0, "Payload too large."))
        try:
            call.json  # noqa: B018
        except ValueError:
            raise RefusedError(_said(422, 402, "Received invalid JSON input.")) from None

    def _one(self, call: Call, accounts: Accounts) -> Taken:
        try:
            told = _told(call.json, accounts)
        except _InvalidError as invalid:
            raise RefusedError(Answer(422, invalid.told)) from None
        answer = Answer(200, told)
        return Taken(answer, 1, lambda: self._messages(call.number, call.json, told))

    def _batch(self, call: Call, accounts: Accounts) -> Taken:
        if len(call.json) > _MOST_MESSAGES:
            words = f"Your batched request contains more than {_MOST_MESSAGES} messages."
            raise RefusedError(_said(422, 410, words))
        told = [_told_or_refused(message, accounts) for message in call.json]
        return Taken(Answer(200, told), len(told), lambda: self._all(call, told))

    def _all(self, call: Call, told: list[_Fields]) -> Iterator[Received]:
        for message, answer in zip(call.json, told, strict=True):
            if answer["ErrorCode"] == 0:
                yield from self._messages(call.number, message, answer)

    def _bulk(self, call: Call, accounts: Accounts) -> Taken:
        if not self.has_bulk:
            words = "This endpoint requires approval to access. Contact support to use the Bulk API"
            raise RefusedError(_said(422, 14, words))
        shared = {name: value for name, value in call.json.items() if name != "Messages"}
        _check_templates(shared)
        messages = [shared | message for message in call.json.get("Messages") or []]
        try:
            for message in messages:
                _check(message, accounts)
        except _InvalidError as invalid:
            raise RefusedError(Answer(422, invalid.told)) from None
        reached = [m for m in messages if not accounts.inactive & set(mailboxes(m["To"]))]
        return Taken(
            _in_progress(call.json), len(messages), lambda: self._filled(call.number, reached)
        )

    def _filled(self, call: int, messages: list[_Fields]) -> Iterator[Received]:
        for message in messages:
            model = message.get("TemplateModel") or {}
            own = {
                "Subject": _filled(message.get("Subject", ""), model),
                "TextBody": _filled(message.get("TextBody", ""), model),
                "HtmlBody": _filled(message.get("HtmlBody", ""), model, _escaped),
            }
            yield from self._messages(call, message | own, _ok(message["To"]))

    def _messages(self, call: int, message: _Fields, told: _Fields) -> Iterator[Received]:
        headers = _headers(message, told)
        text, page = message.get("TextBody", ""), message.get("HtmlBody", "")
        if self.adds_unsubscribe and message.get("MessageStream") == "broadcast":
            link = f"https://{_HOST}/unsubscribe"
            headers |= {"List-Unsubscribe": f"<{link}>"}
            text, page = f"{text}\n{link}", f'{page}<a href="{link}">Unsubscribe</a>'
        for address in mailboxes(message["To"]):
            yield Received(
                address,
                message.get("Subject", ""),
                _with_placeholder(text),
                _counted(_with_placeholder(page), message),
                headers,
                {name: str(value) for name, value in (message.get("Metadata") or {}).items()},
                call,
            )


class PostmarkBulk(Postmark):
    """One whose owners asked for the bulk API."""

    has_bulk = True

    def options(self, url: str) -> dict[str, Any]:
        return super().options(url) | {"use_bulk_api": True, "message_stream": "broadcast"}


def _said(status: int, code: int, words: str) -> Answer:
    return Answer(status, {"ErrorCode": code, "Message": words})


def _ok(to: str) -> _Fields:
    return {
        "ErrorCode": 0,
        "Message": "OK",
        "MessageID": new_id(),
        "SubmittedAt": datetime.now(UTC).isoformat(),
        "To": to,
    }


def _in_progress(bulk: _Fields) -> Answer:
    told = {
        "ID": new_id(),
        "SubmittedAt": datetime.now(UTC).isoformat(),
        "TotalMessages": len(bulk["Messages"]),
        "PercentageCompleted": 0.0,
        "Status": "Accepted",
        "Subject": bulk.get("Subject", ""),
    }
    return Answer(200, told)


def _told_or_refused(message: _Fields, accounts: Accounts) -> _Fields:
    try:
        return _told(message, accounts)
    except _InvalidError as invalid:
        return invalid.told


def _told(message: _Fields, accounts: Accounts) -> _Fields:
    _check(message, accounts)
    if inactive := [to for to in mailboxes(message["To"]) if to in accounts.inactive]:
        words = (
            "You tried to send to a recipient that has been marked as inactive."
            f" Found inactive addresses: {', '.join(inactive).lower()}. Inactive recipients are"
            " ones that have generated a hard bounce, a spam complaint, or a manual suppression."
        )
        raise _InvalidError(406, words)
    return _ok(message["To"])


def _check(message: _Fields, accounts: Accounts) -> None:
    to = mailboxes(message.get("To"))
    if not to:
        raise _InvalidError(300, "Zero recipients specified")
    if len(to) > _MOST_RECIPIENTS:
        raise _InvalidError(300, f"Max {_MOST_RECIPIENTS} recipients allowed per email message.")
    for name in ["From", "To"]:
        for address in mailboxes(message.get(name)) or [""]:
            if not accounts.is_address(address):
                raise _InvalidError(300, f"Invalid '{name}' address: '{address}'.")
    if not message.get("TextBody") and not message.get("HtmlBody"):
        raise _InvalidError(300, "Provide either email TextBody or HtmlBody or both.")
    if (stream := message.get("MessageStream", "outbound")) not in _STREAMS:
        words = f"The stream provided: '{stream}' does not exist on this server."
        raise _InvalidError(1235, words)
    _check_metadata(message.get("Metadata") or {})


def _check_metadata(metadata: _Fields) -> None:
    if len(metadata) > 10:
        raise _InvalidError(300, "Invalid metadata content. Max 10 fields are allowed.")
    for name, value in metadata.items():
        if len(name) > 20 or len(str(value)) > 80:
            raise _InvalidError(300, f"Invalid metadata content. Field '{name}' is too long.")


def _headers(message: _Fields, told: _Fields) -> dict[str, str]:
    given = {header["Name"]: header["Value"] for header in message.get("Headers") or []}
    is_kept = given.pop("X-PM-KeepID", "").lower() == "true"
    given = {n: v for n, v in given.items() if is_kept or n.lower() != "message-id"}
    usual = {
        "From": message["From"],
        "To": message["To"],
        "Message-ID": f"<{told['MessageID']}@mtasv.net>",
    }
    if message.get("ReplyTo"):
        usual["Reply-To"] = message["ReplyTo"]
    return usual | given


def _with_placeholder(body: str) -> str:
    return _UNSUBSCRIBE.sub(f"https://{_HOST}/unsubscribe", body)


def _check_templates(shared: _Fields) -> None:
    for name in ["Subject", "TextBody", "HtmlBody"]:
        for raw, usual in _TAG.findall(shared.get(name, "")):
            if not _KNOWN.fullmatch(raw or usual):
                words = f"{name} is not a valid template: {raw or usual}"
                raise RefusedError(_said(422, 1109, words))


def _filled(template: str, model: _Fields, escaped: Any = str) -> str:
    """Mustachio, so far as it fills in values: sections and the like are left out of it."""
    if "{{" not in template:
        return template

    def value(found: re.Match[str]) -> str:
        raw, usual = found[1], found[2]
        name = raw if raw is not None else usual
        if name.startswith("pm:"):
            return found[0]
        given = str(model.get(name.removeprefix("&").strip(), ""))
        return given if raw is not None or name.startswith("&") else escaped(given)

    return _TAG.sub(value, template)


def _escaped(value: str) -> str:
    """As .NET's HtmlEncode does it: Latin-1 letters become numbers too."""
    letters = (f"&#{ord(c)};" if "\xa0" <= c < "\u0100" else c for c in html.escape(value))
    return "".join(letters).replace("&#x27;", "&#39;")


def _counted(page: str, message: _Fields) -> str:
    if message.get("TrackLinks", "HtmlAndText") in {"HtmlAndText", "HtmlOnly"}:
        page = with_clicks(page, _HOST)
    if page and message.get("TrackOpens"):
        page = with_opens(page, _HOST)
    return page
