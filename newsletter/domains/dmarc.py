"""DMARC (RFC 9989): the policy, found by walking up the DNS tree, and where its reports go."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from newsletter.domains import tags
from newsletter.domains.findings import About, Finding, Record
from newsletter.domains.resolver import Resolver
from newsletter.domains.sendings import Sending

_ABOUT = About("DOM-03")
# RFC 9989 section 4.10: a walk asks no more than eight times.
_MOST_LABELS = 8
_VERSION = re.compile(r"v\s*=\s*DMARC1\s*(;|\Z)")
_POLICIES = ["none", "quarantine", "reject"]
_MODES = ["r", "s"]
_VALUES = {
    "sp": _POLICIES,
    "np": _POLICIES,
    "adkim": _MODES,
    "aspf": _MODES,
    "psd": ["y", "n", "u"],
    "t": ["y", "n"],
}
_REMOVED = {
    "pct": "t=y is what tests a policy now",
    "rf": "reports have one form now",
    "ri": "reports come once a day",
}
_MAILTO = re.compile(r"mailto:[^@\s]+@([a-z0-9.-]+?)(?:![0-9]+[kmgt]?)?", re.I)


class Policy(NamedTuple):
    """A record, and the domain that it was found at."""

    domain: str
    tags: dict[str, str]

    def strength(self, domain: str) -> str:
        """What is asked of receivers for mail from this domain; "none" unless it is said."""
        said = self.tags.get("p", "none")
        if domain != self.domain:
            said = self.tags.get("sp", said)
        return said if said in _POLICIES else "none"


def check(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-03."""
    return _ABOUT.as_far_as_known("dmarc.answer", _findings(sending, resolver))


def policy(resolver: Resolver, domain: str) -> Policy | None:
    """That of the domain, else of its organisation, else of the registry above; None if nobody's.

    Raises NoAnswerError.
    """
    organisation = organisation_of(resolver, domain)
    for one in _walk(resolver, domain):
        if one.domain in {domain, organisation} or one.tags.get("psd") == "y":
            return one
    return None


def organisation_of(resolver: Resolver, domain: str) -> str:
    """The domain that speaks for all below it; the domain itself where no record says otherwise.

    Raises NoAnswerError.
    """
    walk = _walk(resolver, domain)
    for one in walk:
        if one.tags.get("psd") == "n":
            return one.domain
        if one.tags.get("psd") == "y" and one.domain != domain:
            below = domain.removesuffix(f".{one.domain}").rpartition(".")[2]
            return f"{below}.{one.domain}"
    return walk[-1].domain if walk else domain


def are_aligned(resolver: Resolver, author: str, other: str, *, is_strict: bool = False) -> bool:
    """Whether one organisation has both; strict: whether they are one domain."""
    if author == other or is_strict:
        return author == other
    if _walk(resolver, author) or _walk(resolver, other):
        return organisation_of(resolver, author) == organisation_of(resolver, other)
    # Without a record of anybody's, what lies below a domain is taken for its own.
    return other.endswith(f".{author}") or author.endswith(f".{other}")


def _walk(resolver: Resolver, domain: str) -> list[Policy]:
    """The records on the way up, the nearest first."""
    found = []
    for name in _names(domain):
        if one := _at(resolver, name):
            found.append(one)
            if one.tags.get("psd") in {"y", "n"}:
                break
    return found


def _names(domain: str) -> Iterator[str]:
    yield domain
    labels = domain.split(".")
    for start in range(max(1, len(labels) - _MOST_LABELS + 1), len(labels)):
        yield ".".join(labels[start:])


def _at(resolver: Resolver, domain: str) -> Policy | None:
    """Of several records none counts."""
    records = _records(resolver, f"_dmarc.{domain}")
    return Policy(domain, tags.read(records[0])) if len(records) == 1 else None


def _records(resolver: Resolver, name: str) -> list[str]:
    return [text for text in resolver.texts(name) if _VERSION.match(text)]


def _findings(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    domain = sending.domain
    host = f"_dmarc.{domain}"
    wanted = Record(host, "TXT", f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}")
    if len(records := _records(resolver, host)) > 1:
        found = f"{host} has {len(records)} DMARC records, so none counts: {' | '.join(records)}"
        yield _ABOUT.error("dmarc.one-record", found, "Leave one.")
    elif not records and (texts := resolver.texts(host)):
        found = f"{host} is no DMARC record, which begins with v=DMARC1: {texts[0]}"
        yield _ABOUT.error("dmarc.syntax", found, "Publish in its place:", wanted)
    if one := policy(resolver, domain):
        yield from _of_policy(one, domain)
        yield from _of_reports(one, resolver)
    elif not records:
        found = f"Neither {domain} nor a domain above it has a DMARC record."
        yield _ABOUT.error("dmarc.record", found, "Publish:", wanted)


def _of_policy(one: Policy, domain: str) -> Iterator[Finding]:
    strength = one.strength(domain)
    host = f"_dmarc.{one.domain}"
    yield _ABOUT.ok("dmarc.record", f"{host} asks for {strength} on mail from {domain}.")
    if one.tags.get("p") not in _POLICIES:
        said = f"says p={one.tags['p']}" if "p" in one.tags else "has no p="
        found = f"{host} {said}: receivers read it as none."
        yield _ABOUT.warning("dmarc.p", found, "Say p=none, p=quarantine or p=reject.")
    for name, values in _VALUES.items():
        if one.tags.get(name, values[0]) not in values:
            found = f"{host} says {name}={one.tags[name]}, which means nothing."
            yield _ABOUT.warning(f"dmarc.{name}", found, f"Say one of {', '.join(values)}.")
    for name in _REMOVED.keys() & one.tags.keys():
        found = f"{host} still says {name}=, which RFC 9989 removed: {_REMOVED[name]}."
        yield _ABOUT.warning(f"dmarc.{name}", found, f"Take {name}= out of the record.")
    if one.tags.get("t") == "y":
        found = f"{host} says t=y: the policy is being tested, and receivers go one step lower."
        yield _ABOUT.warning("dmarc.t", found, "Take t=y out once the reports are fine.")
    if one.tags.get("psd") == "y":
        found = f"{host} says psd=y: that is for registries, under whom others register."
        yield _ABOUT.warning("dmarc.psd", found, "Say psd=n, or nothing.")


def _of_reports(one: Policy, resolver: Resolver) -> Iterator[Finding]:
    host = f"_dmarc.{one.domain}"
    uris = [uri.strip() for uri in one.tags.get("rua", "").split(",") if uri.strip()]
    if not uris:
        found = f"{host} asks for no reports (rua=): nobody learns who sends in your name."
        yield _ABOUT.warning("dmarc.rua", found, f"Add rua=mailto:dmarc@{one.domain}.")
    for uri in uris:
        match = _MAILTO.fullmatch(uri)
        if not match:
            found = f"{host} wants reports at {uri}, which is no mailto: address."
            yield _ABOUT.warning("dmarc.rua", found, "Write rua=mailto:name@domain.")
        elif not _takes_reports(resolver, one.domain, match[1].lower()):
            wanted = Record(f"{one.domain}._report._dmarc.{match[1].lower()}", "TXT", "v=DMARC1")
            found = f"{match[1]} has not agreed to get reports about {one.domain}: none will come."
            yield _ABOUT.warning("dmarc.rua", found, f"{match[1]} must publish:", wanted)
        else:
            yield _ABOUT.ok("dmarc.rua", f"Reports go to {uri}.")


def _takes_reports(resolver: Resolver, domain: str, host: str) -> bool:
    """RFC 9990 section 4: whoever is of another organisation has to agree."""
    if organisation_of(resolver, host) == organisation_of(resolver, domain):
        return True
    return bool(_records(resolver, f"{domain}._report._dmarc.{host}"))
