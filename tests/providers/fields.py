"""What fields of calls hold: addresses ("Ann <ann@example.com>"), and headers by name."""

from collections.abc import Mapping
from email.utils import getaddresses, parseaddr


def bare(mailbox: str) -> str:
    """The address alone; blank if there is none."""
    return parseaddr(mailbox)[1]


def mailboxes(field: str | None) -> list[str]:
    """The addresses of a field that may hold several."""
    return [address for _name, address in getaddresses([field or ""])]


def named(name: str | None, address: str) -> str:
    """As it stands in a header."""
    return f'"{name}" <{address}>' if name else address


def merged(*headers: Mapping[str, str] | None) -> dict[str, str]:
    """Later ones win, whatever the case of their names."""
    found: dict[str, tuple[str, str]] = {}
    for several in headers:
        found |= {name.lower(): (name, value) for name, value in (several or {}).items()}
    return dict(found.values())
