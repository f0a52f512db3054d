"""Whether what SPF and DKIM vouch for is the domain that readers see."""

from collections.abc import Iterator

from newsletter.domains import dmarc, keys
from newsletter.domains.findings import About, Finding
from newsletter.domains.resolver import Resolver
from newsletter.domains.sendings import Sending

_ABOUT = About("DOM-04")


def check(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-04: one of them must be aligned, both should."""
    return _ABOUT.as_far_as_known("alignment.answer", _findings(sending, resolver))


def _findings(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    policy = dmarc.policy(resolver, sending.domain)
    said = policy.tags if policy else {}
    strict_spf, strict_dkim = said.get("aspf") == "s", said.get("adkim") == "s"
    domain, envelope = sending.domain, sending.envelope_domain
    by_spf = dmarc.are_aligned(resolver, domain, envelope, is_strict=strict_spf)
    signers = keys.signing_domains(sending, resolver)
    by_dkim = [
        signer
        for signer in signers
        if dmarc.are_aligned(resolver, domain, signer, is_strict=strict_dkim)
    ]
    if not by_spf and not by_dkim and signers:
        yield _ABOUT.error(
            "alignment",
            f"Mail is from {domain}; neither the envelope ({envelope}) nor a signature "
            f"({', '.join(signers)}) is of that domain.",
            f"Sign for {domain}, and let bounces come to a domain below it.",
        )
        return
    if sending.provider and sending.has_foreign_envelope:
        yield _ABOUT.note(
            "alignment.spf",
            f"Bounces go to a domain of {sending.provider.name}’s, unless you set one up there: "
            "DKIM alone vouches.",
        )
    else:
        yield _of_spf(domain, envelope, is_strict=strict_spf, is_aligned=by_spf)
    yield _of_dkim(domain, signers, by_dkim)


def _of_spf(domain: str, envelope: str, *, is_strict: bool, is_aligned: bool) -> Finding:
    if is_aligned:
        return _ABOUT.ok("alignment.spf", f"The envelope ({envelope}) is aligned with {domain}.")
    why = " (aspf=s asks for the very same)" if is_strict else ""
    return _ABOUT.warning(
        "alignment.spf",
        f"The envelope ({envelope}) is not aligned with {domain}{why}: DKIM alone vouches.",
        f"Let bounces come to a domain below {domain}.",
    )


def _of_dkim(domain: str, signers: list[str], aligned: list[str]) -> Finding:
    if aligned:
        return _ABOUT.ok("alignment.dkim", f"Signatures of {', '.join(aligned)} are aligned.")
    if not signers:
        return _ABOUT.unknown(
            "alignment.dkim",
            "Nobody knows what domain signs.",
            "Name a selector with --selector, or read a message with --received.",
        )
    return _ABOUT.warning(
        "alignment.dkim",
        f"Signatures of {', '.join(signers)} are not aligned with {domain}: SPF alone vouches, "
        "and does not survive forwarding.",
        f"Sign for {domain}.",
    )
