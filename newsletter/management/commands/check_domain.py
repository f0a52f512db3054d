"""Whether receivers trust our mail: `check_domain news.example.org`, or of every sender."""

import ipaddress
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from newsletter import dkim, domains
from newsletter.domains import Arrived, Finding, Level, Resolver, Sending, hosts, report
from subscribers.models import Sender


class Command(BaseCommand):
    help = "Say what is wrong with SPF, DKIM, DMARC and the servers, and what to publish."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("domain", nargs="?", help="what mail is from; without one, every sender is checked")
        add("--sender", metavar="ADDRESS", help="one sender, by its address")
        add("--selector", action="append", default=[], help="of DKIM, where a relay signs")
        add("--resolver", type=_server, metavar="IP[:PORT]", help="the name server to ask")
        add("--json", action="store_true", help="for programs; names in it never change")
        add("--send-to", metavar="ADDRESS", help="send a test there, to be read back")
        add("--received", metavar="FILE", help="that test as it arrived, in its source; - is stdin")

    def handle(self, *args: Any, **options: Any) -> None:
        resolver = Resolver([options["resolver"]] if options["resolver"] else [])
        arrived = Arrived(_read(options["received"])) if options["received"] else None
        reports = [
            (sending, _findings(sender, sending, resolver, arrived, options["send_to"]))
            for sender, sending in _named(options, arrived)
        ]
        self._tell(reports, as_json=options["json"])
        if any(one.level is Level.ERROR for _sending, found in reports for one in found):
            sys.exit(1)

    def _tell(self, reports: list[tuple[Sending, list[Finding]]], *, as_json: bool) -> None:
        if as_json:
            told = report.document([report.as_json(*one) for one in reports])
            self.stdout.write(json.dumps(told, indent=2, ensure_ascii=False))
            return
        texts = ["\n".join(report.as_text(*one)) for one in reports]
        self.stdout.write("\n\n".join(texts))


def _server(text: str) -> str:
    address, _colon, port = text.partition(":") if text.count(":") == 1 else (text, "", "53")
    ipaddress.ip_address(address)
    if not 0 < int(port) < 65536:
        raise ValueError(port)
    return text


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from error


def _findings(
    sender: Sender | None,
    sending: Sending,
    resolver: Resolver,
    arrived: Arrived | None,
    send_to: str | None,
) -> list[Finding]:
    findings = domains.check(sending, resolver, _link(sender), arrived)
    # Once, by the mailer of campaigns.
    if send_to and (sender is None or sending.mailer == sender.mailers[0]):
        findings += _sent(sender, send_to)
    return sorted(findings, key=lambda finding: finding.requirement)


def _named(options: dict[str, Any], arrived: Arrived | None) -> list[tuple[Sender | None, Sending]]:
    try:
        sendings = list(_sendings(options, arrived))
    except UnicodeError as error:
        raise CommandError(f"{options['domain']!r} is no domain: {error}") from error
    except dkim.KeyFileError as error:
        raise CommandError(f"DKIM_KEYS: {error}") from error
    if not sendings:
        raise CommandError("None of the sender's mailers is set up on this server.")
    return sendings


def _sendings(
    options: dict[str, Any], arrived: Arrived | None
) -> Iterator[tuple[Sender | None, Sending]]:
    """The senders that were named, else those of the domain, or of the message; else all."""
    address = options["sender"]
    domain = options["domain"] or (arrived.domain if arrived and not address else "")
    senders = list(Sender.objects.select_related("publication").order_by("id"))
    if address:
        senders = [sender for sender in senders if sender.email.lower() == address.lower()]
    elif domain:
        senders = [sender for sender in senders if sender.domain.lower() == domain.lower()]
    if not senders and (address or not domain):
        raise CommandError(f"There is no sender {address}." if address else "There is no sender.")
    selectors = options["selector"]
    for sender in senders:
        for sending in domains.of_sender(sender):
            yield sender, _with(sending, selectors)
    if not senders:
        yield None, _with(domains.from_domain(domain), selectors)


def _with(sending: Sending, selectors: list[str]) -> Sending:
    return sending.signed_with(*((sending.domain, selector) for selector in selectors))


def _link(sender: Sender | None) -> str:
    return hosts.unsubscribe_url(sender.publication if sender else None)


def _sent(sender: Sender | None, address: str) -> list[Finding]:
    if sender is None:
        raise CommandError("Nobody sends from this domain yet, so no test can be sent from it.")
    return [domains.send(sender, address)]
