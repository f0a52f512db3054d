"""Who of the next readers may be mailed now, by which list, and why not the others."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from newsletter.content import Reader
from newsletter.models import Delivery
from newsletter.models.prepared import PreparedQuery
from subscribers.models import MailDomain, Renewal, Subscription

Reason = Delivery.Reason

_COLUMNS = [
    "subscriber",
    "subscriber__address",
    "subscriber__name",
    "mailing_list",
    "subscriber__time_zone",
]


class Audience:
    """The readers of some lists, in the order in which the lists may mail them."""

    def __init__(self, mailing_lists: list[int]) -> None:
        self._rank = {mailing_list: rank for rank, mailing_list in enumerate(mailing_lists)}
        periods = Subscription.objects.mailable().filter(mailing_list__in=mailing_lists)
        self._mailable = PreparedQuery(periods.values_list(*_COLUMNS), "subscriber")

    def mailable(self, subscribers: Iterable[int]) -> dict[int, Reader]:
        """Those among these who may be mailed, each once: by the first list that may."""
        rows = self._mailable.among(subscribers)
        providers = MailDomain.objects.providers({_domain(row[1]) for row in rows})
        readers: dict[int, Reader] = {}
        for subscriber, address, name, mailing_list, time_zone in rows:
            known = readers.get(subscriber)
            if known is None or self._is_before(mailing_list, known.mailing_list_id):
                provider = providers[_domain(address)]
                readers[subscriber] = Reader(
                    subscriber, address, name, mailing_list, provider, time_zone
                )
        return readers

    def reasons(self, subscribers: Iterable[int]) -> dict[int, tuple[str, int]]:
        """Why these cannot be mailed, and by which list they would have been.

        Whoever is not in the answer has been erased without a trace.
        """
        found: dict[int, tuple[str, int]] = {}
        for period in _periods(subscribers, list(self._rank)):
            found[period.subscriber] = (_reason(period), period.mailing_list)
        return found

    def _is_before(self, one: int, other: int) -> bool:
        return self._rank[one] < self._rank[other]


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


class _Period(NamedTuple):
    subscriber: int
    mailing_list: int
    is_open: bool
    end_reason: str
    rests: bool
    is_asked: bool


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
        .annotate(is_asked=Renewal.objects.in_force().beyond())
        .order_by("is_open", "id")
        .values_list("subscriber", "mailing_list", "is_open", "end_reason", "rests", "is_asked")
    )
    return [_Period(*row) for row in rows]


def _true_if(**condition: Any) -> "ExpressionWrapper[Q]":
    return ExpressionWrapper(Q(**condition), output_field=BooleanField())


def _reason(period: _Period) -> str:
    if not period.is_open:
        return period.end_reason
    if period.rests:
        return Reason.PAUSED
    return Reason.TERMS if period.is_asked else Reason.SUPPRESSED
