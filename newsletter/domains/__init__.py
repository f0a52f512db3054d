"""Whether a domain is trusted: what the DNS, the servers and a delivered message say of it."""

from collections.abc import Iterator

from newsletter.domains import alignment, dmarc, extras, hosts, keys, mailboxes, received, spf
from newsletter.domains.findings import Finding, Level, Record
from newsletter.domains.received import Arrived
from newsletter.domains.resolver import Resolver
from newsletter.domains.sendings import Sending, from_domain, of_sender
from newsletter.domains.specimens import send

__all__ = [
    "Arrived",
    "Finding",
    "Level",
    "Record",
    "Resolver",
    "Sending",
    "check",
    "from_domain",
    "of_sender",
    "send",
]

_CHECKS = [
    spf.check,
    keys.check,
    dmarc.check,
    alignment.check,
    hosts.check_server,
    hosts.check_mail,
]


def check(
    sending: Sending, resolver: Resolver, unsubscribe_url: str = "", arrived: Arrived | None = None
) -> list[Finding]:
    """Everything that can be found out, in the order of the requirements.

    `arrived` is a message of this sending as it was received: it tells where bounces went, and
    which selectors signed.
    """
    if arrived:
        signed = [(one.domain, one.selector) for one in arrived.signatures()]
        sending = sending.signed_with(*signed)
        if arrived.envelope_domain:
            sending = sending.bouncing_to(arrived.envelope_domain)
    findings = [one for check in _CHECKS for one in check(sending, resolver)]
    findings += _of_messages(sending, resolver, unsubscribe_url, arrived)
    findings += extras.check(sending, resolver)
    findings += mailboxes.summaries(findings)
    return sorted(findings, key=lambda finding: finding.requirement)


def _of_messages(
    sending: Sending, resolver: Resolver, unsubscribe_url: str, arrived: Arrived | None
) -> Iterator[Finding]:
    if unsubscribe_url:
        yield from hosts.check_unsubscribing(unsubscribe_url)
    if arrived:
        yield from received.check(arrived, sending, resolver)
