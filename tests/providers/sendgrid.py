"""SendGrid: POST /v3/mail/send.

By its API reference ("Mail Send", "Errors", "Personalizations", "Substitutions"):
- at most 1,000 personalizations and recipients; each personalization is one message, whose
  recipients see each other; the same address twice refuses the call;
- a personalization's `substitutions` replace any text by any other in subject and bodies, with
  nothing escaped; 10,000 of them in a request;
- headers and custom_args of a personalization override the message's by name; some headers are
  reserved; custom_args are strings, 10,000 bytes for a personalization;
- whatever is wrong refuses the whole call; who is suppressed is dropped without a word;
- the answer is 202 and empty, with X-Message-Id;
- opens, clicks and an unsubscribe link of its own are settings of the account, on in this one,
  which tracking_settings turn off.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.providers.conversation import Accounts, Answer, Call, Received, RefusedError, Taken
from tests.providers.fields import merged, named
from tests.providers.identifiers import new_id
from tests.providers.rewriting import with_clicks, with_opens

_MOST_READERS = 1000
_MOST_SUBSTITUTIONS = 10_000
_MOST_BYTES = 10_000
_RESERVED = {
    *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "to", "from"),
    *("content-transfer-encoding", "subject", "reply-to", "cc", "bcc"),
}
_HOST = "u1.ct.sendgrid.net"

_Fields = dict[str, Any]


class SendGrid:
    backend = "sendgrid"

    def options(self, url: str) -> dict[str, Any]:
        return {"api_key": "sendgrid-key", "api_url": f"{url}/v3/"}

    def take(self, call: Call, accounts: Accounts) -> Taken:
        if call.headers.get("authorization") != "Bearer sendgrid-key":
            raise RefusedError(self.trouble(401))
        if call.path != "/v3/mail/send":
            raise _refused("not found", status=404)
        _check(call.json)
        people = call.json["personalizations"]
        _check_recipients(people, accounts)
        for person in people:
            _check_person(call.json, person)
        return Taken(_accepted(), _readers(people), lambda: _messages(call, accounts))

    def count(self, call: Call) -> Taken:
        return Taken(_accepted(), call.body.count(b'"to"'))

    def trouble(self, status: int) -> Answer:
        words = {
            401: "The provided authorization grant is invalid, expired, or revoked",
            429: "too many requests",
        }.get(status, "Internal server error")
        return _error(status, words, None)


def _error(status: int, words: str, field: str | None) -> Answer:
    return Answer(status, {"errors": [{"message": words, "field": field, "help": None}]})


def _refused(words: str, field: str | None = None, status: int = 400) -> RefusedError:
    return RefusedError(_error(status, words, field))


def _accepted() -> Answer:
    return Answer(202, "", {"X-Message-Id": new_id()})


def _readers(people: list[_Fields]) -> int:
    return sum(len(person.get("to") or []) for person in people)


def _check(mail: _Fields) -> None:
    people = mail.get("personalizations")
    if not people:
        raise _refused("You must have at least one personalization.", "personalizations")
    if len(people) > _MOST_READERS:
        words = (
            f"The personalization block is limited to {_MOST_READERS} personalizations per API"
            f" request. You have provided {len(people)} personalizations."
        )
        raise _refused(words, "personalizations")
    if _readers(people) > _MOST_READERS:
        words = f"There is a limit of {_MOST_READERS} total recipients (to + cc + bcc) per request."
        raise _refused(words, "personalizations")
    if not mail.get("from"):
        raise _refused("The from object must be provided for every email send.", "from")
    types = [content["type"] for content in mail.get("content") or []]
    if not types or not all(content["value"] for content in mail["content"]):
        raise _refused("The content value must be a string at least one character.", "content")
    if types != sorted(types, reverse=True):
        raise _refused("text/plain needs to be first, followed by text/html.", "content")


def _check_recipients(people: list[_Fields], accounts: Accounts) -> None:
    times = Counter(to["email"].lower() for person in people for to in person.get("to") or [])
    for number, person in enumerate(people):
        for to in person.get("to") or [{}]:
            if not accounts.is_address(to.get("email", "")):
                field = f"personalizations.{number}.to.0.email"
                raise _refused("Does not contain a valid address.", field)
    for address, often in times.items():
        if often > 1:
            words = (
                "Each unique email address in the personalizations array should only be included"
                f" once. You have included [{address}] more than once."
            )
            raise _refused(words, "personalizations")
    if sum(len(person.get("substitutions") or {}) for person in people) > _MOST_SUBSTITUTIONS:
        words = "You are limited to 10,000 substitutions."
        raise _refused(words, "personalizations.substitutions")


def _check_person(mail: _Fields, person: _Fields) -> None:
    if not person.get("subject", mail.get("subject")):
        raise _refused("The subject is required.", "subject")
    for name, value in merged(mail.get("headers"), person.get("headers")).items():
        if name.lower() in _RESERVED:
            raise _refused("Header cannot be one of the reserved keys.", "headers")
        if not isinstance(value, str) or not name.isascii():
            raise _refused("All values of the headers object must be strings.", "headers")
    told = _custom(mail, person)
    if not all(isinstance(value, str) for value in told.values()):
        raise _refused("All values of custom arguments object must be strings", "custom_args")
    if sum(len(f"{name}{value}".encode()) for name, value in told.items()) > _MOST_BYTES:
        raise _refused("custom arguments may not exceed 10,000 bytes", "custom_args")


def _custom(mail: _Fields, person: _Fields) -> dict[str, str]:
    return (mail.get("custom_args") or {}) | (person.get("custom_args") or {})


def _messages(call: Call, accounts: Accounts) -> Iterator[Received]:
    mail = call.json
    contents = {content["type"]: content["value"] for content in mail["content"]}
    for person in mail["personalizations"]:
        fill = _filling(person.get("substitutions") or {})
        for to in person["to"]:
            if to["email"] not in accounts.inactive:
                yield Received(
                    to["email"],
                    fill(person.get("subject") or mail["subject"]),
                    *_settled(
                        mail,
                        fill(contents.get("text/plain", "")),
                        fill(contents.get("text/html", "")),
                    ),
                    _headers(mail, person),
                    _custom(mail, person),
                    call.number,
                )


def _filling(substitutions: dict[str, str]) -> Any:
    """All at once: what came in by one is not looked at again."""
    if not substitutions:
        return str
    longest_first = sorted(substitutions, key=len, reverse=True)
    tags = re.compile("|".join(re.escape(tag) for tag in longest_first))
    return lambda text: tags.sub(lambda found: substitutions[found[0]], text)


def _headers(mail: _Fields, person: _Fields) -> dict[str, str]:
    headers = {
        "From": _mailbox(mail["from"]),
        "To": ", ".join(_mailbox(to) for to in person["to"]),
        "Message-ID": f"<{new_id()}@geopod-ismtpd-1>",
    }
    if replies := mail.get("reply_to_list") or [mail[n] for n in ["reply_to"] if n in mail]:
        headers["Reply-To"] = ", ".join(_mailbox(reply) for reply in replies)
    if _is_on(mail, "subscription_tracking"):
        headers["List-Unsubscribe"] = f"<https://{_HOST}/wf/unsubscribe>"
    return merged(headers, mail.get("headers"), person.get("headers"))


def _mailbox(address: dict[str, str]) -> str:
    return named(address.get("name"), address["email"])


def _settled(mail: _Fields, text: str, page: str) -> tuple[str, str]:
    """The bodies as the account's settings leave them."""
    if _is_on(mail, "click_tracking"):
        page = with_clicks(page, _HOST)
    if page and _is_on(mail, "open_tracking"):
        page = with_opens(page, _HOST)
    if _is_on(mail, "subscription_tracking"):
        link = f"https://{_HOST}/wf/unsubscribe"
        text, page = f"{text}\n{link}", f'{page}<a href="{link}">unsubscribe</a>'
    return text, page


def _is_on(mail: _Fields, setting: str) -> bool:
    told = (mail.get("tracking_settings") or {}).get(setting) or {}
    return bool(told.get("enable", True))
