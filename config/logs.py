"""Log lines that never carry a token or a whole address."""

import logging
import re
from typing import Any

# What every process writes its lines with; each adds whom it listens to.
TO_CONSOLE: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "config.logs.Discreet",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
}

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
