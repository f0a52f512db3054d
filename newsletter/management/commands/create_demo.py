"""A paper to look around in: `create_demo`."""

import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from newsletter.demo import founding, paper
from subscribers.models import Publication


class Command(BaseCommand):
    help = (
        "Found a made-up paper with stories, lists, readers and an editor. Repeating is harmless."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password", default="", help="for the editor; made up if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        _refuse_beside_a_real_paper()
        publication = founding.create()
        password = options["password"] or _password()
        is_new = founding.engage_editor(password)
        if options["verbosity"]:
            self._tell(publication, password if is_new else "")

    def _tell(self, publication: Publication, password: str) -> None:
        self.stdout.write(f"{publication} is at {publication.url('/')}")
        said = f"with the password: {password}" if password else "as before"
        self.stdout.write(f"Sign in at {publication.url('/newsroom/')} as {paper.EDITOR}, {said}")


def _refuse_beside_a_real_paper() -> None:
    others = Publication.objects.exclude(name=paper.PUBLICATION["name"])
    if real := others.first():
        raise CommandError(f"{real} is founded here already; the demo wants a database of its own.")


def _password() -> str:
    """A known one would open a server to everybody; on a laptop it opens nothing."""
    return paper.LAPTOP_PASSWORD if settings.LAPTOP else secrets.token_urlsafe(12)
