"""A message of ours as it arrived somewhere: what signed it, and what the signature covers."""

import re
from collections.abc import Iterator
from email import policy
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from typing import NamedTuple

from newsletter.domains import dmarc, tags
from newsletter.domains.findings import About, Finding
from newsletter.domains.resolver import Resolver
from newsletter.domains.sendings import Sending

_ABOUT = About("DOM-08")
_ONE_CLICK = About("UNS-05")
_ARC = About("DOM-10")
# RFC 8058 section 4: else no mailbox provider shows its button.
_MUST_COVER = ["list-unsubscribe", "list-unsubscribe-post"]
_SHOULD_COVER = ["from", "to", "subject", "date", "message-id", "feedback-id"]
_OPENDKIM = (
    "If OpenDKIM signs, write into opendkim.conf: "
    "SignHeaders *,+List-Unsubscribe,+List-Unsubscribe-Post,+Message-ID,+Feedback-ID"
)


class Signature(NamedTuple):
    domain: str
    selector: str
    algorithm: str
    names: list[str]


class Arrived:
    """The header of a raw message."""

    def __init__(self, raw: bytes) -> None:
        # As they stand: "compat32" decodes nothing.
        self._message = BytesHeaderParser(policy=policy.compat32).parsebytes(raw)

    def all(self, name: str) -> list[str]:
        """The values of these fields, unfolded, the topmost first."""
        return [
            re.sub(r"\s+", " ", str(value)).strip() for value in self._message.get_all(name, [])
        ]

    @property
    def domain(self) -> str:
        """What it is from; "" if that cannot be read."""
        return self._domain_in("From")

    @property
    def envelope_domain(self) -> str:
        """Where its bounces went, as whoever delivered it wrote; "" if nobody did."""
        return self._domain_in("Return-Path")

    def names(self) -> list[str]:
        return [name.lower() for name in self._message]

    def signatures(self) -> list[Signature]:
        return [_signature(tags.read(value)) for value in self.all("DKIM-Signature")]

    def _domain_in(self, name: str) -> str:
        return parseaddr("".join(self.all(name)[:1]))[1].rpartition("@")[2].lower()


def check(arrived: Arrived, sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-08, DOM-10 and UNS-05."""
    signatures = arrived.signatures()
    for signature in signatures:
        yield _described(signature)
    yield from _ABOUT.as_far_as_known(
        "received.answer", _of_one_click(arrived, signatures, sending, resolver)
    )
    yield from _of_covers(arrived, signatures)
    yield from _of_results(arrived)
    for name in ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"]:
        yield from (_ABOUT.note("received.list", f"{name}: {value}") for value in arrived.all(name))
    if sealers := [tags.read(seal).get("d", "") for seal in arrived.all("ARC-Seal")]:
        found = f"Sealed on the way by {', '.join(sealers)} (ARC, being retired)."
        yield _ARC.note("received.arc", found)


def _signature(said: dict[str, str]) -> Signature:
    names = [name.strip().lower() for name in said.get("h", "").split(":")]
    return Signature(said.get("d", "").lower(), said.get("s", ""), said.get("a", ""), names)


def _described(signature: Signature) -> Finding:
    found = f"Signed by {signature.domain} ({signature.selector}, {signature.algorithm}); "
    return _ABOUT.note("received.signature", f"{found}h={':'.join(signature.names)}")


def _of_one_click(
    arrived: Arrived, signatures: list[Signature], sending: Sending, resolver: Resolver
) -> Iterator[Finding]:
    if not signatures:
        remedy = "Set DKIM_KEYS, or have your relay or provider sign."
        yield _ONE_CLICK.error("received.one-click", "Nobody signed the message.", remedy)
        return
    aligned = [one for one in signatures if dmarc.are_aligned(resolver, sending.domain, one.domain)]
    if not aligned:
        found = f"None of the signatures is of {sending.domain}."
        yield _ABOUT.error("received.aligned", found, f"Sign for {sending.domain}.")
    if absent := [name for name in _MUST_COVER if name not in arrived.names()]:
        found = f"The message has arrived without {_written(absent)}."
        yield _ONE_CLICK.error("received.one-click", found, "Find out who takes it out.")
        return
    yield _of_coverage(signatures)


def _of_coverage(signatures: list[Signature]) -> Finding:
    if any(set(_MUST_COVER) <= set(signature.names) for signature in signatures):
        found = "A signature covers List-Unsubscribe and List-Unsubscribe-Post."
        return _ONE_CLICK.ok("received.one-click", found)
    left_out = {name for one in signatures for name in _MUST_COVER if name not in one.names}
    return _ONE_CLICK.error(
        "received.one-click",
        f"The signatures of {_signers(signatures)} leave out {_written(sorted(left_out))}: "
        "one-click unsubscribing does not count (RFC 8058, 4).",
        f"Sign here (DKIM_KEYS), or have these covered. {_OPENDKIM}",
    )


def _of_covers(arrived: Arrived, signatures: list[Signature]) -> Iterator[Finding]:
    covered = {name for signature in signatures for name in signature.names}
    present = arrived.names()
    left_out = [name for name in _SHOULD_COVER if name in present and name not in covered]
    if signatures and left_out:
        found = f"No signature covers {_written(left_out)}: anybody may change it."
        yield _ABOUT.warning("received.covered", found, f"Have it covered. {_OPENDKIM}")


def _of_results(arrived: Arrived) -> Iterator[Finding]:
    """What the receiver says; only the topmost is its own, others may be anybody's."""
    results = arrived.all("Authentication-Results")[:1]
    for result in results:
        yield _ABOUT.note("received.results", result)
        for method in ["spf", "dkim", "dmarc"]:
            verdicts = re.findall(rf"\b{method}=(\w+)", result)
            if verdicts and "pass" not in verdicts:
                found = f"The receiver says {method}={verdicts[0]}."
                yield _ABOUT.error(f"received.{method}", found, "See what is said above.")
    if not results:
        found = "The message holds no Authentication-Results: it was not read where it arrived."
        yield _ABOUT.unknown("received.results", found, "Save it raw from the mailbox it came to.")


def _signers(signatures: list[Signature]) -> str:
    return ", ".join(f"{signature.domain} ({signature.selector})" for signature in signatures)


def _written(names: list[str]) -> str:
    usual = {"message-id": "Message-ID", "feedback-id": "Feedback-ID"}
    return ", ".join(usual.get(name, name.title()) for name in names)
