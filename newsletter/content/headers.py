"""Values of header fields: encoded (RFC 2047), quoted (RFC 5322) and folded, written by hand.

Python's own policies encode long List-Unsubscribe addresses, which mailbox providers then ignore.
"""

import re
import string
from base64 import b64encode
from collections.abc import Callable, Iterator
from email.header import decode_header, make_header

from newsletter.content import slots
from newsletter.content.slots import Place

FOLD = "\r\n "
_LINE = 78
# With room for the longest name of a field before the first word.
_WORD = 60
_ROOM = _WORD - len("=?utf-8?q??=")
_PLAIN = set(f"{string.ascii_letters}{string.digits}!*+/-")
# How each byte is written in the encoding "Q".
_Q = [chr(byte) if chr(byte) in _PLAIN else f"={byte:02X}" for byte in range(256)]
_Q[0x20] = "_"


def unstructured(name: str, text: str) -> str:
    """The whole field of a free text (a subject), its slots left open."""
    folded = _folded(name, text)
    if folded and text.isascii() and "=?" not in text:
        return folded
    # Between encoded words white space does not count, so slots can stand among them.
    pieces = [
        encoded_words(piece) if isinstance(piece, str) else str(piece.at(Place.HEADER))
        for piece in slots.split(text)
    ]
    return f"{name}: {FOLD.join(pieces)}"


def named(name: str, address: str) -> str:
    """`name <address>`: the name quoted or encoded, so that it can never be read as an address."""
    if not name:
        return f"<{address}>"
    written = _phrase(name)
    return f"{written}{FOLD if len(written) + len(address) > _WORD else ' '}<{address}>"


def unencoded(name: str, address: str) -> str:
    """The same for who encodes it himself: a provider's API."""
    return f"{_quoted(name)} <{address}>" if name else address


def read_named(written: str) -> tuple[str, str]:
    """Name and address of what `named` wrote, unfolded.

    Python's parser of addresses leaves a space between two encoded words of a name.
    """
    phrase, _bracket, address = written.removesuffix(">").rpartition("<")
    phrase = phrase.strip()
    if phrase.startswith('"'):
        return re.sub(r"\\(.)", r"\1", phrase[1:-1]), address
    return str(make_header(decode_header(phrase))), address


def _phrase(text: str) -> str:
    if not text.isascii() or "=?" in text or len(text) > _WORD:
        return encoded_words(text)
    return _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def encoded_words(text: str) -> str:
    """The text as encoded words, folded; no word is longer than 75, none splits a character."""
    latin = len(text.encode("ascii", "ignore")) * 2 > len(text)
    letter, encode = ("q", _q) if latin else ("b", _b)
    return FOLD.join([f"=?utf-8?{letter}?{part}?=" for part in _parts(text, encode)])


def _parts(text: str, encode: Callable[[str], str]) -> list[str]:
    """The text encoded, in as many parts as it needs: a name nearly always in one."""
    whole = encode(text)
    return [whole] if len(whole) <= _ROOM else list(_cut(text, encode))


def _cut(text: str, encode: Callable[[str], str]) -> Iterator[str]:
    part = ""
    for character in text:
        if len(encode(part + character)) > _ROOM:
            yield encode(part)
            part = ""
        part += character
    yield encode(part)


def _b(text: str) -> str:
    return b64encode(text.encode()).decode()


def _q(text: str) -> str:
    if text.isalnum() and text.isascii():
        return text
    return "".join([_Q[byte] for byte in text.encode()])


def _folded(name: str, text: str) -> str:
    """The field folded at its spaces; nothing if a word of it does not fit into its line."""
    lines = [f"{name}:"]
    for word in text.split(" "):
        if len(lines[-1]) + 1 + len(word) > _LINE:
            lines.append("")
        lines[-1] += f" {word}"
    fits = max(map(len, lines)) <= _LINE and lines[0] != f"{name}:"
    return "\r\n".join(lines) if fits else ""
