"""A campaign by a provider's API, in one process, as JSON: how many readers, and how many
seconds of the clock and of CPU.

`python -m tests.benchmarks.callers WAY BACKEND OPTIONS COUNT`, with a mailer's BACKEND and its
OPTIONS as JSON. Ways:
`engine`: a campaign to everybody, by a worker of one thread, database and all.
`alone`: Anymail as its documentation says it, a message for each of so many readers, over one kept
session; filled by us, and no database asked.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from itertools import islice

import django

warnings.simplefilter("ignore")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.mail import mailers  # noqa: E402
from django.utils import timezone  # noqa: E402

from newsletter import delivery  # noqa: E402
from newsletter.content import Mailing, Reader  # noqa: E402
from newsletter.delivery.outcomes import Message  # noqa: E402
from newsletter.delivery.transports.stock import composed  # noqa: E402
from newsletter.models import Batch, Campaign  # noqa: E402
from tests.benchmarks import desk, letter  # noqa: E402


def engine(_count: int) -> tuple[int, float]:
    campaign = desk._draft()
    assert campaign.schedule(letter.versions(campaign), timezone.now())
    Campaign.objects.filter(pk=campaign.pk).update(due_at=timezone.now())
    campaign.refresh_from_db()
    assert campaign.start()
    campaign.plan()
    began = time.monotonic()
    with delivery.Worker() as worker:
        while batch := Batch.objects.claim():
            worker.send(batch)
    seconds = time.monotonic() - began
    assert campaign.finish()
    return campaign.deliveries.filter(status="sent").count(), seconds


def alone(count: int) -> tuple[int, float]:
    (version,) = desk.wordings()
    mailing = Mailing(version)
    backend = mailers["default"]
    backend.open()
    began = time.monotonic()
    for number in range(count):
        reader = Reader(number, f"reader{number:09}@example.org", "Ann", version.mailing_list_id)
        backend.send_messages([composed(Message(mailing, reader, version.campaign_id))])
    return count, time.monotonic() - began


_WAYS: dict[str, Callable[[int], tuple[int, float]]] = {"engine": engine, "alone": alone}

if __name__ == "__main__":
    way, backend, options, count = islice(sys.argv, 1, 5)
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": json.loads(options)}}
    cpu = time.process_time()
    readers, seconds = _WAYS[way](int(count))
    cpu = time.process_time() - cpu
    print(json.dumps({"readers": readers, "seconds": seconds, "cpu_seconds": cpu}))
