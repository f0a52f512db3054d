"""The questions that checks ask of the DNS, each asked once."""

import ipaddress
from collections.abc import Sequence
from typing import Any

import dns.reversename

from subscribers import name_servers
from subscribers.name_servers import NoAnswerError


class Resolver:
    """Remembers its answers. All of its questions raise NoAnswerError."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = tuple(servers)
        self._known: dict[tuple[str, str], list[Any] | NoAnswerError] = {}

    def texts(self, name: str) -> list[str]:
        """TXT records, the strings of each joined as they stand (RFC 7208 section 3.3)."""
        return [
            b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name, "TXT")
        ]

    def exchanges(self, domain: str) -> list[str]:
        """The hosts of its MX records, the preferred first; "" for one that takes no mail."""
        records = sorted(self._ask(domain, "MX"), key=lambda record: record.preference)
        return [_host(record.exchange) for record in records]

    def addresses(self, host: str) -> list[str]:
        records = [*self._ask(host, "A"), *self._ask(host, "AAAA")]
        return [record.address for record in records]

    def alias(self, name: str) -> str:
        """Where a CNAME leads; "" if there is none."""
        return next((_host(record.target) for record in self._ask(name, "CNAME")), "")

    def names(self, address: str) -> list[str]:
        """Of an IP address: its PTR records."""
        reverse = dns.reversename.from_address(address).to_text(omit_final_dot=True)
        return [_host(record.target) for record in self._ask(reverse, "PTR")]

    def _ask(self, name: str, kind: str) -> list[Any]:
        question = name.rstrip(".").lower(), kind
        if question not in self._known:
            self._known[question] = self._answer(*question)
        answer = self._known[question]
        if isinstance(answer, NoAnswerError):
            raise answer
        return answer

    def _answer(self, name: str, kind: str) -> list[Any] | NoAnswerError:
        """Who did not answer is not waited for again."""
        try:
            return name_servers.ask(name, kind, self._servers)
        except NoAnswerError as error:
            return error


def is_public(address: str) -> bool:
    return ipaddress.ip_address(address).is_global


def _host(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).lower() if name.labels != (b"",) else ""
