"""Mailjet: POST /v3.1/send.

By its guides ("Send API v3.1", "Sending in bulk", "Personalisation", "Template language") and
the tests of its own libraries:
- at most 50 messages; whatever `Globals` has, each message has, unless it says the same property
  itself: its Headers and Variables take the place of those in Globals;
- every message is checked for itself: the good ones are sent, and the answer is 400 if one was not
  (mailjet-apiv3-java, SendEmailsIT); what is wrong with the whole call refuses it as a whole;
- `[[var:key]]` and `[[var:key:default]]` are replaced in the bodies, never in the subject; with
  TemplateLanguage `{{var:key}}` is too, there and in the subject: a variable that is missing then
  blocks the message without a word; nothing is escaped;
- To shows a message's addresses to each other, at most 50;
- some headers cannot be given; Sender needs Mailjet's special approval (Anymail's documentation);
- EventPayload travels with every event; who is on its exclusion list is dropped without a word;
- opens and clicks are counted as the account says, unless TrackOpens and TrackClicks say no.
"""

import base64
import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

from tests.providers.conversation import Accounts, Answer, Call, Received, RefusedError, Taken
from tests.providers.fields import merged, named
from tests.providers.identifiers import new_id
from tests.providers.rewriting import with_clicks, with_opens

_MOST_MESSAGES = 50
_MOST_RECIPIENTS = 50
_FIXED_HEADERS = {
    *("from", "sender", "subject", "to", "cc", "bcc", "reply-to", "return-path", "delivered-to"),
    *("dkim-signature", "domainkey-status", "received-spf", "authentication-results", "received"),
    *("user-agent", "x-mailer", "x-mj-customid", "x-mj-eventpayload", "x-mj-vars"),
    *("x-mj-templatelanguage", "x-mailjet-prio", "x-feedback-id", "x-csa-complaints"),
    *("list-id", "date", "message-id"),
}
_OLD = re.compile(r"\[\[(var|data):([^\[\]:]+)(?::([^\[\]]*))?\]\]|\[\[UNSUB_LINK_[A-Z]+\]\]")
_NEW = re.compile(r"\{\{\s*(var|data):([^{}:]+?)\s*(?::([^{}]*))?\}\}|\{\{.*?\}\}|\{%.*?%\}")
# As it stands between messages: inside one its quotes have backslashes.
_TO = re.compile(r'"To": ?\[\{[^\]]*?"Email": ?"([^"]*)"')
_HOST = "x1.mjt.lu"
_IDS = count(576_460_752_303_423_488)

_Fields = dict[str, Any]


class _BlockedError(Exception):
    """A message that is accepted and never leaves."""


class Mailjet:
    backend = "mailjet"

    def options(self, url: str) -> dict[str, Any]:
        return {
            "api_key": "mailjet-key",
            "secret_key": "mailjet-secret",
            "api_url": f"{url}/v3.1/",
        }

    def take(self, call: Call, accounts: Accounts) -> Taken:
        sign_in = base64.b64encode(b"mailjet-key:mailjet-secret").decode()
        if call.headers.get("authorization") != f"Basic {sign_in}":
            raise RefusedError(self.trouble(401))
        if call.path != "/v3.1/send":
            raise RefusedError(_error(404, "mj-0004", "Resource not found."))
        messages = _messages(call.json)
        wrong = [_wrong(message, accounts) for message in messages]
        told = [_failed(w) if w else _sent(m) for m, w in zip(messages, wrong, strict=True)]
        good = [m for m, w in zip(messages, wrong, strict=True) if not w]
        answer = Answer(400 if any(wrong) else 200, {"Messages": told})
        return Taken(answer, len(good), lambda: _received(call.number, good, accounts))

    def count(self, call: Call) -> Taken:
        told = [_sent({"To": [{"Email": to}]}) for to in _TO.findall(call.body.decode())]
        return Taken(Answer(200, {"Messages": told}), len(told))

    def trouble(self, status: int) -> Answer:
        match status:
            case 401:
                words = "API key authentication/authorization failure."
                return _error(status, "mj-0015", words)
            case 429:
                return _error(status, "mj-0017", "Too many requests.")
            case _:
                return _error(status, "mj-0001", "Internal server error.")


def _error(status: int, code: str, words: str, related: str = "") -> Answer:
    return Answer(status, _told(status, code, words, related))


def _told(status: int, code: str, words: str, related: str) -> _Fields:
    return {
        "ErrorIdentifier": new_id(),
        "ErrorCode": code,
        "StatusCode": status,
        "ErrorMessage": words,
        "ErrorRelatedTo": [related],
    }


def _messages(mail: _Fields) -> list[_Fields]:
    given = mail.get("Messages")
    if not given:
        raise RefusedError(_error(400, "mj-0003", "Missing mandatory property.", "Messages"))
    if len(given) > _MOST_MESSAGES:
        words = f"Number of items should be between 1 and {_MOST_MESSAGES}."
        raise RefusedError(_error(400, "mj-0005", words, "Messages"))
    return [(mail.get("Globals") or {}) | message for message in given]


def _wrong(message: _Fields, accounts: Accounts) -> _Fields | None:
    """What is wrong with a message, if anything is."""
    for name in ["From", "To"]:
        if not message.get(name):
            return _told(400, "mj-0003", "Missing mandatory property.", name)
    if not message.get("TextPart") and not message.get("HTMLPart"):
        words = 'At least "HTMLPart", "TextPart" or "TemplateID" must be provided.'
        return _told(400, "send-0003", words, "HTMLPart")
    if len(message["To"]) > _MOST_RECIPIENTS:
        return _told(400, "send-0004", "Too many recipients.", "To")
    if message.get("Sender"):
        return _told(403, "send-0008", "Sender is not authorized.", "Sender")
    return _wrong_recipient(message, accounts) or _wrong_header(message)


def _wrong_recipient(message: _Fields, accounts: Accounts) -> _Fields | None:
    for number, to in enumerate(message["To"]):
        if not accounts.is_address(to["Email"]):
            words = f'"{to["Email"]}" is an invalid email address.'
            return _told(400, "mj-0013", words, f"To[{number}].Email")
    return None


def _wrong_header(message: _Fields) -> _Fields | None:
    for name in message.get("Headers") or {}:
        if name.lower() in _FIXED_HEADERS:
            words = 'Header cannot be customized using the "Headers" collection.'
            return _told(400, "send-0011", words, f'Headers["{name}"]')
    return None


def _sent(message: _Fields) -> _Fields:
    return {
        "Status": "success",
        "CustomID": message.get("CustomID", ""),
        "To": [_recipient(to["Email"]) for to in message["To"]],
        "Cc": [],
        "Bcc": [],
    }


def _recipient(address: str) -> _Fields:
    number = next(_IDS)
    return {
        "Email": address,
        "MessageUUID": new_id(),
        "MessageID": number,
        "MessageHref": f"https://api.mailjet.com/v3/REST/message/{number}",
    }


def _failed(wrong: _Fields) -> _Fields:
    return {"Status": "error", "Errors": [wrong]}


def _received(call: int, messages: list[_Fields], accounts: Accounts) -> Iterator[Received]:
    for message in messages:
        try:
            text, page = (_body(message, name) for name in ["TextPart", "HTMLPart"])
            subject = _subject(message)
        except _BlockedError:
            continue
        for to in message["To"]:
            if to["Email"] not in accounts.inactive:
                yield Received(
                    to["Email"],
                    subject,
                    text,
                    _counted(page, message),
                    _headers(message),
                    _payload(message),
                    call,
                )


def _subject(message: _Fields) -> str:
    subject = message.get("Subject", "")
    return _templated(subject, message) if message.get("TemplateLanguage") else subject


def _body(message: _Fields, name: str) -> str:
    """In one pass for each syntax: the values of the first are not looked at by the second."""
    body = message.get(name, "")
    if not message.get("TemplateLanguage"):
        return _OLD.sub(lambda found: _old(found, message), body)
    return _templated(body, message)


def _old(found: re.Match[str], message: _Fields) -> str:
    if found[1] is None:
        return f"https://{_HOST}/unsub"
    known = (message.get("Variables") or {}) if found[1] == "var" else {}
    return str(known.get(found[2], (found[3] or "").strip("\"'")))


def _templated(body: str, message: _Fields) -> str:
    known = message.get("Variables") or {}

    def value(found: re.Match[str]) -> str:
        if found[0].startswith("[["):
            return _old(re.fullmatch(_OLD, found[0]), message)  # type: ignore[arg-type]
        parts = _NEW.fullmatch(found[0])
        if not parts or parts[1] is None:
            raise _BlockedError
        if parts[1] == "var" and parts[2] in known:
            return str(known[parts[2]])
        if parts[3] is None:
            raise _BlockedError
        return parts[3].strip("\"'")

    return re.sub(f"{_OLD.pattern}|{_NEW.pattern}", value, body)


def _headers(message: _Fields) -> dict[str, str]:
    usual = {
        "From": named(message["From"].get("Name"), message["From"]["Email"]),
        "To": ", ".join(named(to.get("Name"), to["Email"]) for to in message["To"]),
        "Message-ID": f"<{new_id()}@mailjet.com>",
    }
    if reply := message.get("ReplyTo"):
        usual["Reply-To"] = named(reply.get("Name"), reply["Email"])
    return merged(usual, message.get("Headers"))


def _payload(message: _Fields) -> dict[str, str]:
    return {n: str(v) for n, v in json.loads(message.get("EventPayload") or "{}").items()}


def _counted(page: str, message: _Fields) -> str:
    if message.get("TrackClicks", "account_default") != "disabled":
        page = with_clicks(page, _HOST)
    if page and message.get("TrackOpens", "account_default") != "disabled":
        page = with_opens(page, _HOST)
    return page
