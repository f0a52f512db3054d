"""What a domain may publish besides: logos, and TLS for the mail that comes to it."""

from collections.abc import Iterator

from newsletter.domains import dmarc, tags
from newsletter.domains.findings import About, Finding
from newsletter.domains.resolver import Resolver
from newsletter.domains.sendings import Sending

_ABOUT = About("DOM-09")
_TLS = {
    "mta-sts": ("_mta-sts", "MTA-STS (RFC 8461): senders must use TLS to reach you"),
    "tls-rpt": ("_smtp._tls", "TLS-RPT (RFC 8460): senders report where TLS failed"),
}


def check(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-09: nothing of it is asked for."""
    return _ABOUT.as_far_as_known("extras.answer", _findings(sending, resolver))


def _findings(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    yield _bimi(sending, resolver)
    for check, (label, what) in _TLS.items():
        is_there = resolver.texts(f"{label}.{sending.domain}")
        yield _ABOUT.note(f"extras.{check}", f"{what}: {'yes' if is_there else 'not published'}.")


def _bimi(sending: Sending, resolver: Resolver) -> Finding:
    records = resolver.texts(f"default._bimi.{sending.domain}")
    if not records:
        return _ABOUT.note("extras.bimi", "BIMI (a logo beside your mail): not published.")
    policy = dmarc.policy(resolver, sending.domain)
    if not policy or policy.strength(sending.domain) == "none":
        found = "BIMI is published, and shown by nobody while DMARC says p=none."
        return _ABOUT.warning("extras.bimi", found, "Say p=quarantine or p=reject in DMARC.")
    has_mark = bool(tags.read(records[0]).get("a"))
    besides = "" if has_mark else " Gmail and Apple want a certificate (VMC, CMC) as well."
    return _ABOUT.note("extras.bimi", f"BIMI: {records[0]}.{besides}")
