"""What a server answers, put together from bytes as they come."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ -]|$)")
_ENHANCED = re.compile(r"\A([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|\Z)")
# Far beyond what servers say (RFC 5321 allows 512 bytes a line), and little enough to hold.
_LONGEST_LINE = 8192
_MOST_LINES = 128
# What of it is kept.
_MOST_WORDS = 1000


class BrokenReplyError(Exception):
    """What came is no SMTP."""


class Reply(NamedTuple):
    """The lines of one reply are without their code: "250-SIZE" is "SIZE"."""

    code: bytes
    lines: list[bytes]

    @property
    def kind(self) -> bytes:
        """2: yes; 3: go on; 4: not now; 5: no."""
        return self.code[:1]

    @property
    def words(self) -> list[str]:
        return [line.decode("utf-8", "replace").replace("\0", "").strip() for line in self.lines]

    def answer(self) -> tuple[str, str]:
        """Code and text, the enhanced code with the code: ("550 5.1.1", "No such user")."""
        code, words = self.code.decode(), self.words
        if enhanced := _ENHANCED.match(words[0]):
            code = f"{code} {enhanced[1]}"
            words = [_ENHANCED.sub("", line) for line in words]
        return code, " ".join(words).strip()[:_MOST_WORDS]


class Replies:
    """A stream of them, cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    @property
    def has_more(self) -> bool:
        """Whether something has come that is no whole reply yet."""
        return bool(self._rest or self._lines)

    def read(self, chunk: bytes) -> Iterator[Reply]:
        """The replies that this chunk completes. Raises BrokenReplyError."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if reply := self._reply(line.rstrip(b"\r")):
                yield reply
        _insist(len(self._rest) <= _LONGEST_LINE, self._rest)

    def _reply(self, line: bytes) -> Reply | None:
        _insist(_LINE.match(line) is not None, line)
        self._lines.append(line[4:])
        if line[3:4] == b"-":
            _insist(len(line) <= _LONGEST_LINE and len(self._lines) <= _MOST_LINES, line)
            return None
        lines, self._lines = self._lines, []
        return Reply(line[:3], lines)


def _insist(is_well: bool, line: bytes) -> None:
    if not is_well:
        words = line[:80].decode("utf-8", "replace").replace("\0", "")
        raise BrokenReplyError(f"The server's answer is no SMTP: {words!r}")
