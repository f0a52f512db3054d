"""What a newsroom does by itself, each in a process with its settings: found, book, pause, ...

`python -m tests.benchmarks.desk found | acquaint | book SECONDS | pause CAMPAIGN | hand-over
| sample PATH`
"""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import batched
from pathlib import Path

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from newsletter.content import Mailing, Reader  # noqa: E402
from newsletter.models import Article, Campaign, Delivery, Entry, Version  # noqa: E402
from newsletter.models.deliveries import LedgerRow  # noqa: E402
from subscribers.addresses import parse  # noqa: E402
from subscribers.models import (  # noqa: E402
    Consent,
    Evidence,
    MailingList,
    Publication,
    Sender,
    Subscriber,
    Subscription,
    Terms,
)
from tests.benchmarks import letter  # noqa: E402


def found() -> None:
    """A paper with one list and one article of the usual length."""
    call_command("migrate", verbosity=0)
    paper = Publication.objects.create(
        name="The Harbour Post",
        legal_name="Harbour Post Publishing Ltd",
        postal_address="The Harbour Post\n1 Quay Street\nPort Ellis PE1 2QX",
        cancel_window=0,
    )
    paper.sender = Sender.objects.create(
        publication=paper, name="The Harbour Post", email="news@harbourpost.example"
    )
    paper.save()
    Terms.objects.create(publication=paper, number=1, text="You get our news until you leave.")
    MailingList.objects.create(publication=paper, slug="morning-briefing", name="Morning Briefing")
    Article.objects.create(publication=paper, published_at=timezone.now(), **letter.ARTICLE)
    get_user_model().objects.create_user("editor", password="harbour lights", is_staff=True)


def acquaint() -> None:
    """Get to know addresses of every kind, as many of each as are asked about: kindN@dN.example."""
    (mailing_list,) = MailingList.objects.all()
    by_hand = Evidence(method=Consent.Method.STAFF)
    for number in range(200):
        for kind in ["pending", "confirmed", "left", "complained", "refused"]:
            reader = Subscriber.objects.known(parse(f"{kind}{number}@d{number}.example"))
            confirmed_at = None if kind in {"pending", "refused"} else timezone.now()
            period = Subscription.objects.create(
                subscriber=reader, mailing_list=mailing_list, confirmed_at=confirmed_at
            )
            if kind == "left":
                period.end(Subscription.EndReason.UNSUBSCRIBED, by_hand)
            elif kind == "complained":
                period.end(Subscription.EndReason.COMPLAINED, by_hand)
            elif kind == "refused":
                Subscription.objects.block(reader, by_hand)


def book(seconds: str) -> None:
    """Schedule the article for everybody; tells which campaign, and when by the wall's clock."""
    campaign = _draft()
    due_at = timezone.now() + timedelta(seconds=float(seconds))
    assert campaign.schedule(letter.versions(campaign), due_at)
    campaign.refresh_from_db()
    assert campaign.due_at
    print(json.dumps({"campaign": campaign.pk, "due": campaign.due_at.timestamp()}))


def pause(campaign: str) -> None:
    Campaign.objects.get(pk=campaign).pause()


def hand_over() -> None:
    """A campaign that everybody has, without sending it; tells which."""
    campaign = _draft()
    (version,) = letter.versions(campaign)
    version.save()
    now = timezone.now()
    Campaign.objects.filter(pk=campaign.pk).update(status="sent", started_at=now, finished_at=now)
    readers = Subscriber.objects.order_by("pk").values_list("pk", flat=True)
    for some in batched(readers.iterator(), 10_000):
        rows = [LedgerRow(pk, version.mailing_list_id, version.pk, "sent") for pk in some]
        Delivery.objects.add(campaign.pk, rows)
    print(campaign.pk)


def sample(path: str) -> None:
    """Write one reader's message, as it goes out, to this file."""
    (version,) = wordings()
    reader = Reader(1, "reader000000001@example.org", "Ann", version.mailing_list_id)
    Path(path).write_bytes(Mailing(version).message(reader, timezone.now()))


def wordings() -> list[Version]:
    """What would go out now; nothing of it is kept."""
    with transaction.atomic():
        found = letter.versions(_draft())
        transaction.set_rollback(True)
    return found


def _draft() -> Campaign:
    article = Article.objects.get()
    campaign = Campaign.objects.create(publication=article.publication, subject=letter.SUBJECT)
    Entry.objects.create(campaign=campaign, article=article)
    campaign.mailing_lists.set(MailingList.objects.all())
    return campaign


_VERBS: dict[str, Callable[..., None]] = {
    "found": found,
    "acquaint": acquaint,
    "book": book,
    "pause": pause,
    "hand-over": hand_over,
    "sample": sample,
}

if __name__ == "__main__":
    _VERBS[sys.argv[1]](*sys.argv[2:])
