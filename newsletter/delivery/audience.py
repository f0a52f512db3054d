"""Who of the next readers may be mailed now, by which list, and why not the others."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from newsletter.content import Reader
from newsletter.models import Delivery
from subscribers.models import Subscription

Reason = Delivery.Reason


def mailable(subscribers: list[int], mailing_lists: list[int]) -> dict[int, Reader]:
    """The readers among these, each once: by the first of the lists that may mail them."""
    readers: dict[int, Reader] = {}
    periods = Subscription.objects.mailable().filter(
        subscriber__in=subscribers, mailing_list__in=mailing_lists
    )
    for subscriber, address, name, mailing_list in periods.values_list(
        "subscriber", "subscriber__address", "subscriber__name", "mailing_list"
    ):
        known = readers.get(subscriber)
        if known is None or _is_before(mailing_list, known.mailing_list_id, mailing_lists):
            readers[subscriber] = Reader(subscriber, address, name, mailing_list)
    return readers


def reasons(subscribers: Iterable[int], mailing_lists: list[int]) -> dict[int, tuple[str, int]]:
    """Why these cannot be mailed, and by which list they would have been.

    Whoever is not in the answer has been erased without a trace.
    """
    found: dict[int, tuple[str, int]] = {}
    for period in _periods(subscribers, mailing_lists):
        found[period.subscriber] = (_reason(period), period.mailing_list)
    return found


def _is_before(one: int, other: int, mailing_lists: list[int]) -> bool:
    return mailing_lists.index(one) < mailing_lists.index(other)


class _Period(NamedTuple):
    subscriber: int
    mailing_list: int
    is_open: bool
    end_reason: str
    rests: bool


def _periods(subscribers: Iterable[int], mailing_lists: list[int]) -> list[_Period]:
    """Their periods, open ones last: those say most about today."""
    periods = Subscription.objects.filter(
        subscriber__in=list(subscribers),
        mailing_list__in=mailing_lists,
        confirmed_at__isnull=False,
    )
    rows = (
        periods.annotate(is_open=_true_if(ended_at__isnull=True))
        .annotate(rests=_true_if(paused_until__gt=Now()))
        .order_by("is_open", "id")
        .values_list("subscriber", "mailing_list", "is_open", "end_reason", "rests")
    )
    return [_Period(*row) for row in rows]


def _true_if(**condition: Any) -> "ExpressionWrapper[Q]":
    return ExpressionWrapper(Q(**condition), output_field=BooleanField())


def _reason(period: _Period) -> str:
    if not period.is_open:
        return period.end_reason
    return Reason.PAUSED if period.rests else Reason.SUPPRESSED
