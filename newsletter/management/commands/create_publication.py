"""A real paper's first run: `create_publication --name "The Gazette" ...`."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model

from subscribers.models import MailingList, Publication, Sender, Terms


class Command(BaseCommand):
    help = "Found the paper of this server: its name, who is liable, who sends, one mailing list."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--name", required=True, help="as it stands in the masthead")
        add("--legal-name", required=True, help="who publishes it; the law wants it in every mail")
        add("--postal-address", required=True, help=r"the same; \n begins a line")
        add(
            "--sender",
            required=True,
            metavar="ADDRESS",
            help="what mail is from; a domain of yours",
        )
        add("--list", required=True, metavar="NAME", help="the first newsletter")
        add("--list-slug", required=True, metavar="SLUG", help="its short name, for ever")
        add("--rhythm", default="", help='when it comes: "Weekdays at 6:30"')
        add("--terms", metavar="FILE", help="a text file with what readers agree to")
        add("--time-zone", default="UTC", help="like Europe/Paris")
        add("--language", default="en", help="like en or ar")
        add("--tagline", default="")
        add("--privacy-url", default="", help="where the privacy notice is")
        add("--accent", default="#9a1b1e", help="the paper's colour")

    def handle(self, *args: Any, **options: Any) -> None:
        if paper := Publication.objects.first():
            raise CommandError(f"{paper} is founded already. Change it in the newsroom's settings.")
        terms = _read(options["terms"]) if options["terms"] else ""
        with transaction.atomic():
            publication = _found(options)
            if terms:
                _save(Terms(publication=publication, number=1, text=terms))
        self.stdout.write(f"{publication} is founded. Let somebody in: manage.py createsuperuser")
        if not terms:
            self.stdout.write(
                "Readers can sign up once you publish the terms: Newsroom, your name, Terms."
            )


def _found(options: dict[str, Any]) -> Publication:
    publication = Publication(
        name=options["name"],
        tagline=options["tagline"],
        legal_name=options["legal_name"],
        postal_address=options["postal_address"].replace("\\n", "\n"),
        privacy_url=options["privacy_url"],
        language=options["language"],
        time_zone=options["time_zone"],
        accent=options["accent"],
    )
    _save(publication)
    publication.sender = Sender(
        publication=publication, name=options["name"], email=options["sender"]
    )
    _save(publication.sender)
    publication.save(update_fields=["sender"])
    first = MailingList(
        publication=publication,
        name=options["list"],
        slug=options["list_slug"],
        rhythm=options["rhythm"],
    )
    _save(first)
    return publication


def _save(row: Model) -> None:
    try:
        row.full_clean(exclude={"list_id"})
    except ValidationError as error:
        wrong = [f"{field}: {' '.join(said)}" for field, said in error.message_dict.items()]
        raise CommandError("\n".join(wrong)) from error
    row.save()


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise CommandError(f"The terms in {path} cannot be read: {error.strerror}.") from error
