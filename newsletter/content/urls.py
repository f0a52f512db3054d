"""Addresses as they stand in mail: absolute, and in ASCII."""

from urllib.parse import urljoin, urlsplit, urlunsplit

from django.urls import reverse
from django.utils.encoding import iri_to_uri, punycode

from newsletter.content.slots import Marker, Slot
from subscribers.models import Publication


def page(publication: Publication, name: str, *args: str) -> str:
    """The absolute address of one of our own pages."""
    return _in_ascii(publication.url(reverse(name, args=args)))


def unsubscribe(publication: Publication) -> str:
    """The address that ends one subscription, its token left open."""
    before, _token, after = page(publication, "subscribers:unsubscribe", "TOKEN").rpartition(
        "TOKEN"
    )
    return f"{before}{Marker(Slot.UNSUBSCRIBE)}{after}"


def unsubscribe_by_mail(return_domain: str) -> str:
    """The same as a mail address (RFC 6068). Some programs send no mail without a subject."""
    return f"mailto:u+{Marker(Slot.UNSUBSCRIBE)}@{return_domain}?subject=unsubscribe"


def absolute(base: str, link: str) -> str:
    """Where a link leads that was written on the page `base`; nothing if nobody can tell."""
    try:
        return _in_ascii(urljoin(base, link.strip()))
    except ValueError:
        return ""


def _in_ascii(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname and not parts.netloc.isascii():
        netloc = parts.netloc.lower().replace(parts.hostname, punycode(parts.hostname))
        url = urlunsplit(parts._replace(netloc=netloc))
    return iri_to_uri(url)
