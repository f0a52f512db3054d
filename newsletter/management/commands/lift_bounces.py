"""Mail addresses again that bounces suppressed: `lift_bounces --house gmail --since ...`."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from newsletter.models import Bounce

_FILTERS = {
    "house": "house",
    "code": "code__startswith",
    "campaign": "campaign",
    "since": "at__gte",
    "until": "at__lt",
}


class Command(BaseCommand):
    help = "Lift what bounces suppressed, by provider, answer, campaign and time, in one step."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--house", help="a mailbox provider (gmail) or a mail domain")
        parser.add_argument("--code", help="how the answer began, as in 550 5.1.1")
        parser.add_argument("--campaign", type=int)
        parser.add_argument("--since", type=_moment, help="as in 2026-11-24T08:00")
        parser.add_argument("--until", type=_moment)

    def handle(self, *args: Any, **options: Any) -> None:
        asked = {field: options[name] for name, field in _FILTERS.items() if options[name]}
        if not asked:
            raise CommandError(f"Say which: one or more of --{', --'.join(_FILTERS)}.")
        count = Bounce.objects.filter(**asked).undo()
        self.stdout.write(f"{count:,} addresses may be mailed again.")


def _moment(text: str) -> datetime:
    moment = parse_datetime(text)
    if moment is None:
        raise ValueError(text)
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
