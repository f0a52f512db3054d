"""Asking readers to agree to newer terms, and what they answer."""

from dataclasses import replace
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from subscribers.models import (
    Consent,
    Evidence,
    Letter,
    Renewal,
    Subscriber,
    Subscription,
    Terms,
)

# Letters that wait at once: a confirmation that comes in between waits behind no more.
_LOT = 100
_NEXT_PASS = timedelta(days=1)


def ask_some() -> int:
    """Queue the letters to the next readers under older terms; of how many it did.

    Nobody is asked twice, whoever does this at once. When all are asked, it looks again a day
    later.
    """
    renewal = Renewal.objects.asking()
    if renewal is None or _are_enough_waiting():
        return 0
    with transaction.atomic():
        mine = Renewal.objects.select_for_update(skip_locked=True)
        # Read again under the lock: another worker may have gone on meanwhile.
        locked = mine.filter(pk=renewal.pk, due_at__lte=timezone.now()).first()
        return _ask_next(locked, renewal.terms) if locked else 0


def agree(reader: Subscriber, terms: Terms, evidence: Evidence) -> bool:
    """Put what the reader is sent under these terms; False if it was already."""
    with transaction.atomic():
        Subscriber.objects.locked(reader.pk)
        periods = Subscription.objects.behind(terms).filter(subscriber=reader)
        found = list(periods.select_related("subscriber", "mailing_list"))
        shown = replace(evidence, terms=terms, wording=terms.label, boxes={"agree": True})
        for period in found:
            Consent.objects.record(Consent.Action.GIVEN, period, shown)
        periods.update(agreed_to=terms)
        Letter.objects.answered(reader, Letter.Kind.TERMS)
    return bool(found)


def _are_enough_waiting() -> bool:
    return Letter.objects.due().filter(kind=Letter.Kind.TERMS).count() >= _LOT


def _ask_next(renewal: Renewal, terms: Terms) -> int:
    asked = Letter.objects.filter(
        kind=Letter.Kind.TERMS,
        subscriber=OuterRef("subscriber"),
        asked_at__gte=renewal.started_at,
    )
    waiting = Subscription.objects.reachable() & Subscription.objects.behind(terms)
    rows = waiting.filter(~Exists(asked), subscriber__gt=renewal.asked_to)
    periods = list(rows.select_related("subscriber").order_by("subscriber", "pk")[:_LOT])
    people = {period.subscriber_id: period for period in reversed(periods)}
    for period in people.values():
        Letter.objects.ask(Letter.Kind.TERMS, period.subscriber, period)
    _move_on(renewal, max(people, default=0))
    return len(people)


def _move_on(renewal: Renewal, asked_to: int) -> None:
    renewal.asked_to = asked_to
    renewal.due_at = timezone.now() if asked_to else timezone.now() + _NEXT_PASS
    renewal.save(update_fields=["asked_to", "due_at"])
