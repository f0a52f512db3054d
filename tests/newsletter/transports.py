"""What tests of transports have in common: readers in hand, and what becomes of them."""

import time
from collections import Counter
from dataclasses import dataclass, field

from newsletter.content import Mailing, Reader, compile_versions
from newsletter.delivery.outcomes import Fate, Message, Outcome, TransportError
from newsletter.delivery.transports import Transports


def use(settings, server, connections=1, **options):
    """Send to this server, as EMAIL_URL would say."""
    settings.SMTP_CONNECTIONS = connections
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": server.host, "port": server.port, "timeout": 5, **options},
        }
    }


def ours():
    return True


def messages(campaign, count, first=1):
    """To reader1@example.com and so on, in this order."""
    version = compile_versions(campaign)[0]
    mailing = Mailing(version)
    return [
        Message(
            mailing,
            Reader(number, f"reader{number}@example.com", f"Reader {number}", 1),
            campaign.pk,
        )
        for number in range(first, first + count)
    ]


@dataclass
class Account:
    """What came into an outbox."""

    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[TransportError] = field(default_factory=list)

    def fates(self):
        return Counter(outcome.fate for outcome in self.outcomes)

    def fate(self, number):
        return self.of(number).fate

    def of(self, number):
        """The only outcome of this reader."""
        (outcome,) = [one for one in self.outcomes if one.reader.subscriber_id == number]
        return outcome

    def addresses(self, fate):
        return sorted(one.reader.address for one in self.outcomes if one.fate is fate)


def wait_for(transports, count, seconds=10):
    """So many outcomes, and whatever else came; crashes are raised."""
    account = Account()
    until = time.monotonic() + seconds
    while len(account.outcomes) < count and time.monotonic() < until:
        for item in transports.outbox.collect(count - len(account.outcomes), 0.05):
            if isinstance(item, Outcome):
                account.outcomes.append(item)
            elif isinstance(item, TransportError):
                # Of several that hand over beside each other, each may have one.
                first = not account.errors
                assert not (first and account.addresses(Fate.RETURNED)), "the error comes first"
                account.errors.append(item)
            else:
                raise item
    assert len(account.outcomes) == count
    assert len({one.reader for one in account.outcomes}) == count
    return account


def hand_over(taken, is_ours=ours):
    """What becomes of these messages."""
    with Transports() as transports:
        transports["default"].take(taken, is_ours)
        return wait_for(transports, len(taken))
