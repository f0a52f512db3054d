"""What people at the desk and readers do in a scenario, in a process with its settings.

`python -m tests.faults.desk found READERS | leave COUNT | wander COUNT | look TIMES |
call TIMES | pause | resume | cancel`
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from newsletter.models import Campaign  # noqa: E402
from newsletter.tasks import look_for_due_campaigns, send_batches  # noqa: E402
from subscribers.addresses import Address  # noqa: E402
from subscribers.models import (  # noqa: E402
    Consent,
    Evidence,
    MailingList,
    Publication,
    Subscriber,
    Subscription,
)
from tests.benchmarks import desk, letter  # noqa: E402
from tests.faults.server import ONE  # noqa: E402

_LATER = timedelta(days=300)
# One reader in so many has a mailbox at ONE.
_SHARE = 10
_EVIDENCE = Evidence(method=Consent.Method.ONE_CLICK)


def found(readers: str) -> None:
    """A paper with readers, and a campaign to all of them that is booked, but not for today."""
    desk.found()
    MailingList.objects.create(
        publication=Publication.objects.get(), slug="weekend-reader", name="Weekend", position=1
    )
    call_command("load_readers", count=int(readers), list="morning-briefing", verbosity=0)
    _move_to_one(Subscriber.objects.order_by("pk")[::_SHARE])
    campaign = desk._draft()
    assert campaign.schedule(letter.versions(campaign), timezone.now() + _LATER)


def _move_to_one(readers: list[Subscriber]) -> None:
    for reader in readers:
        there = Address(f"reader{reader.pk}", ONE)
        reader.identity, reader.address = there.identity, str(there)
        reader.suppression_key = there.suppression_keys()[0]
    Subscriber.objects.bulk_update(readers, ["identity", "address", "suppression_key"], 500)


def leave(count: str) -> None:
    """So many readers click at the same moment; who they are, and the moment."""
    people = _some(int(count))
    with transaction.atomic():
        gone = [_left(period) for period in people]
    print(json.dumps({"at": time.monotonic(), "addresses": gone}))


def _left(period: Subscription) -> str:
    Subscription.objects.leave(period.subscriber_id, period.mailing_list_id, _EVIDENCE)
    return period.subscriber.address


def wander(count: str) -> None:
    """So many readers each leave, leave and come back, move, get a mailbox elsewhere, or change
    to another list."""
    weekend = MailingList.objects.get(slug="weekend-reader")
    for number, period in enumerate(_some(int(count))):
        reader = Subscriber.objects.filter(pk=period.subscriber_id)
        if number % 5 == 0:
            period.end(Subscription.EndReason.UNSUBSCRIBED, _EVIDENCE)
        elif number % 5 == 1:
            period.end(Subscription.EndReason.UNSUBSCRIBED, _EVIDENCE)
            period.refresh_from_db()
            assert period.reopen(_EVIDENCE)
        elif number % 5 == 2:
            reader.update(time_zone="Pacific/Auckland")
        elif number % 5 == 3:
            there = f"moved{number}@example.org"
            reader.update(identity=there, address=there)
        else:
            period.end(Subscription.EndReason.UNSUBSCRIBED, _EVIDENCE)
            Subscription.objects.create(
                subscriber=period.subscriber, mailing_list=weekend, confirmed_at=timezone.now()
            )


def _some(count: int) -> list[Subscription]:
    """Spread over the whole audience."""
    periods = Subscription.objects.confirmed().filter(mailing_list__slug="morning-briefing")
    keys = list(periods.order_by("subscriber").values_list("pk", flat=True))
    chosen = keys[:: max(1, len(keys) // count)][:count]
    return list(periods.filter(pk__in=chosen).select_related("subscriber", "mailing_list"))


def look(times: str) -> None:
    """A heartbeat beside those of the workers, as fast as it can."""
    for _ in range(int(times)):
        look_for_due_campaigns()
        time.sleep(0.05)


def call(times: str) -> None:
    """The same task delivered so often."""
    for _ in range(int(times)):
        send_batches.delay()


_VERBS: dict[str, Callable[..., object]] = {
    "found": found,
    "leave": leave,
    "wander": wander,
    "look": look,
    "call": call,
    "pause": lambda: Campaign.objects.get().pause(),
    "resume": lambda: Campaign.objects.get().resume(),
    "cancel": lambda: Campaign.objects.get().cancel(),
}

if __name__ == "__main__":
    _VERBS[sys.argv[1]](*sys.argv[2:])
