"""Where a request came from, as far as we can believe it."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The network address of the client; X-Forwarded-For counts only behind our own proxies.

    Each proxy appends whom it heard from, so the list is read from its end, and the first
    address that is none of ours is the client. What stands before it, anybody can write.
    """
    nearest = _parsed(request.META.get("REMOTE_ADDR", ""))
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if nearest is None or not _is_trusted(nearest):
            break
        nearest = _parsed(hop) or nearest
    return str(nearest) if nearest else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        # Without the zone of a link-local address: it means nothing elsewhere, nor to PostgreSQL.
        address = ip_address(text.strip().removeprefix("[").partition("]")[0].partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _is_trusted(address: IPv4Address | IPv6Address) -> bool:
    return any(address in ip_network(network) for network in settings.TRUSTED_PROXIES)
