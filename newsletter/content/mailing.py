"""A compiled version, filled for one reader after the other by joining bytes."""

import json
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cached_property, lru_cache
from html import escape
from typing import NamedTuple

from newsletter import dkim
from newsletter.content import headers, mime, slots
from newsletter.content.form_letters import Entries, FormLetter, Forms, Parts, Syntax
from newsletter.content.forms import AS_HTML, AS_TEXT, Form, Values, Write, as_it_is
from newsletter.content.slots import Place
from newsletter.models import Version
from subscribers import tokens
from subscribers.addresses import AddressError
from subscribers.tokens import Purpose
from subscribers.validators import plain_line

# What is neither white space nor syntax of a header; the forms are checked where people type.
_ADDRESS = re.compile(
    r"[^\s\x00-\x20\x7f-\xa0<>()\[\],;:\\\"@]+@[^\s\x00-\x20\x7f-\xa0<>()\[\],;:\\\"@]+"
)
_BUILT_BY_PROVIDERS = {"from", "to", "subject", "date", "mime-version", "content-type"}


class Reader(NamedTuple):
    """Whom a message is filled for. `subscriber_id` 0 is nobody's: a test mail."""

    subscriber_id: int
    address: str
    name: str
    mailing_list_id: int
    mailbox_provider: str = "other"
    time_zone: str = ""


class Mailing:
    """One version, ready to be filled. Make one per version and keep it; making it queries."""

    def __init__(self, version: Version) -> None:
        sender = version.mailing_list.effective_sender
        compiled = bytes(version.message)
        # None: it was never stored, and is only tried.
        self.version_id: int | None = version.pk
        # Bytes of its bodies in JSON, about: what only ASCII takes are letters of six.
        self.weight = len(json.dumps(version.html)) + len(json.dumps(version.text))
        self._campaign_id = version.campaign_id
        self._sign_unsubscribe = tokens.signer(Purpose.UNSUBSCRIBE)
        self._sign_bounce = tokens.signer(Purpose.BOUNCE)
        self._sign_message = tokens.signer(Purpose.MESSAGE)
        self._bounce_domain = sender.bounce_domain if sender else ""
        self._compiled = compiled.decode()
        self._message = Form(self._compiled, _WRITTEN)
        self._smtp_message = Form(_stuffed(compiled).decode(), _WRITTEN)
        # From the frozen message, not from rows that may have changed since.
        fields = list(_fields(compiled.partition(b"\r\n\r\n")[0].decode()))
        name, self._address = headers.read_named(dict(fields)["From"])
        self._domain = self._address.rpartition("@")[2]
        self._forms = Forms(
            subject=Form(version.subject, AS_TEXT),
            text=Form(version.text, AS_TEXT),
            html=Form(version.html, AS_HTML),
            sender=headers.unencoded(name, self._address),
            headers=[
                (name, Form(value, AS_TEXT))
                for name, value in fields
                if name.lower() not in _BUILT_BY_PROVIDERS
            ],
        )

    def message(self, reader: Reader, at: datetime) -> bytes:
        """The whole message for one reader, handed off at this moment: CRLF, 7-bit.

        Raises AddressError if the address cannot stand in a header.
        """
        return self._message.filled(self._values(reader, at)).encode()

    def smtp_message(self, reader: Reader, at: datetime) -> bytes:
        """The same as it goes over the wire: leading dots doubled (MSG-02), and the last dot.

        The dots were doubled once, when the mailing was made: what is filled in begins no line
        with a dot. Signed, if we have a key of whom it is from, over the dots as they were.
        """
        values = self._values(reader, at)
        if not self._signing:
            return self._smtp_message.filled(values).encode()
        covered, signer = self._signing
        message = self._message.filled(values).encode()
        fields = signer.sign(covered.filled(values).encode(), message, int(at.timestamp()))
        return _stuffed(fields + message)

    @property
    def takes_long(self) -> bool:
        """Whether `smtp_message` takes a quarter of a millisecond, most of it beside the GIL: RSA.

        An Ed25519 signature takes less than handing the message to another thread.
        """
        return self._signing is not None and self._signing[1].takes_long

    def parts(self, reader: Reader, at: datetime, forms: Forms | None = None) -> Parts:
        """The same message in pieces, or of these forms. Raises AddressError as `message` does."""
        return (forms or self._forms).filled(self._values(reader, at))

    def cut(self, syntax: re.Pattern[str]) -> Forms:
        """Forms for a provider that takes these signs for its own, wherever they stand."""
        return self._forms.cut(syntax)

    def form_letter(self, syntax: Syntax) -> FormLetter:
        """The same for a provider that fills it itself: `entries` are what it needs for each
        reader. Make one per version: what is like a merge field is looked for in all of it."""
        return FormLetter(self._forms, syntax)

    def entries(self, letter: FormLetter, reader: Reader, at: datetime) -> Entries:
        """For one of this mailing's form letters. Raises AddressError as `message` does."""
        return letter.entries(self._values(reader, at))

    def envelope_sender(self, reader: Reader) -> str:
        """Where bounces go: the reader's own address at the bounce domain, if there is one."""
        if not self._bounce_domain:
            return self._address
        token = self._sign_bounce(reader.subscriber_id, self._campaign_id)
        return f"b+{token}@{self._bounce_domain}"

    def message_id(self, reader: Reader) -> str:
        """With its angle brackets; the same whenever this campaign goes to this reader.

        A test mail is always a new one, or the mailbox would hide the second as a repetition.
        """
        if not reader.subscriber_id:
            return f"<{secrets.token_hex(16)}@{self._domain}>"
        token = self._sign_message(reader.subscriber_id, self._campaign_id)
        return f"<{token}@{self._domain}>"

    @cached_property
    def _signing(self) -> "tuple[Form, dkim.Signer] | None":
        """The header as it is signed, its slots open, and what signs it."""
        keys = dkim.keys_of(self._domain)
        if not keys:
            return None
        head, _end, body = self._compiled.partition("\r\n\r\n")
        names, fields = dkim.covered(head)
        beginning, *_rest = slots.split(body)
        same = beginning.encode() if isinstance(beginning, str) else b""
        return Form(fields, _COVERED), dkim.Signer(keys, names, same)

    def _values(self, reader: Reader, at: datetime) -> Values:
        address = reader.address
        if not _ADDRESS.fullmatch(address):
            raise AddressError(f"{address!r} cannot stand in a header.")
        local, _at, domain = address.rpartition("@")
        numbers = reader.subscriber_id, reader.mailing_list_id, self._campaign_id
        return (
            plain_line(reader.name),
            address,
            f"{local[0]}•••@{domain}",
            self._sign_unsubscribe(*numbers),
            _date(int(at.timestamp())),
            self.message_id(reader),
        )


def _in_text(value: str) -> str:
    """Quoted-printable: as it stands if that changes nothing, as in tokens and most names."""
    if value.isalnum() and value.isascii() and len(value) < mime.LONGEST_LINE:
        return value
    return _quoted_printable(value)


# What stands in one part of a message mostly stands in the other too.
@lru_cache(maxsize=16)
def _quoted_printable(value: str) -> str:
    return mime.without_leading_dots(value).decode()


def _in_html(value: str) -> str:
    return _in_text(value if value.isalnum() else escape(value))


_WRITTEN: dict[Place, Write] = {
    Place.VERBATIM: as_it_is,
    Place.HEADER: headers.encoded_words,
    Place.TEXT: _in_text,
    Place.HTML: _in_html,
}
# A signature is over the header unfolded.
_COVERED = _WRITTEN | {
    Place.HEADER: lambda value: headers.encoded_words(value).replace(headers.FOLD, " ")
}


def _stuffed(message: bytes) -> bytes:
    """As SMTP sends it (MSG-02). Headers begin with no dot."""
    return message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


@lru_cache(maxsize=16)
def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _fields(head: str) -> Iterator[tuple[str, str]]:
    """The fields of a header as they were written, unfolded."""
    for line in head.replace(headers.FOLD, " ").split("\r\n"):
        name, _colon, value = line.partition(":")
        yield name, value.strip()
