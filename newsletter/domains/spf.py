"""SPF of the envelope domain (RFC 7208): who may send in its name."""

import ipaddress
import re
from collections.abc import Iterator

from newsletter.domains.findings import About, Finding, Record
from newsletter.domains.providers import Provider, is_below
from newsletter.domains.resolver import Resolver, is_public
from newsletter.domains.sendings import Sending

_ABOUT = About("DOM-01")
# RFC 7208 section 4.6.4; past the last one it is not worth counting on.
_MOST_LOOKUPS, _MOST_VOIDS, _MOST_EXCHANGES = 10, 2, 10
_ENOUGH = 40

_TERM = re.compile(r"([+?~-]?)([a-z][a-z0-9_.-]*)(?:([:=/])(.*))?", re.I)
_DOMAIN = re.compile(r"[^\s/:=]+")
_CIDR = re.compile(r"(.*?)(?:/(\d{1,2}))?(?://(\d{1,3}))?")

type _Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-01."""
    return _ABOUT.as_far_as_known("spf.answer", _findings(sending, resolver))


def _findings(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    domain = sending.envelope_domain
    records = _records(resolver, domain)
    if len(records) != 1:
        yield _not_one(sending, records)
        return
    yield _ABOUT.ok("spf.one-record", f"{domain} has one record: {records[0]}")
    walk = _Walk(resolver)
    walk.read(domain, records[0], ())
    yield from _of_numbers(walk)
    yield from _of_all(walk, domain)
    yield from _of_mailer(sending, resolver, walk)


def _not_one(sending: Sending, records: list[str]) -> Finding:
    domain = sending.envelope_domain
    if not records:
        wanted = Record(domain, "TXT", _wanted(sending))
        return _ABOUT.error("spf.one-record", f"{domain} has no SPF record.", "Publish:", wanted)
    terms = [term for record in records for term in record.split()[1:]]
    kept = [term for term in dict.fromkeys(terms) if not re.fullmatch(r"[+?~-]?all", term, re.I)]
    return _ABOUT.error(
        "spf.one-record",
        f"{domain} has {len(records)} SPF records, so none counts: {' | '.join(records)}",
        "Publish one in place of all of them:",
        Record(domain, "TXT", " ".join(["v=spf1", *kept, "~all"])),
    )


def _wanted(sending: Sending) -> str:
    if sending.provider and sending.provider.spf:
        return f"v=spf1 include:{sending.provider.spf} ~all"
    if sending.host and not sending.provider:
        return f"v=spf1 a:{sending.host} ~all"
    return "v=spf1 mx ~all"


def _of_numbers(walk: "_Walk") -> Iterator[Finding]:
    for check, problem, remedy in walk.problems:
        yield _ABOUT.error(check, problem, remedy)
    lookups = f"{walk.lookups} of {_MOST_LOOKUPS} lookups"
    if walk.lookups > _MOST_LOOKUPS:
        remedy = "Take out what you no longer send by, or write its ip4: and ip6: networks."
        yield _ABOUT.error("spf.lookups", f"{lookups}: receivers give up.", remedy)
    else:
        yield _ABOUT.ok("spf.lookups", f"{lookups}.")
    if len(walk.voids) > _MOST_VOIDS:
        yield _ABOUT.error(
            "spf.voids",
            f"{len(walk.voids)} names lead nowhere, {_MOST_VOIDS} may: {', '.join(walk.voids)}",
            "Take them out of the record.",
        )
    elif walk.voids:
        yield _ABOUT.warning(
            "spf.voids", f"Leads nowhere: {', '.join(walk.voids)}", "Take it out of the record."
        )
    if walk.has_ptr:
        yield _ABOUT.warning(
            "spf.ptr", "“ptr” is slow and no longer to be used.", "Name addresses in its place."
        )


def _of_all(walk: "_Walk", domain: str) -> Iterator[Finding]:
    if walk.open_to_all:
        yield _ABOUT.error(
            "spf.all",
            f"The record of {walk.open_to_all} says +all: anybody may send in your name.",
            "End it with ~all or -all, or include it no more.",
        )
    elif walk.ends[:1] in {"~", "-"}:
        yield _ABOUT.ok("spf.all", f"All others are refused: {walk.ends}.")
    else:
        said = f"says {walk.ends}" if walk.ends else "says nothing"
        yield _ABOUT.warning(
            "spf.all", f"The record of {domain} {said} of all others.", "End it with ~all."
        )


def _of_mailer(sending: Sending, resolver: Resolver, walk: "_Walk") -> Iterator[Finding]:
    if sending.provider:
        yield _of_provider(sending, sending.provider, resolver, walk)
    elif sending.host:
        yield from _of_host(sending.host, resolver, walk)


def _of_provider(
    sending: Sending, provider: Provider, resolver: Resolver, walk: "_Walk"
) -> Finding:
    domain = sending.envelope_domain
    alias = resolver.alias(domain)
    if provider.return_path and is_below(alias, provider.return_path):
        return _ABOUT.ok("spf.mailer", f"{domain} is an alias of {provider.name}’s {alias}.")
    if provider.spf in walk.included:
        return _ABOUT.ok("spf.mailer", f"{provider.name} is included ({provider.spf}).")
    return _not_included(sending, provider, walk)


def _not_included(sending: Sending, provider: Provider, walk: "_Walk") -> Finding:
    domain = sending.envelope_domain
    if sending.has_foreign_envelope and not provider.spf:
        found = f"{provider.name} has a return path of its own, unless you point a CNAME to "
        return _ABOUT.note("spf.mailer", f"{found}{provider.return_path}.")
    if not provider.spf:
        found = f"{domain} is no alias of {provider.name}’s {provider.return_path}."
        wanted = Record(domain, "CNAME", f"{provider.return_path}.")
        return _ABOUT.error("spf.mailer", found, "Publish, if bounces go there:", wanted)
    found = f"The record of {domain} does not include {provider.name}."
    remedy = f"Put include:{provider.spf} into the record you have, before its end."
    wanted = Record(domain, "TXT", walk.with_term(f"include:{provider.spf}"))
    if sending.has_foreign_envelope:
        found = f"{found} It need not, while bounces go to a domain of {provider.name}’s."
        return _ABOUT.warning("spf.mailer", found, remedy, wanted)
    return _ABOUT.error("spf.mailer", found, remedy, wanted)


def _of_host(host: str, resolver: Resolver, walk: "_Walk") -> Iterator[Finding]:
    for address in filter(is_public, _addresses(host, resolver)):
        if walk.authorises(address):
            yield _ABOUT.ok("spf.mailer", f"{host} ({address}) may send.")
        else:
            yield _ABOUT.warning(
                "spf.mailer",
                f"The record does not name {host} ({address}).",
                f"If that server delivers itself, put a:{host} into the record.",
            )


def _addresses(host: str, resolver: Resolver) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return resolver.addresses(host)


def _records(resolver: Resolver, domain: str) -> list[str]:
    return [text for text in resolver.texts(domain) if re.match(r"v=spf1( |\Z)", text, re.I)]


class _Walk:
    """A record and all that it includes, read to the end as if nothing matched."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._networks: list[_Network] = []
        self._terms: list[str] = []
        self.problems: list[tuple[str, str, str]] = []
        self.included: set[str] = set()
        self.voids: list[str] = []
        self.lookups = 0
        self.has_ptr = False
        # The domain of whose record says that anybody may send.
        self.open_to_all = ""
        # What the record, or the one that it hands over to, says of all others.
        self.ends = ""

    def read(self, domain: str, record: str, above: tuple[str, ...]) -> None:
        terms = record.split()[1:]
        self._terms = self._terms or terms
        said = [term.lower() for term in terms]
        ends = next((term for term in said if re.fullmatch(r"[+?~-]?all", term)), "")
        if ends in {"all", "+all"}:
            self.open_to_all = self.open_to_all or domain
        if not above:
            self.ends = ends
        for term in terms:
            # Mechanisms after "all" count for nothing, nor does a redirect beside it.
            if not (ends and term.lower().startswith("redirect=")):
                self._term(term, domain, above)

    def with_term(self, term: str) -> str:
        ends = [word for word in self._terms if re.fullmatch(r"[+?~-]?all", word, re.I)]
        others = [word for word in self._terms if word not in ends]
        return " ".join(["v=spf1", *others, term, *(ends or ["~all"])])

    def authorises(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._networks)

    def _term(self, term: str, domain: str, above: tuple[str, ...]) -> None:
        match = _TERM.fullmatch(term)
        sign, name, mark, value = match.groups("") if match else ("", "", "", "")
        name = name.lower()
        if mark == "=" and name != "redirect":
            return
        known = len(self._networks)
        try:
            self._understand(name, mark, value, domain, above)
        except ValueError:
            remedy = "Correct it: receivers take the whole record for broken."
            self.problems.append(("spf.syntax", f"“{term}” is no term of SPF.", remedy))
        if sign not in {"", "+"}:
            del self._networks[known:]

    def _understand(
        self, name: str, mark: str, value: str, domain: str, above: tuple[str, ...]
    ) -> None:
        match name:
            case "all":
                _insist(not mark)
            case "ip4" | "ip6":
                _insist(mark == ":")
                self._network(name, value)
            case "include" | "redirect":
                _insist(bool(_DOMAIN.fullmatch(value)))
                self._go_on(value.lower().rstrip("."), domain, above, name)
            case "a" | "mx":
                self._hosts(name, mark, value, domain)
            case "exists":
                _insist(mark == ":" and bool(value))
                self.lookups += 1
            case "ptr":
                self.lookups += 1
                self.has_ptr = True
            case _:
                raise ValueError(name)

    def _network(self, name: str, value: str) -> None:
        network = ipaddress.ip_network(value, strict=False)
        _insist(network.version == int(name[2]))
        self._networks.append(network)

    def _go_on(self, target: str, domain: str, above: tuple[str, ...], how: str) -> None:
        self.lookups += 1
        if "%" in target or self.lookups > _ENOUGH:
            return
        self.included.add(target)
        if target in (*above, domain):
            self.problems.append(
                ("spf.include", f"{target} includes itself.", "Take it out of the record.")
            )
            return
        records = _records(self._resolver, target)
        if not self._resolver.texts(target):
            self.voids.append(target)
        if len(records) != 1:
            found = f"{target} has {len(records) or 'no'} SPF record{'s' * (len(records) > 1)}"
            self.problems.append(
                ("spf.include", f"{found}: receivers take yours for broken.", "Take it out.")
            )
            return
        self.read(target, records[0], (*above, domain))
        if how == "redirect" and not above:
            self.ends = next(
                (term for term in records[0].lower().split() if term.endswith("all")), ""
            )

    def _hosts(self, name: str, mark: str, value: str, domain: str) -> None:
        self.lookups += 1
        host, four, six = _read_target(mark, value, domain)
        if "%" in host:
            return
        hosts = [host] if name == "a" else self._resolver.exchanges(host)
        if len(hosts) > _MOST_EXCHANGES:
            self.problems.append(
                ("spf.mx", f"“mx” of {host} are {len(hosts)} hosts, 10 may be.", "Name networks.")
            )
            return
        addresses = [ip for name in hosts if name for ip in self._resolver.addresses(name)]
        if not addresses:
            self.voids.append(f"{name}:{host}")
        for address in addresses:
            prefix = six if ":" in address else four
            self._networks.append(ipaddress.ip_network(f"{address}/{prefix}", strict=False))


def _read_target(mark: str, value: str, domain: str) -> tuple[str, int, int]:
    """The host of "a" or "mx", and the lengths of the prefixes of its networks."""
    written = value if mark == ":" else f"{mark}{value}"
    match = _CIDR.fullmatch(written)
    _insist(match is not None and mark in {"", ":", "/"})
    host, four, six = match.groups() if match else ("", None, None)
    _insist(not host or bool(_DOMAIN.fullmatch(host)))
    return host.lower().rstrip(".") or domain, int(four or 32), int(six or 128)


def _insist(is_well: bool) -> None:
    if not is_well:
        raise ValueError
