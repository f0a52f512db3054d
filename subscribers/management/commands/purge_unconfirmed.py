"""Forget the sign-ups that nobody confirmed."""

from typing import Any

from django.core.management.base import BaseCommand

from subscribers.tasks import purge_unconfirmed


class Command(BaseCommand):
    help = (
        "Forget who signed up and never confirmed, with network address and all "
        "(KEEP_UNCONFIRMED_DAYS). A worker does the same once a day."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{purge_unconfirmed()} sign-ups forgotten.")
