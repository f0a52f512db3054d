"""Log lines that never carry a token or a whole address."""

import logging
import re

_TOKEN = re.compile(r"(/[cbur]/)[0-9A-Za-z]{8,}")
_ADDRESS = re.compile(r"([^\s@/<>()\[\]\"',;:=]{1,2})[^\s@/<>()\[\]\"',;:=]*@(?=[\w\[])")


class Discreet(logging.Formatter):
    """Cuts out of the finished line, tracebacks included, what could be used or blamed on."""

    def format(self, record: logging.LogRecord) -> str:
        return discreet(super().format(record))


def discreet(text: str) -> str:
    return _ADDRESS.sub(_masked, _TOKEN.sub(r"\1•••", text))


def _masked(found: re.Match[str]) -> str:
    return f"{found[1][:1]}•••@"
