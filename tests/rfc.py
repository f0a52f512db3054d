"""What a standards-minded receiver finds wrong with a raw message; [] is a clean bill.

    assert findings(raw) == []

Each finding begins with the requirement's number. It reads bytes, not what a parser made of them.
"""

import re
from email import policy
from email.header import decode_header
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

_ONCE = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version"]
_AT_MOST_ONCE = [
    *["Reply-To", "Sender", "Cc", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"],
    *["List-Help", "List-Archive", "List-Owner", "List-Post", "Precedence", "Feedback-ID"],
    *["Content-Type", "Content-Transfer-Encoding", "Auto-Submitted"],
]
_NEVER = ["Bcc", "Return-Path", "Received"]
# These hold an address or an id that no fold may break.
_UNFOLDABLE = {"list-unsubscribe", "list-subscribe", "list-archive", "list-help", "list-owner"}
_UNFOLDABLE |= {"message-id", "to"}
_ENCODED_WORD = re.compile(rb"=\?[^?\s]+\?[bqBQ]\?[^?\s]*\?=")
_FIELD = re.compile(rb"([!-9;-~]+):[ ]?(.*)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ATOM = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = rb"%s(?:\.%s)+" % (_ATOM, _ATOM)
_LIST_ID = re.compile(
    rb'(?:"(?:[^"\\\r\n]|\\.|\r\n )*" ?|(?:=\?[^?\s]+\?[bq]\?[^?\s]*\?=(?: |\r\n )*)+|(?:%s ?)+)?'
    rb"(?:\r\n )?<%s>" % (_ATOM, _DOT_ATOM)
)
# A laptop's own pages are the only ones that need no TLS.
_ONE_CLICK = re.compile(rb"<(?:https://|http://(?:localhost|127\.0\.0\.1)[:/])")
_MAIL_WAY_OUT = re.compile(rb"<mailto:(%s)@%s(?:\?subject=[a-z]+)?>" % (_ATOM, _DOT_ATOM))
_MESSAGE_ID = re.compile(rb"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)>")


def findings(raw, *, bulk=True):
    """`bulk=False` for letters that a person asked for: they have no list."""
    head, separator, _body = raw.partition(b"\r\n\r\n")
    fields = _fields(head)
    found = [*_of_bytes(raw), *_of_head(head, fields), *_of_identity(fields)]
    if not separator:
        found.append("MSG-05 the header never ends")
    if bulk:
        found += _of_list(fields)
    return [*found, *_of_parts(raw)]


def _of_bytes(raw):
    faults = {
        "MSG-03 a bare CR or LF": re.search(rb"\r(?!\n)|(?<!\r)\n", raw),
        "MSG-03 the last line has no end": not raw.endswith(b"\r\n"),
        "MSG-04 a NUL or another control character": _CONTROL.search(raw),
        "MSG-04 a slot that nobody filled": re.search(rb"\xef\xb7[\x90\x91]|=EF=B7=9[01]", raw),
        "MSG-01 a line longer than 998": any(len(line) > 998 for line in raw.split(b"\r\n")),
        "MIM-04 not 7-bit clean": not raw.isascii(),
    }
    return [fault for fault, is_there in faults.items() if is_there]


def _fields(head):
    """(name, value) as they were written, folds included."""
    fields = []
    for line in head.split(b"\r\n"):
        if line[:1] in b" \t" and fields:
            fields[-1] += b"\r\n" + line
        else:
            fields.append(line)
    return [
        (match[1].decode(), match[2]) if (match := _FIELD.fullmatch(field)) else ("", field)
        for field in fields
    ]


def _of_head(head, fields):
    if any(not line.strip() for line in head.split(b"\r\n")):
        yield "MSG-05 an empty line, or one of white space, within the header"
    for name, value in fields:
        if not name:
            yield f"MSG-05 not a field: {value!r}"
        yield from _of_field(name, value)
    yield from _of_numbers([name.lower() for name, _value in fields])


def _of_numbers(names):
    for name in _ONCE:
        if names.count(name.lower()) != 1:
            yield f"MSG-08 {names.count(name.lower())} times {name}"
    for name in _AT_MOST_ONCE:
        if names.count(name.lower()) > 1:
            yield f"HDR-09 more than one {name}"
    for name in _NEVER:
        if name.lower() in names:
            yield f"HDR-09 {name} in a message on its way out"


def _of_field(name, value):
    if name.lower() not in _UNFOLDABLE:
        lines = (f"{name}: ".encode() + value).split(b"\r\n")
        if any(len(line) > 78 for line in lines):
            yield f"MSG-01 {name} could be folded"
    if any(len(word) > 75 for word in _ENCODED_WORD.findall(value)):
        yield f"MSG-07 an encoded word of {name} is longer than 75"
    yield from _of_words(name, value)


def _of_words(name, value):
    for word in _ENCODED_WORD.findall(value):
        [(decoded, charset)] = decode_header(word.decode())
        try:
            text = decoded.decode(charset)
        except UnicodeDecodeError:
            yield f"MSG-07 an encoded word of {name} splits a character"
            continue
        if any(character in text for character in "\r\n\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
            yield f"MSG-06 an encoded word of {name} holds a line break"
        if any(character in text for character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067"):
            yield f"MSG-14 {name} turns the direction of writing"


def _of_identity(fields):
    values = {name.lower(): value for name, value in fields}
    message = BytesParser(policy=policy.default).parsebytes(
        b"".join(f"{name}: ".encode() + value + b"\r\n" for name, value in fields if name)
    )
    authors = message["From"].addresses if message["From"] else ()
    readers = message["To"].addresses if message["To"] else ()
    if len(authors) != 1 or not authors[0].domain:
        yield "MSG-12 From is not one address"
    if len(readers) != 1 or not readers[0].domain:
        yield "MSG-09 To is not one address"
    match = _MESSAGE_ID.fullmatch(values.get("message-id", b"").strip())
    if not match:
        yield "MSG-10 the Message-ID is not one"
    elif authors and match[1].decode().lower() != authors[0].domain.lower():
        yield "MSG-10 the Message-ID is not of the sender's domain"
    yield from _of_date(values.get("date", b"").decode("ascii", "replace"))


def _of_date(written):
    try:
        if parsedate_to_datetime(written).tzinfo is None:
            yield "MSG-11 the Date has no zone"
    except ValueError:
        yield "MSG-11 the Date is not one"


def _of_list(fields):
    values = {name.lower(): value for name, value in fields}
    unsubscribe = values.get("list-unsubscribe", b"")
    if b"=?" in unsubscribe:
        yield "UNS-02 List-Unsubscribe is encoded"
    addresses = re.split(rb",(?: |\r\n )*", unsubscribe.strip())
    if not all(re.fullmatch(rb"<[!-;=?-~]+>", address) for address in addresses):
        yield "UNS-03 List-Unsubscribe is not <uri>[, <uri>]"
    if sum(bool(_ONE_CLICK.match(address)) for address in addresses) != 1:
        yield "UNS-01 List-Unsubscribe has not exactly one https address"
    yield from _of_mail_ways_out(addresses)
    if values.get("list-unsubscribe-post", b"").strip() != b"List-Unsubscribe=One-Click":
        yield "UNS-04 List-Unsubscribe-Post"
    list_id = values.get("list-id", b"").strip()
    if not _LIST_ID.fullmatch(list_id) or len(list_id.rpartition(b"<")[2]) > 256:
        yield "HDR-01 the List-Id is not one of RFC 2919"
    yield from _of_feedback(values.get("feedback-id", b"").decode("ascii", "replace"))


def _of_mail_ways_out(addresses):
    if addresses and not _ONE_CLICK.match(addresses[0]):
        yield "UNS-01 the https address is not the first of List-Unsubscribe"
    for address in addresses[1:]:
        match = _MAIL_WAY_OUT.fullmatch(address)
        if not match or len(match[1]) > 64:
            yield f"UNS-15 {address!r} is no address that mail can be sent to"


def _of_feedback(written):
    fields = [part.strip() for part in written.split(":")]
    if written and (len(fields) > 4 or not 5 <= len(fields[-1]) <= 15):
        yield "HDR-06 the Feedback-ID"


def _of_parts(raw):
    message = BytesParser(policy=policy.default).parsebytes(raw)
    yield from (f"MIM-01 {type(defect).__name__}" for defect in message.defects)
    if message.get_content_type() != "multipart/alternative":
        yield f"MIM-01 {message.get_content_type()}, not multipart/alternative"
        return
    parts = list(message.iter_parts())
    if [part.get_content_type() for part in parts] != ["text/plain", "text/html"]:
        yield "MIM-02 not the text first and then the HTML"
        return
    for part in parts:
        yield from _of_part(part)


def _of_part(part):
    yield from (f"MIM-03 {type(defect).__name__}" for defect in part.defects)
    if (part.get_param("charset") or "").lower() != "utf-8":
        yield "MIM-03 the charset is not utf-8"
    if part["Content-Transfer-Encoding"] not in {"quoted-printable", "base64"}:
        yield "MIM-04 neither quoted-printable nor base64"
    if any(len(line) > 76 for line in part.get_payload().splitlines()):
        yield "MIM-04 a line of the body is longer than 76 (RFC 2045)"
    text = part.get_payload(decode=True).decode("utf-8", "surrogateescape")
    if any("\udc80" <= character <= "\udcff" for character in text):
        yield "MIM-03 not UTF-8"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text):
        yield "MSG-04 a control character in a part"
