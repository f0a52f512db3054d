"""Slips of the finger in an address: "Did you mean ...?", and never more than the question."""

from dataclasses import replace

from subscribers import mailbox_providers
from subscribers.addresses import Address

# Where a wrong letter is a typing error far more often than another provider.
_POPULAR = [
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "yahoo.co.uk",
    "yahoo.de",
    "yahoo.fr",
    "hotmail.com",
    "hotmail.co.uk",
    "hotmail.de",
    "hotmail.fr",
    "outlook.com",
    "outlook.de",
    "outlook.fr",
    "icloud.com",
    "protonmail.com",
    "t-online.de",
    "freenet.de",
    "wanadoo.fr",
    "laposte.net",
    "comcast.net",
    "btinternet.com",
]
# A letter away from one of those, and somebody's all the same.
_OTHERS = {"email.com", "cloud.com", "tmail.com"}
# Letters of a country's ending: another one is another country's.
_COUNTRY = 2


def suggestion(address: Address) -> Address | None:
    """The address that was probably meant; None if this one may well be right."""
    domain = address.domain
    if mailbox_providers.of_domain(domain) or domain in _OTHERS:
        return None
    meant = next((one for one in _POPULAR if _is_slip(domain, one)), None)
    return replace(address, domain=meant) if meant else None


def _is_slip(typed: str, meant: str) -> bool:
    """One letter too many, too few, wrong, or two swapped."""
    ending = meant.rpartition(".")[2]
    if len(ending) == _COUNTRY and not typed.endswith(f".{ending}"):
        return False
    start = _common(typed, meant)
    rest, wanted = typed[start:], meant[start:]
    return (
        rest[1:] == wanted[1:]
        or rest[1:] == wanted
        or rest == wanted[1:]
        or (rest[:2] == wanted[1::-1] and rest[2:] == wanted[2:])
    )


def _common(one: str, other: str) -> int:
    """How many letters they begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
