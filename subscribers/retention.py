"""What was kept long enough goes: some at a time, each time in a transaction of its own.

Each says of how many rows it did; 0 if all is done. A Removal is left as the report.
"""

from datetime import datetime

from django.db import transaction

from subscribers.models import Consent, Removal, Subscriber, Subscription
from subscribers.models.subscriptions import SubscriptionQuerySet

_SOME = 1000


def purge_unconfirmed(before: datetime) -> int:
    """Periods that nobody confirmed, and of which nobody was asked since then."""
    over = Subscription.objects.forgotten(before)
    return _forget_some(over, Removal.Reason.NEVER_CONFIRMED)


def purge_left(before: datetime) -> int:
    """Periods that ended before then."""
    return _forget_some(Subscription.objects.left_before(before), Removal.Reason.EVIDENCE_OVER)


def trim_traces(before: datetime) -> int:
    """Network addresses and browsers in what was recorded before then."""
    some = Consent.objects.traced(before).order_by("recorded_at")[:_SOME]
    return Removal.objects.trim(some, Removal.Reason.TRACES_OVER)


def _forget_some(over: SubscriptionQuerySet, reason: str) -> int:
    """With the evidence, and with who has nothing else here."""
    with transaction.atomic():
        # Whoever signs up again at this moment comes before the lock, and is seen, or after it.
        readers = Subscriber.objects.first_locked(over.values("subscriber"))
        keys = list(over.filter(subscriber__in=readers).values_list("pk", flat=True))
        Removal.objects.remove(Consent.objects.filter(subscription__in=keys), reason)
        Subscription.objects.filter(pk__in=keys).delete()
        Subscriber.objects.filter(pk__in=readers, subscriptions__isnull=True).delete()
    return len(keys)
