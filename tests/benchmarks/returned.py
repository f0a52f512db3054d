"""A Maildir of what came back from a campaign: made, and afterwards counted.

`python -m tests.benchmarks.returned fill FOLDER COUNT | count`
"""

import json
import mailbox
import sys
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import django

django.setup()

from django.utils import timezone  # noqa: E402

from newsletter.models import Bounce, Campaign, Delivery, Event, Version  # noqa: E402
from newsletter.models.deliveries import LedgerRow  # noqa: E402
from subscribers.models import Consent, MailingList, Subscriber  # noqa: E402
from tests import bounces  # noqa: E402

# Some come back with everything that was attached to them.
_LARGE = 1_000
_PADDING = b"One line of a very long message.\n" * 300_000
_STAYS = {"auto-reply", "other", "strangers"}


def fill(folder: str, count: str) -> None:
    """Each of the corpus in turn, each about another reader; tells how many are to be taken in."""
    mailing_list = MailingList.objects.get()
    readers = list(Subscriber.objects.order_by("pk")[: int(count)])
    campaign = _sent_to(readers, mailing_list)
    mailbox.Maildir(folder, create=True)
    paths = list(islice(cycle(bounces.paths()), len(readers)))
    for number, (path, reader) in enumerate(zip(paths, readers, strict=True)):
        raw = bounces.mail(path, reader.pk, campaign.pk, mailing_list.pk, address=reader.address)
        (Path(folder) / "new" / f"{number}.bench").write_bytes(
            raw + _PADDING if number % _LARGE == 0 else raw
        )
    print(json.dumps(sum(path.parent.name not in _STAYS for path in paths)))


def count() -> None:
    """What was learnt: events, bounces, and readers who left."""
    print(
        json.dumps(
            {
                "events": Event.objects.count(),
                "bounces": Bounce.objects.count(),
                "left": Consent.objects.filter(action=Consent.Action.WITHDRAWN).count(),
            }
        )
    )


def _sent_to(readers: list[Subscriber], mailing_list: MailingList) -> Campaign:
    campaign = Campaign.objects.create(
        publication=mailing_list.publication,
        status=Campaign.Status.PAUSED,
        started_at=timezone.now(),
    )
    version = Version.objects.create(
        campaign=campaign, mailing_list=mailing_list, subject="", html="", text="", message=b""
    )
    for some in _pieces(readers):
        rows = [LedgerRow(reader.pk, mailing_list.pk, version.pk, "sent") for reader in some]
        Delivery.objects.add(campaign.pk, rows)
    return campaign


def _pieces(readers: list[Subscriber], size: int = 1_000) -> Iterator[list[Subscriber]]:
    for start in range(0, len(readers), size):
        yield readers[start : start + size]


_VERBS: dict[str, Callable[..., None]] = {"fill": fill, "count": count}

if __name__ == "__main__":
    _VERBS[sys.argv[1]](*sys.argv[2:])
