"""Asking name servers: who takes the mail of a domain, and whatever else they know."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import dns.exception
import dns.name
import dns.resolver
from django.conf import settings
from dns.nameserver import Do53Nameserver

# Seconds for one domain in all, and for one answer. More than a caching resolver ever needs.
_PATIENCE = 4.0
_ONE_TRY = 1.5


class NoAnswerError(Exception):
    """Nobody could say: a timeout, SERVFAIL, no name server at all. To be asked again later."""


def exchanges(domain: str) -> list[str]:
    """Its mail exchanges, the preferred first; none if it has none, or takes no mail (RFC 7505).

    Raises NoAnswerError.
    """
    records = sorted(ask(domain, "MX"), key=lambda record: record.preference)
    hosts = [record.exchange.to_text(omit_final_dot=True) for record in records]
    return [host for host in hosts if host != "."]


def ask(name: str, kind: str, servers: Sequence[str] = ()) -> list[Any]:
    """The records of this kind, wherever a CNAME leads; none if there are none, or no such name.

    `servers` are asked in place of those in the settings. Raises NoAnswerError.
    """
    resolver = _resolver(tuple(servers or settings.DNS_SERVERS))
    try:
        return list(resolver.resolve(name, kind, search=False))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    # A name too long for the wire, or with an empty label, exists nowhere.
    except (dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.LabelTooLong):
        return []
    except (dns.exception.DNSException, OSError) as error:
        raise NoAnswerError(str(error)) from error


@cache
def _resolver(servers: tuple[str, ...]) -> dns.resolver.Resolver:
    """Asks these ("address" or "address:port"), or whom the machine asks."""
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [_name_server(server) for server in servers]
    resolver.lifetime, resolver.timeout = _PATIENCE, _ONE_TRY
    return resolver


def _name_server(server: str) -> Do53Nameserver:
    address, _colon, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
    return Do53Nameserver(address, int(port or 53))
