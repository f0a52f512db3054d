"""Public DKIM keys in the DNS (RFC 6376 section 3.6.1, 8301, 8463)."""

import re
from base64 import b64decode
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from newsletter import dkim
from newsletter.domains import dmarc, tags
from newsletter.domains.findings import About, Finding, Record
from newsletter.domains.providers import is_below
from newsletter.domains.resolver import Resolver
from newsletter.domains.sendings import Sending

_ABOUT = About("DOM-02")


def check(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-02: every key that is known to sign, ours and those named."""
    for domain, selector in sending.selectors:
        about = _key(sending, resolver, domain, selector)
        yield from _ABOUT.as_far_as_known("dkim.answer", about)
    if not sending.selectors:
        yield from _ABOUT.as_far_as_known("dkim.answer", _guessed(sending, resolver))
    yield from _of_kinds(sending)


def signing_domains(sending: Sending, resolver: Resolver) -> list[str]:
    """The domains that are known to sign."""
    if sending.selectors:
        return list(dict.fromkeys(domain for domain, _selector in sending.selectors))
    return [sending.domain] if _providers_selectors(sending, resolver) else []


def _guessed(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """What the provider is known to sign with."""
    found = _providers_selectors(sending, resolver)
    for selector in found:
        yield from _key(sending, resolver, sending.domain, selector)
    if found:
        return
    provider = sending.provider
    if provider and provider.selectors:
        yield _ABOUT.error(
            "dkim.key",
            f"None of {provider.name}’s usual selectors is in {sending.domain}: "
            f"{', '.join(provider.selectors)}.",
            f"Publish the records that {provider.name} shows for this domain; if it gave you "
            "others, name them with --selector.",
        )
        return
    by = provider.name if provider else "whoever signs"
    yield _ABOUT.unknown(
        "dkim.key",
        f"Nobody knows which selectors {by} uses for {sending.domain}.",
        "Name one with --selector, or send a test with --send-to and read it with --received.",
    )


def _providers_selectors(sending: Sending, resolver: Resolver) -> list[str]:
    selectors = sending.provider.selectors if sending.provider else ()
    return [selector for selector in selectors if resolver.texts(_host(sending.domain, selector))]


def _host(domain: str, selector: str) -> str:
    return f"{selector}._domainkey.{domain}"


def _key(sending: Sending, resolver: Resolver, domain: str, selector: str) -> Iterator[Finding]:
    host = _host(domain, selector)
    yield from _of_alignment(sending, resolver, domain, selector)
    texts = resolver.texts(host)
    ours = next((key for key in sending.keys if key.host == host), None)
    if len(texts) != 1:
        yield _not_one(host, texts, ours, resolver.alias(host))
        return
    yield from _of_record(host, texts[0], ours)
    yield from _of_alias(sending, host, resolver.alias(host))


def _of_alias(sending: Sending, host: str, alias: str) -> Iterator[Finding]:
    provider = sending.provider
    if alias and provider and provider.key_hosts and not is_below(alias, provider.key_hosts):
        found = f"{host} leads to {alias}, which is not {provider.name}’s."
        yield _ABOUT.warning("dkim.alias", found, "Follow what the provider shows.")


def _not_one(host: str, texts: list[str], ours: dkim.Key | None, alias: str) -> Finding:
    wanted = Record(host, "TXT", ours.record) if ours else None
    if texts:
        found = f"{host} has {len(texts)} TXT records; there must be one."
        return _ABOUT.error("dkim.key", found, "Leave the right one:", wanted)
    if alias:
        found = f"{host} is an alias of {alias}, where there is no key."
        return _ABOUT.error("dkim.key", found, "Ask the provider what it should lead to.", wanted)
    remedy = "Publish:" if wanted else "Publish the record that whoever signs gave you."
    return _ABOUT.error("dkim.key", f"There is no key at {host}.", remedy, wanted)


def _of_alignment(
    sending: Sending, resolver: Resolver, domain: str, selector: str
) -> Iterator[Finding]:
    if not dmarc.are_aligned(resolver, sending.domain, domain):
        yield _ABOUT.error(
            "dkim.aligned",
            f"{selector} signs for {domain}, mail is from {sending.domain}: not aligned.",
            f"Have it sign for {sending.domain}.",
        )


def _of_record(host: str, record: str, ours: dkim.Key | None) -> Iterator[Finding]:
    said = tags.read(record)
    wanted = Record(host, "TXT", ours.record) if ours else None
    public = re.sub(r"\s", "", said.get("p", ""))
    if said.get("v", "DKIM1") != "DKIM1" or "p" not in said:
        yield _ABOUT.error("dkim.key", f"{host} is no DKIM key: {record}", "Publish:", wanted)
    elif not public:
        found = f"The key at {host} is revoked (p= is empty)."
        yield _ABOUT.error("dkim.revoked", found, "Sign with another selector.", wanted)
    elif ours and public != ours.public:
        found = f"The key at {host} is not the one that we sign with."
        yield _ABOUT.error("dkim.ours", found, "Publish:", wanted)
    else:
        yield _of_strength(host, said.get("k", "rsa"), public, wanted)
    yield from _of_flags(host, said)


def _of_strength(host: str, kind: str, public: str, wanted: Record | None) -> Finding:
    remedy = f"Make an RSA key of {dkim.SHORT} bits under a new selector."
    try:
        bits = _bits(kind, b64decode(public, validate=True))
    except ValueError:
        found = f"The key at {host} cannot be read: k={kind}; p={public[:40]}…"
        return _ABOUT.error("dkim.key", found, "Publish it as it was made.", wanted)
    if bits == _ED25519:
        return _ABOUT.ok("dkim.key", f"{host}: Ed25519.")
    if bits < dkim.SHORTEST:
        found = f"The key at {host} has {bits} bits; receivers ignore it."
        return _ABOUT.error("dkim.length", found, remedy)
    if bits < dkim.SHORT:
        return _ABOUT.warning("dkim.length", f"The key at {host} has only {bits} bits.", remedy)
    return _ABOUT.ok("dkim.key", f"{host}: RSA, {bits} bits.")


_ED25519 = 256


def _bits(kind: str, public: bytes) -> int:
    if kind == "ed25519":
        Ed25519PublicKey.from_public_bytes(public)
        return _ED25519
    key = load_der_public_key(public)
    if kind != "rsa" or not isinstance(key, RSAPublicKey):
        raise ValueError(kind)
    return key.key_size


def _of_flags(host: str, said: dict[str, str]) -> Iterator[Finding]:
    if "y" in said.get("t", "").split(":"):
        found = f"{host} says t=y, testing: some receivers take its mail for unsigned."
        yield _ABOUT.warning("dkim.testing", found, "Take t=y out of the record.")
    if "h" in said and "sha256" not in re.split(r"\s*:\s*", said["h"]):
        found = f"{host} says h={said['h']}, which leaves out SHA-256."
        yield _ABOUT.error("dkim.hash", found, "Take h= out of the record.")
    if not {"*", "email"} & set(re.split(r"\s*:\s*", said.get("s", "*"))):
        found = f"{host} says s={said['s']}, not for mail."
        yield _ABOUT.error("dkim.service", found, "Take s= out of the record.")


def _of_kinds(sending: Sending) -> Iterator[Finding]:
    if sending.keys and not any(key.algorithm == "rsa-sha256" for key in sending.keys):
        yield _ABOUT.warning(
            "dkim.rsa",
            "We sign with Ed25519 alone; Microsoft and others do not verify it.",
            "Add an RSA key to DKIM_KEYS.",
        )
