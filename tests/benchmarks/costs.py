"""CPU of one process for one message, as JSON: `python -m tests.benchmarks.costs NAME COUNT`.

`django`: made and sent Django's way, an EmailMultiAlternatives each, over one kept connection.
`fill`: a compiled message filled for a reader, and nothing else.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator

import django

django.setup()

from django.core.mail import EmailMultiAlternatives, mailers  # noqa: E402
from django.utils import timezone  # noqa: E402

from newsletter.content import Mailing, Reader  # noqa: E402
from newsletter.models import Version  # noqa: E402
from subscribers.models import Subscriber  # noqa: E402
from tests.benchmarks import desk  # noqa: E402

_TO_WARM_UP = 20


def django_way(mailing: Mailing, readers: list[Reader]) -> Callable[[Reader], object]:
    """Text, HTML and headers are there already, filled: only making and sending is counted."""
    connection = mailers["default"]
    connection.open()
    now = timezone.now()
    filled = {reader.subscriber_id: mailing.parts(reader, now) for reader in readers}

    def send(reader: Reader) -> None:
        parts = filled[reader.subscriber_id]
        mail = EmailMultiAlternatives(
            parts.subject, parts.text, parts.sender, [reader.address], headers=parts.headers
        )
        mail.attach_alternative(parts.html, "text/html")
        connection.send_messages([mail])

    return send


def fill(mailing: Mailing, readers: list[Reader]) -> Callable[[Reader], object]:
    now = timezone.now()
    return lambda reader: mailing.message(reader, now)


def _measured(do: Callable[[Reader], object], readers: list[Reader]) -> float:
    """Microseconds of CPU for each reader after the first few."""
    for reader in readers[:_TO_WARM_UP]:
        do(reader)
    began = time.process_time()
    for reader in readers[_TO_WARM_UP:]:
        do(reader)
    return (time.process_time() - began) / (len(readers) - _TO_WARM_UP) * 1e6


def _readers(version: Version, count: int) -> Iterator[Reader]:
    rows = Subscriber.objects.order_by("pk").values_list("pk", "address", "name")
    for row in rows[: count + _TO_WARM_UP]:
        yield Reader(*row, version.mailing_list_id)


if __name__ == "__main__":
    (version,) = desk.wordings()
    readers = list(_readers(version, int(sys.argv[2])))
    ways = {"django": django_way, "fill": fill}
    do = ways[sys.argv[1]](Mailing(version), readers)
    print(json.dumps({"microseconds": _measured(do, readers)}))
