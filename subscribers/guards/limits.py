"""How much is enough: from one network, for one mailbox, at one domain, and in all.

Each is a bucket of tokens: what it holds may come at once, and so many come back in a second. No
limit knows whether an address is known here: it would tell (ENU-03).
"""

import math
import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from django.conf import settings

from subscribers import mailbox_providers
from subscribers.addresses import Address
from subscribers.guards import stores
from subscribers.models.buckets import Rule, Want

_MINUTE, _HOUR, _DAY = 60, 60 * 60, 24 * 60 * 60

# An office, or a village behind one address, may sign up together.
NETWORK = Rule(30, 1 / 10)
# Without proof of work: by all such readers together, and by those of one network.
WITHOUT_WORK = Rule(60, 60 / _MINUTE)
WITHOUT_WORK_OF_NETWORK = Rule(5, 5 / _HOUR)
# To show a form again costs us more than to take one, and robots come back with what they were
# shown. Beyond it they, and whoever comes with them, get a short page.
SHOWN_AGAIN = Rule(60, 5)
SHOWN_AGAIN_IN = 30
# More is no person's, and all that the mailbox gets is one letter (see models/letters.py).
MAILBOX = Rule(5, 1 / (15 * _MINUTE))
# Robots are made of one domain's mailboxes; a town's newspaper has many readers at its school.
DOMAIN = Rule(30, 30 / _HOUR)
KNOWN_DOMAIN = Rule(600, 1200 / _HOUR)
# The form at the end of one article, or one that another site shows.
FORM = Rule(300, 600 / _HOUR)
# "This wasn't me": one is a slip of the finger, three of a network's are a habit.
BLAME = Rule(3, 3 / _DAY)
# So much of the budget of all does a sign-up cost that was somebody else's (ABU-11).
_PRICE_OF_BLAME = 10


@dataclass(frozen=True)
class Room:
    """What the limits say of one sign-up that they let through or not."""

    # The mailbox has had enough.
    is_enough: bool
    # Many at once at this domain.
    is_crowded: bool
    # Many at once by this form.
    is_busy: bool
    # The budget of all is spent, or more than half of it.
    is_spent: bool
    is_tight: bool
    # Readers said "this wasn't me" of sign-ups from this network.
    is_blamed: bool


def network_of(address: str | None) -> str:
    """Who counts as one: an IPv4 address, or the /64 that one household or phone has (ABU-02).

    "": nobody knows where it came from, so it counts against nobody.
    """
    if not address:
        return ""
    parsed = ip_address(address)
    return str(ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else str(parsed)


def seconds_to_wait(network: str) -> int:
    """0: it may go on; a token is taken. Else when it is worth trying again."""
    return _take_or_wait(f"network:{network}", NETWORK) if network else 0


def is_open_without_work(network: str) -> bool:
    """The stricter way: fewer of a network's, and fewer in all; a token is taken of each."""
    wants = [Want("without-work", WITHOUT_WORK)]
    if network:
        wants.append(Want(f"without-work:{network}", WITHOUT_WORK_OF_NETWORK))
    return all(left.is_granted for left in stores.take(wants, time.time()))


def is_time_to_show_again() -> bool:
    return stores.take([Want("shown-again", SHOWN_AGAIN)], time.time())[0].is_granted


def room(address: Address, network: str, form: str) -> Room:
    """Counts this sign-up against everything it counts against. `form`: whatever tells which."""
    wants = [
        Want(f"mailbox:{address.abuse_key}", MAILBOX),
        Want(f"domain:{address.domain[:80]}", _of_domain(address.domain)),
        Want(f"form:{form[-80:]}", FORM),
        *_budget(1),
        # Only looked at.
        Want(f"blame:{network}", BLAME, tokens=0),
    ]
    mailbox, domain, by_form, minute, hour, blame = stores.take(wants, time.time())
    return Room(
        is_enough=not mailbox.is_granted,
        is_crowded=not domain.is_granted,
        is_busy=not by_form.is_granted,
        is_spent=not (minute.is_granted and hour.is_granted),
        is_tight=(
            minute.tokens < settings.CONFIRMATIONS_PER_MINUTE / 2
            or hour.tokens < settings.CONFIRMATIONS_PER_HOUR / 2
        ),
        is_blamed=bool(network) and blame.tokens < 1,
    )


def blame(network: str) -> None:
    """Somebody whose address was entered from there says: this wasn't me."""
    wants = _budget(_PRICE_OF_BLAME)
    if network:
        wants.append(Want(f"blame:{network}", BLAME))
    stores.take(wants, time.time())


def _budget(tokens: float) -> list[Want]:
    minute, hour = settings.CONFIRMATIONS_PER_MINUTE, settings.CONFIRMATIONS_PER_HOUR
    return [
        Want("budget:minute", Rule(minute, minute / _MINUTE), tokens),
        Want("budget:hour", Rule(hour, hour / _HOUR), tokens),
    ]


def _of_domain(domain: str) -> Rule:
    return KNOWN_DOMAIN if mailbox_providers.of_domain(domain) else DOMAIN


def _take_or_wait(key: str, rule: Rule) -> int:
    (left,) = stores.take([Want(key, rule)], time.time())
    return 0 if left.is_granted else math.ceil((1 - left.tokens) / rule.per_second)
