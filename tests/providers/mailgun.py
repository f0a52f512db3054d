"""Mailgun: POST /v3/DOMAIN/messages.

By its documentation ("Batch Sending", "Sending Messages", "Tracking Unsubscribes") and the list
of its errors that its customers collect:
- at most 1,000 recipients; with `recipient-variables` each gets a message of its own, without them
  everybody sees all addresses in To;
- `%recipient.key%` is replaced by what the reader's variables say, anywhere in subject, bodies and
  the `h:` and `v:` fields, as it is: nothing is escaped (mailgun.js issue 308); what has no value
  stays as it stands (mailgun.js issue 413). `%recipient%`, `%recipient_email%` and the names are
  replaced too (mailgun-php issue 385), and the three unsubscribe variables with Mailgun's links;
- `o:`, `h:` and `v:` fields may have 16 kB together;
- one address that is none refuses the whole call; one that bounced earlier is accepted and dropped;
- opens and clicks are counted as the domain says, unless `o:tracking...` says no;
- the answer has one id for all; it is their Message-ID unless `h:Message-Id` says another.
"""

import base64
import json
import re
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from tests.providers.conversation import Accounts, Answer, Call, Received, RefusedError, Taken
from tests.providers.fields import bare
from tests.providers.identifiers import new_id
from tests.providers.rewriting import with_clicks, with_opens

_MOST_READERS = 1000
_MOST_OPTIONS = 16 * 1024
_OWN_VARIABLE = re.compile(r"%recipient\.([^%]+)%")
_MAILGUNS = re.compile(
    r"%(recipient|recipient_(?:email|name|fname|lname)|(?:tag_|mailing_list_)?unsubscribe_url)%"
)
_HOST = "email.harbour.example"


class Mailgun:
    backend = "mailgun"
    domain = "harbour.example"

    def options(self, url: str) -> dict[str, Any]:
        return {"api_key": "mailgun-key", "sender_domain": self.domain, "api_url": f"{url}/v3/"}

    def take(self, call: Call, accounts: Accounts) -> Taken:
        self._admit(call)
        form = _form(call)
        to = _recipients(form, accounts)
        variables = _variables(form)
        answer = _queued(self.domain)
        reached = [mailbox for mailbox in to if bare(mailbox) not in accounts.inactive]
        return Taken(
            answer, len(to), lambda: _messages(call.number, form, reached, variables, answer)
        )

    def count(self, call: Call) -> Taken:
        urlencoded = call.body.count(b"&to=") + call.body.startswith(b"to=")
        return Taken(_queued(self.domain), urlencoded or call.body.count(b'name="to"'))

    def trouble(self, status: int) -> Answer:
        words = "Internal Server Error"
        if status == 401:
            return Answer(status, "Forbidden")
        if status == 429:
            words = f"Domain {self.domain} is not allowed to send: request limit exceeded"
        return Answer(status, {"message": words})

    def _admit(self, call: Call) -> None:
        sign_in = base64.b64encode(b"api:mailgun-key").decode()
        if call.headers.get("authorization") != f"Basic {sign_in}":
            raise RefusedError(self.trouble(401))
        if call.path != f"/v3/{self.domain}/messages":
            words = f"Domain not found: {call.path.split('/')[2]}"
            raise RefusedError(Answer(404, {"message": words}))


def _refused(words: str) -> RefusedError:
    return RefusedError(Answer(400, {"message": words}))


def _queued(domain: str) -> Answer:
    return Answer(200, {"id": f"<{new_id()}@{domain}>", "message": "Queued. Thank you."})


def _form(call: Call) -> dict[str, list[str]]:
    try:
        form = call.form
    except ValueError:
        raise _refused("malformed multipart/form-data request") from None
    for name in ["from", "to", "subject"]:
        if not form.get(name):
            raise _refused(f"{name} parameter is missing")
    if not any(form.get("text", []) + form.get("html", [])):
        raise _refused("Need at least one of 'text' or 'html' parameters specified")
    options = sum(len(name) + len(value) for name, value in _options(form))
    if options > _MOST_OPTIONS:
        raise _refused(
            "Send options (parameters starting with o:, h:, or v:) are limited to 16 kB total"
        )
    return form


def _options(form: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    for name, values in form.items():
        if name[:2] in {"o:", "h:", "v:"}:
            yield from ((name, value) for value in values)


def _recipients(form: dict[str, list[str]], accounts: Accounts) -> list[str]:
    to = form["to"]
    if len(to) > _MOST_READERS:
        raise _refused(f"Too many recipients; max is {_MOST_READERS}")
    for name in ["from", "to"]:
        if not all(accounts.is_address(bare(mailbox)) for mailbox in form[name]):
            raise _refused(f"{name} parameter is not a valid address. please check documentation")
    return to


def _variables(form: dict[str, list[str]]) -> dict[str, dict[str, Any]] | None:
    given = form.get("recipient-variables", [""])[0]
    try:
        variables = json.loads(given) if given else None
    except ValueError:
        variables = given
    if variables is not None and not isinstance(variables, dict):
        raise _refused("'recipient-variables' parameter is not a valid JSON")
    return variables


def _messages(
    call: int,
    form: dict[str, list[str]],
    to: list[str],
    variables: dict[str, dict[str, Any]] | None,
    answer: Answer,
) -> Iterator[Received]:
    fields = {name: values[0] for name, values in form.items()}
    usual = {
        "h:From": ", ".join(form["from"]),
        "h:Message-Id": answer.body["id"],
    }
    for mailbox in to:
        own = None if variables is None else variables.get(bare(mailbox), {})
        filled = {
            name: _filled(value, mailbox, own)
            for name, value in (usual | fields).items()
            if name != "recipient-variables"
        }
        shown = ", ".join(form["to"]) if variables is None else mailbox
        yield Received(
            bare(mailbox),
            filled["subject"],
            filled.get("text", ""),
            _counted(filled.get("html", ""), fields),
            {"To": shown, **_named("h:", filled)},
            _named("v:", filled),
            call,
        )


def _named(prefix: str, fields: dict[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(prefix): value
        for name, value in fields.items()
        if name.startswith(prefix)
    }


def _filled(text: str, mailbox: str, variables: dict[str, Any] | None) -> str:
    """In one pass: what came in by a variable is not looked at again."""
    own = variables or {}

    def value(found: re.Match[str]) -> str:
        if found[2]:
            return _mailguns_own(found[2], mailbox)
        return str(own[found[1]]) if found[1] in own else found[0]

    return re.sub(f"{_OWN_VARIABLE.pattern}|{_MAILGUNS.pattern}", value, text)


def _mailguns_own(name: str, mailbox: str) -> str:
    given, address = parseaddr(mailbox)
    first, _space, last = given.partition(" ")
    values = {
        "recipient": mailbox,
        "recipient_email": address,
        "recipient_name": given,
        "recipient_fname": first,
        "recipient_lname": last,
    }
    return values.get(name, f"https://{_HOST}/u/{name}")


def _counted(html: str, fields: dict[str, str]) -> str:
    everything = fields.get("o:tracking", "yes")
    if fields.get("o:tracking-clicks", everything) not in {"no", "false"}:
        html = with_clicks(html, _HOST)
    if html and fields.get("o:tracking-opens", everything) not in {"no", "false"}:
        html = with_opens(html, _HOST)
    return html
