"""What a call says: one version to some readers, as a mail of Anymail's."""

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple, Protocol

from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from newsletter.content import Entries, Mailing, Parts, Syntax
from newsletter.delivery.outcomes import Message

_REPLY_TO = "Reply-To"


class Manners(NamedTuple):
    """How a provider likes its mails."""

    # Attributes of Anymail's mails: what the provider shall not count, and not put in.
    wishes: dict[str, Any] = {}
    # Headers that it writes itself or refuses, in lower case, and what it wants beside ours.
    unsaid: frozenset[str] = frozenset()
    beside: dict[str, str] = {}
    # Whether it makes eight bits of encoded words (RFC 2047), which no header may hold.
    decodes: bool = False

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        said = {name: value for name, value in headers.items() if name.lower() not in self.unsaid}
        if self.decodes:
            said |= {name: _unnamed(value) for name, value in said.items() if "=?" in value}
        return said


class Copy(NamedTuple):
    """A message, and what of it is its reader's own."""

    message: Message
    own: Any

    @property
    def address(self) -> str:
        return self.message.reader.address


class Letter(Protocol):
    """One version, as one provider takes it."""

    def copy(self, message: Message) -> Copy:
        """Raises AddressError, or whatever else keeps it from being written."""
        ...

    def mail(self, copies: Sequence[Copy]) -> EmailMultiAlternatives: ...


class Merged:
    """One wording for all, which the provider fills."""

    def __init__(self, mailing: Mailing, syntax: Syntax, manners: Manners) -> None:
        self._mailing = mailing
        self._manners = manners
        self._form_letter = mailing.form_letter(syntax)
        self._parts = self._form_letter.parts

    def copy(self, message: Message) -> Copy:
        entries = self._mailing.entries(self._form_letter, message.reader, timezone.now())
        return Copy(message, Entries(entries.fields, self._manners.headers(entries.headers)))

    def mail(self, copies: Sequence[Copy]) -> EmailMultiAlternatives:
        mail = self._addressed(copies)
        mail.subject, mail.body = self._parts.subject, self._parts.text
        mail.attach_alternative(self._parts.html, "text/html")
        return mail

    def _addressed(self, copies: Sequence[Copy]) -> EmailMultiAlternatives:
        headers = self._manners.headers(self._parts.headers) | self._manners.beside
        mail = _mail(self._parts.sender, headers, copies, self._manners)
        return _with(mail, merge_data={copy.address: copy.own.fields for copy in copies})


class Template(Merged):
    """The same for Amazon, who takes a wording to be filled as a template that travels along."""

    def mail(self, copies: Sequence[Copy]) -> EmailMultiAlternatives:
        mail = self._addressed(copies)
        # Said once, not for each reader: the template's headers are everybody's.
        headers = mail.extra_headers
        mail.extra_headers = {name: headers.pop(name) for name in [_REPLY_TO] if name in headers}
        template = {
            "TemplateContent": {
                "Subject": self._parts.subject,
                "Text": self._parts.text,
                "Html": self._parts.html,
            },
            "TemplateData": "{}",
            "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
        }
        # With an id Anymail chooses the call for templates; what we add takes its place.
        extra = {"DefaultContent": {"Template": template}}
        return _with(mail, template_id="-", esp_extra=extra)


class Separate:
    """A wording for each, filled by us: in `bodies`, by address, for payloads of our own."""

    def __init__(
        self, mailing: Mailing, manners: Manners, syntax: re.Pattern[str] | None = None
    ) -> None:
        self._mailing = mailing
        self._manners = manners
        self._forms = mailing.cut(syntax) if syntax else None

    def copy(self, message: Message) -> Copy:
        parts = self._mailing.parts(message.reader, timezone.now(), self._forms)
        return Copy(message, parts._replace(headers=self._manners.headers(parts.headers)))

    def mail(self, copies: Sequence[Copy]) -> EmailMultiAlternatives:
        first: Parts = copies[0].own
        # Nobody's own, and no header in the eyes of most providers.
        reply_to = {_REPLY_TO: to} if (to := first.headers.get(_REPLY_TO)) else {}
        mail = _mail(first.sender, reply_to, copies, self._manners)
        for headers in mail.merge_headers.values():  # type: ignore[attr-defined]
            headers.pop(_REPLY_TO, None)
            headers.update(self._manners.beside)
        return _with(mail, bodies={copy.address: copy.own for copy in copies})


def _mail(
    sender: str, headers: dict[str, str], copies: Sequence[Copy], manners: Manners
) -> EmailMultiAlternatives:
    """With what is set for each reader, as otherwise all would see the addresses of all."""
    mail = EmailMultiAlternatives("", "", sender, [copy.address for copy in copies])
    mail.extra_headers = headers
    return _with(
        mail,
        merge_metadata={copy.address: copy.message.metadata for copy in copies},
        merge_headers={copy.address: dict(copy.own.headers) for copy in copies},
        **deepcopy(manners.wishes),
    )


def _with(mail: EmailMultiAlternatives, **attributes: Any) -> EmailMultiAlternatives:
    for name, value in attributes.items():
        setattr(mail, name, value)
    return mail


def _unnamed(value: str) -> str:
    """A named address without its name."""
    return f"<{value.rpartition('<')[2]}" if value.endswith(">") else value
