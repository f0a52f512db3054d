"""Where an audience is cut into batches: ranges of ids, found without looking at each reader."""

from collections.abc import Iterable
from itertools import takewhile

from django.db.models import QuerySet, Window
from django.db.models.functions import DenseRank, Mod

from subscribers.models import Subscription

# Readers in a batch: some seconds' work, and a million readers are five hundred rows.
BATCH = 2000
# The first batches are cut before the others are planned, and end at these places. All hold whole
# calls of every provider: the largest takes a thousand readers in one.
FIRST_PLACES = [1000, 2000, 3000, 4000]
LAST_ID = 2**63 - 1


def first_edges(periods: QuerySet[Subscription], mailing_lists: Iterable[int]) -> list[int]:
    """Where the first batches end: a few steps along an index, however many readers there are.

    Empty if there are so few of them that one may as well plan all at once.
    """
    lists = [periods.filter(mailing_list=mailing_list) for mailing_list in mailing_lists]
    ends = takewhile(bool, (_end_of(lists, place) for place in FIRST_PLACES))
    return sorted({end for end in ends if end})


def edges(periods: QuerySet[Subscription], after: int) -> list[int]:
    """The ids of every BATCH-th reader after this one, and the last id that there can be."""
    rank = Window(DenseRank(), order_by="subscriber")
    readers = periods.filter(subscriber__gt=after)
    ranked = readers.annotate(past=Mod(rank, BATCH)).filter(past=0)
    ids = ranked.order_by("subscriber").values_list("subscriber", flat=True)
    return [*ids.distinct(), LAST_ID]


def _end_of(lists: list[QuerySet[Subscription]], place: int) -> int | None:
    """The id of the reader in this place on one of the lists, and of none behind it on any."""
    found: list[int] = []
    for periods in lists:
        ids = periods.order_by("subscriber").values_list("subscriber", flat=True)
        found += ids[place - 1 : place]
    return min(found, default=None)
