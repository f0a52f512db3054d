"""Brevo: POST /v3/smtp/email.

By its guides ("Batch send transactional emails", "Idempotency for batch emails", "Template
language", "Disable auto-escaping and display double curly brackets") and what customers found:
- at most 1,000 messageVersions, each with at most 99 addresses, which see each other; the top
  level's `to` is then ignored; `params` of a version 100 kB, of all together 1,000 kB;
- the language looks like Django's: `{{ params.key }}` is escaped for HTML wherever it stands,
  unless `|safe` or an autoescape block says no; `{% verbatim %}` leaves alone what is in it; what
  it does not know becomes nothing;
- values of params are evaluated themselves (betagouv/recommandations-collaboratives, pull 2381);
- a version's subject, bodies and headers override those at the top, headers by name;
- `idempotencyKey`, a UUID among the body's headers and not HTTP's, is known for 30 minutes; used
  again it is refused (400 duplicate_parameter), and nothing is sent;
- HTML is required; headers that are not ASCII leave as raw UTF-8, names are lost where there is a
  comma in them besides (Anymail's documentation);
- Message-ID is Brevo's own; a List-Unsubscribe of its own is added where the sender gives none;
- whatever is wrong refuses the whole call; who is on its block list is dropped without a word;
- tracking is a setting of the account, off in this one: no call can say it.
"""

import html
import json
import re
import uuid
from collections.abc import Iterator
from email.header import decode_header, make_header
from functools import lru_cache
from typing import Any, NamedTuple

from tests.providers.conversation import (
    Accounts,
    Answer,
    Call,
    Keys,
    Received,
    RefusedError,
    Taken,
)
from tests.providers.fields import merged, named
from tests.providers.identifiers import new_id

_MOST_VERSIONS = 1000
_MOST_RECIPIENTS = 99
_MOST_OF_ONE = 100 * 1000
_MOST_OF_ALL = 1000 * 1000
_BLOCKS = re.compile(
    r"\{%\s*verbatim\s*%\}(.*?)\{%\s*endverbatim\s*%\}"
    r"|\{%\s*autoescape off\s*%\}(.*?)\{%\s*endautoescape\s*%\}"
    r"|\{\{\s*([^{}]*?)\s*\}\}|\{%.*?%\}|\{#.*?#\}",
    re.DOTALL,
)
_SPECIALS = re.compile(r'[,;:<>()@"\[\]\\.]')
_UNSUBSCRIBE = "https://r.mailin.fr/unsubscribe"

_Fields = dict[str, Any]


class Brevo:
    backend = "brevo"

    def __init__(self) -> None:
        self._keys = Keys()

    def options(self, url: str) -> dict[str, Any]:
        return {"api_key": "brevo-key", "api_url": f"{url}/v3/"}

    def take(self, call: Call, accounts: Accounts) -> Taken:
        if call.headers.get("api-key") != "brevo-key":
            raise RefusedError(self.trouble(401))
        if call.path != "/v3/smtp/email":
            raise _refused("not_found", "Invalid route/method passed", 404)
        versions = _versions(call.json)
        for version in versions:
            _check(version, accounts)
        self._check_key(call)
        answer = _accepted(call.json, len(versions))
        self._remember(call, answer)
        return Taken(answer, len(versions), lambda: _messages(call.number, versions, accounts))

    def count(self, call: Call) -> Taken:
        readers = call.body.count(b'"to"')
        return Taken(_accepted({"messageVersions": True}, readers), readers)

    def trouble(self, status: int) -> Answer:
        match status:
            case 401:
                return _error(status, "unauthorized", "Key not found")
            case 429:
                return _error(status, "too_many_requests", "API rate limit exceeded")
            case _:
                return _error(status, "internal_error", "Internal server error")

    def _check_key(self, call: Call) -> None:
        if not (key := _key(call)):
            return
        try:
            uuid.UUID(key)
        except ValueError:
            raise _refused("invalid_parameter", "idempotencyKey should be a valid uuid") from None
        if self._keys.known(key):
            raise _refused("duplicate_parameter", "idempotencyKey has been used already")

    def _remember(self, call: Call, answer: Answer) -> None:
        if key := _key(call):
            self._keys.remember(key, call.body, answer)


def _error(status: int, code: str, words: str) -> Answer:
    return Answer(status, {"code": code, "message": words})


def _refused(code: str, words: str, status: int = 400) -> RefusedError:
    return RefusedError(_error(status, code, words))


def _accepted(mail: _Fields, readers: int) -> Answer:
    ids = [f"<{new_id()}@smtp-relay.mailin.fr>" for _ in range(readers)]
    if "messageVersions" in mail:
        return Answer(201, {"messageIds": ids})
    return Answer(201, {"messageId": ids[0]})


def _key(call: Call) -> str:
    headers = call.json.get("headers") or {}
    return next((value for name, value in headers.items() if name.lower() == "idempotencykey"), "")


def _versions(mail: _Fields) -> list[_Fields]:
    """Each with all that it takes from the top."""
    given = mail.get("messageVersions")
    if given is None:
        return [mail]
    if len(given) > _MOST_VERSIONS:
        words = f"messageVersions should not have more than {_MOST_VERSIONS} versions"
        raise _refused("invalid_parameter", words)
    sizes = [len(json.dumps(version.get("params") or {}).encode()) for version in given]
    if max(sizes) > _MOST_OF_ONE or sum(sizes) > _MOST_OF_ALL:
        raise _refused("invalid_parameter", "params of messageVersions are too large")
    shared = {name: value for name, value in mail.items() if name not in {"messageVersions", "to"}}
    return [
        shared | version | {"headers": merged(mail.get("headers"), version.get("headers"))}
        for version in given
    ]


def _check(version: _Fields, accounts: Accounts) -> None:
    if not version.get("sender"):
        raise _refused("missing_parameter", "sender is missing")
    if not version.get("subject"):
        raise _refused("missing_parameter", "subject is missing")
    if not version.get("htmlContent"):
        raise _refused("missing_parameter", "htmlContent is missing")
    to = version.get("to")
    if not to or len(to) > _MOST_RECIPIENTS:
        raise _refused("missing_parameter", "to is missing, or has too many")
    for address in to:
        if not accounts.is_address(address.get("email", "")):
            raise _refused("invalid_parameter", "email is not valid in to")


def _messages(call: int, versions: list[_Fields], accounts: Accounts) -> Iterator[Received]:
    for version in versions:
        params = version.get("params") or {}
        subject, text, page = (
            _filled(version.get(name, ""), params)
            for name in ["subject", "textContent", "htmlContent"]
        )
        for to in version["to"]:
            if to["email"] not in accounts.inactive:
                headers, metadata = _headers(version), _metadata(version)
                yield Received(to["email"], subject, text, page, headers, metadata, call)


def _headers(version: _Fields) -> dict[str, str]:
    mailboxes = [_mailbox(to) for to in version["to"]]
    given = {
        name: value.encode().decode("latin-1")
        for name, value in (version.get("headers") or {}).items()
        if name.lower() not in {"idempotencykey", "message-id"}
    }
    usual = {
        "From": _mailbox(version["sender"]),
        "To": ", ".join(mailboxes),
        "Message-ID": f"<{new_id()}@smtp-relay.mailin.fr>",
        "List-Unsubscribe": f"<{_UNSUBSCRIBE}>",
    }
    if reply := version.get("replyTo"):
        usual["Reply-To"] = named(reply.get("name"), reply["email"])
    return merged(usual, given)


def _mailbox(address: dict[str, str]) -> str:
    """A name with letters beyond ASCII and a comma or the like is lost, unless it is encoded."""
    name = address.get("name") or ""
    if not name.isascii() and _SPECIALS.search(name):
        name = ""
    return named(str(make_header(decode_header(name))), address["email"])


def _metadata(version: _Fields) -> dict[str, str]:
    given = merged(version.get("headers"))
    told = next((v for n, v in given.items() if n.lower() == "x-mailin-custom"), "{}")
    return {name: str(value) for name, value in json.loads(told).items()}


class _Expression(NamedTuple):
    name: str
    filters: tuple[str, ...]
    is_escaped: bool


def _filled(template: str, params: _Fields) -> str:
    pieces = _pieces(template)
    return "".join(p if isinstance(p, str) else _value(p, params) for p in pieces)


@lru_cache(maxsize=64)
def _pieces(template: str, *, escapes: bool = True) -> list[str | _Expression]:
    pieces: list[str | _Expression] = []
    end = 0
    for found in _BLOCKS.finditer(template):
        verbatim, unescaped, expression = found.groups()
        pieces.append(template[end : found.start()] + (verbatim or ""))
        if unescaped is not None:
            pieces += _pieces(unescaped, escapes=False)
        if expression is not None:
            name, *filters = (part.strip() for part in expression.split("|"))
            pieces.append(_Expression(name, tuple(filters), escapes and "safe" not in filters))
        end = found.end()
    return [*pieces, template[end:]]


def _value(expression: _Expression, params: _Fields) -> str:
    name, filters, is_escaped = expression
    if name in {"unsubscribe", "mirror"}:
        return _UNSUBSCRIBE
    given = str(params.get(name.removeprefix("params."), "")) if name.startswith("params.") else ""
    value = _evaluated(given) if "{" in given else given
    for word in filters:
        if word.startswith("default:") and not value:
            value = word.removeprefix("default:").strip("'\"")
    return html.escape(value) if is_escaped else value


def _evaluated(value: str) -> str:
    """What is in a value can refer to nothing."""
    return "".join(piece for piece in _pieces(value) if isinstance(piece, str))
