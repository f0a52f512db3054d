"""Addresses in the fields of calls: "Ann <ann@example.com>"."""

from email.utils import getaddresses, parseaddr


def bare(mailbox: str) -> str:
    """The address alone; blank if there is none."""
    return parseaddr(mailbox)[1]


def mailboxes(field: str | None) -> list[str]:
    """The addresses of a field that may hold several."""
    return [address for _name, address in getaddresses([field or ""])]
