"""SparkPost: POST /api/v1/transmissions.

By its API reference ("Transmissions", "Recipient lists", "Template language") and support articles
("Remove List-Unsubscribe header"):
- recipients inline, each a message of its own whose To is `header_to`, or the recipient's name and
  address; 20 MB of content;
- `{{key}}` in subject, bodies, From, Reply-To and headers is what the recipient's substitution_data
  or metadata say, else the transmission's; what has no value becomes nothing; values are not
  evaluated again;
- in HTML a value is escaped, `/` too, and inside links, in either body, encoded for a URL instead;
  `{{{key}}}` is left as it is;
- what is no template refuses the call (422, 3000);
- metadata, both levels together, have 1,000 bytes;
- addresses that are none are counted as rejected, in an answer of 200, and only some of them are
  described; who is suppressed is dropped without a word;
- return_path has to be at a verified domain, and its local part is overwritten;
- unless options.transactional says so, SparkPost's own List-Unsubscribe takes the place of ours
  (Anymail's documentation: "attempts to provide a custom List-Unsubscribe header will not work");
- opens and clicks are counted unless the options say no.
"""

import html
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import quote

from tests.providers.conversation import Accounts, Answer, Call, Received, RefusedError, Taken
from tests.providers.fields import bare, merged, named
from tests.providers.rewriting import with_clicks, with_opens

_MOST_BYTES = 20 * 1024 * 1024
_MOST_METADATA = 1000
_RESERVED = {
    *("and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "local"),
    *("nil", "not", "or", "each", "return", "then", "true", "until", "while"),
}
_TAG = re.compile(r"\{\{\{\s*([^{}]*?)\s*\}\}\}|\{\{\s*([^{}]*?)\s*\}\}")
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_BRACES = {
    "opening_double_curly()": "{{",
    "closing_double_curly()": "}}",
    "opening_triple_curly()": "{{{",
    "closing_triple_curly()": "}}}",
}
_LINK_BEFORE = re.compile(r"https?://[^\s\"'<>]*$")
_TEXT_ATTRIBUTE = re.compile(r"(https?://[^\s\[\]]*)\[\[[^\[\]]*\]\]")
_HOST = "spgo.io"
_IDS = count(11_668_787_484_950_529)

_Fields = dict[str, Any]


class SparkPost:
    backend = "sparkpost"
    domains = ("harbour.example",)

    def options(self, url: str) -> dict[str, Any]:
        return {"api_key": "sparkpost-key", "api_url": f"{url}/api/v1/"}

    def take(self, call: Call, accounts: Accounts) -> Taken:
        if call.headers.get("authorization") != "sparkpost-key":
            raise RefusedError(self.trouble(401))
        if call.path.rstrip("/") != "/api/v1/transmissions":
            raise _refused(404, "resource not found", "1600")
        mail = call.json
        self._check(mail)
        good = [r for r in mail["recipients"] if accounts.is_address(_address(r))]
        if not good:
            raise _refused(400, "at least one valid recipient is required", "5002")
        answer = _accepted(len(good), [r for r in mail["recipients"] if r not in good])
        return Taken(answer, len(good), lambda: _messages(call.number, mail, good, accounts))

    def count(self, call: Call) -> Taken:
        readers = call.body.count(b'"address"')
        return Taken(_accepted(readers, []), readers)

    def trouble(self, status: int) -> Answer:
        words = {401: "Unauthorized.", 429: "Too many requests"}.get(status, "Internal error")
        return Answer(status, {"errors": [{"message": words}]})

    def _check(self, mail: _Fields) -> None:
        content = mail.get("content") or {}
        for name in ["from", "subject"]:
            if not content.get(name):
                raise _refused(422, "required field is missing", "1400", f"content.{name}")
        if not content.get("text") and not content.get("html"):
            words = "At least one of 'text' or 'html' needs to exist in content"
            raise _refused(422, "required field is missing", "1400", words)
        if len(f"{content.get('text')}{content.get('html')}".encode()) > _MOST_BYTES:
            raise _refused(413, "content is too large", "1900")
        self._check_return_path(mail.get("return_path"))
        for recipient in mail.get("recipients") or []:
            told = (mail.get("metadata") or {}) | (recipient.get("metadata") or {})
            if len(str(told).encode()) > _MOST_METADATA:
                raise _refused(422, "metadata is too large", "1300", "metadata")
        for part in _templates(content):
            _check_template(part)

    def _check_return_path(self, address: str | None) -> None:
        domain = (address or "").rpartition("@")[2]
        if domain and not domain.endswith(self.domains):
            words = "Unconfigured or unverified sending domain."
            raise _refused(400, "Invalid domain", "7001", words)


def _refused(status: int, words: str, code: str, description: str = "") -> RefusedError:
    told = {"message": words, "code": code, "description": description}
    return RefusedError(Answer(status, {"errors": [told]}))


def _accepted(readers: int, rejected: list[_Fields]) -> Answer:
    results: _Fields = {
        "total_rejected_recipients": len(rejected),
        "total_accepted_recipients": readers,
        "id": str(next(_IDS)),
    }
    if not rejected:
        return Answer(200, {"results": results})
    results["rcpt_to_errors"] = [_described(recipient) for recipient in rejected[:3]]
    error = {"message": "transmission created, but with validation errors", "code": "2000"}
    return Answer(200, {"errors": [error], "results": results})


def _described(recipient: _Fields) -> _Fields:
    domain = _address(recipient).rpartition("@")[2]
    return {
        "message": "invalid data format/type",
        "description": f"Error validating domain name syntax for domain: '{domain}'",
        "code": "1300",
    }


def _address(recipient: _Fields) -> str:
    address = recipient.get("address") or ""
    return bare(address) if isinstance(address, str) else address.get("email", "")


def _to(recipient: _Fields) -> str:
    address = recipient["address"]
    if isinstance(address, str):
        return address
    return address.get("header_to") or named(address.get("name"), address["email"])


def _templates(content: _Fields) -> list[str]:
    parts = [content.get(name) or "" for name in ["subject", "text", "html", "reply_to"]]
    return [*parts, *(content.get("headers") or {}).values()]


def _check_template(part: str) -> None:
    for raw, usual in _TAG.findall(part):
        expression = raw or usual
        is_name = _NAME.fullmatch(expression) and expression not in _RESERVED
        if not is_name and expression not in _BRACES:
            words = "substitution language syntax error in template content"
            raise _refused(422, words, "3000", f"Error while compiling: {expression}")


def _messages(
    call: int, mail: _Fields, recipients: list[_Fields], accounts: Accounts
) -> Iterator[Received]:
    options = mail.get("options") or {}
    content = mail["content"]
    for recipient in recipients:
        if _address(recipient) in accounts.inactive:
            continue
        known = _known(mail, recipient)
        yield Received(
            _address(recipient),
            _filled(content["subject"], known, str),
            _TEXT_ATTRIBUTE.sub(r"\1", _filled(content.get("text") or "", known, str, _url)),
            _counted(_filled(content.get("html") or "", known, _escaped, _url), options),
            _headers(mail, recipient, known),
            (mail.get("metadata") or {}) | (recipient.get("metadata") or {}),
            call,
        )


def _known(mail: _Fields, recipient: _Fields) -> _Fields:
    known: _Fields = {"email": _address(recipient), "address.email": _address(recipient)}
    for level in [mail, recipient]:
        known |= level.get("metadata") or {}
    for level in [mail, recipient]:
        known |= level.get("substitution_data") or {}
    return known


def _filled(
    template: str,
    known: _Fields,
    escaped: Callable[[str], str],
    in_links: Callable[[str], str] = str,
) -> str:
    def value(found: re.Match[str]) -> str:
        raw, usual = found[1], found[2]
        expression = raw if raw is not None else usual
        if expression in _BRACES:
            return _BRACES[expression]
        given = known.get(expression)
        plain = "" if given is None else str(given)
        if raw is not None:
            return plain
        return in_links(plain) if _is_in_link(found) else escaped(plain)

    return _TAG.sub(value, template)


def _is_in_link(found: re.Match[str]) -> bool:
    before = found.string[max(0, found.start() - 2000) : found.start()]
    return _LINK_BEFORE.search(before) is not None


def _escaped(value: str) -> str:
    return html.escape(value).replace("/", "&#x2F;")


def _url(value: str) -> str:
    return quote(value, safe="")


def _headers(mail: _Fields, recipient: _Fields, known: _Fields) -> dict[str, str]:
    content = mail["content"]
    sender = content["from"]
    if not isinstance(sender, str):
        sender = named(sender.get("name"), sender["email"])
    headers = {"From": _filled(sender, known, str), "To": _to(recipient)}
    if content.get("reply_to"):
        headers["Reply-To"] = _filled(content["reply_to"], known, str)
    given = {n: _filled(v, known, str) for n, v in (content.get("headers") or {}).items()}
    own = {"List-Unsubscribe": "<mailto:unsubscribe@unsub.spmta.com>"}
    is_transactional = (mail.get("options") or {}).get("transactional")
    return merged(headers, given, None if is_transactional else own)


def _counted(page: str, options: _Fields) -> str:
    if options.get("click_tracking", True):
        page = with_clicks(page, _HOST)
    if page and options.get("open_tracking", True):
        page = with_opens(page, _HOST)
    return page
