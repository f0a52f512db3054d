"""A version that a provider fills: one wording with merge fields, and each reader's values."""

import re
from typing import NamedTuple

from newsletter.content.forms import Form, Opening, Values

# Signs of which merge fields are made, by the field that stands for one that is only text.
_SIGNS = {"%": "percent", "{": "opening", "}": "closing", "\\": "backslash"}
# WORD JOINER: nobody sees it, and no line breaks at it.
_JOINER = "\u2060"


class Syntax(NamedTuple):
    """How a provider marks a merge field, with "*" in place of its name, and which signs of our
    own text it would take for a part of one."""

    field: str
    stray: re.Pattern[str]
    # Where it looks for them in values as well: what is cut in two there.
    in_values: re.Pattern[str] | None = None

    def named(self, name: str) -> str:
        return self.field.replace("*", name)


class Parts(NamedTuple):
    """A message in pieces, for a provider that builds the MIME itself.

    `headers` are all but From, To, Subject, Date, MIME-Version and Content-Type; Reply-To and
    Message-ID are among them.
    """

    subject: str
    text: str
    html: str
    sender: str
    headers: dict[str, str]


class Forms(NamedTuple):
    """Parts that are not filled yet."""

    subject: Form
    text: Form
    html: Form
    sender: str
    headers: list[tuple[str, Form]]

    def filled(self, values: Values) -> Parts:
        return Parts(
            subject=self.subject.filled(values),
            text=self.text.filled(values),
            html=self.html.filled(values),
            sender=self.sender,
            headers={name: form.filled(values) for name, form in self.headers},
        )

    def cut(self, syntax: re.Pattern[str]) -> "Forms":
        """The same with a sign that nobody sees behind each of these signs: for a provider that
        would take them for its own, whoever wrote them, and cannot be told otherwise."""
        return self._replace(
            text=self.text.tamed(lambda text: _cut(syntax, text)),
            html=self.html.tamed(lambda text: _cut(syntax, text)),
        )


class Entries(NamedTuple):
    """What one reader's copy has of its own: values of merge fields, and whole headers."""

    fields: dict[str, str]
    headers: dict[str, str]


class FormLetter:
    """`parts` have merge fields in them; their headers are those alike for everybody."""

    def __init__(self, forms: Forms, syntax: Syntax) -> None:
        self._syntax = syntax
        self._names: dict[Opening, str] = {}
        self._signs: dict[str, str] = {}
        self._headers = [header for header in forms.headers if not self._is_alike(header[1])]
        self.parts = Parts(
            subject=self._opened(forms.subject),
            text=self._opened(forms.text),
            html=self._opened(forms.html),
            sender=forms.sender,
            headers={n: form.filled(()) for n, form in forms.headers if self._is_alike(form)},
        )

    def entries(self, values: Values) -> Entries:
        fields = {name: opening.filled(values) for opening, name in self._names.items()}
        if self._syntax.in_values:
            fields = {name: _cut(self._syntax.in_values, value) for name, value in fields.items()}
        headers = {name: form.filled(values) for name, form in self._headers}
        return Entries(fields | self._signs, headers)

    def _is_alike(self, form: Form) -> bool:
        """Some look for merge fields in headers too: those with anything like one are filled in
        for each reader, and so not looked at."""
        return form.is_alike and not self._syntax.stray.search(form.filled(()))

    def _opened(self, form: Form) -> str:
        return form.rewritten(lambda text: self._syntax.stray.sub(self._sign, text), self._field)

    def _sign(self, found: re.Match[str]) -> str:
        """A sign that is only text is filled in like a name: what was filled in stays as it is."""
        name = _SIGNS[found[0]]
        self._signs[name] = found[0]
        return self._syntax.named(name)

    def _field(self, opening: Opening) -> str:
        return self._syntax.named(self._names.setdefault(opening, f"slot_{len(self._names)}"))


def _cut(syntax: re.Pattern[str], text: str) -> str:
    return syntax.sub(rf"\g<0>{_JOINER}", text)
