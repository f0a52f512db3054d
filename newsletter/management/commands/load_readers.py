"""Made-up confirmed readers, as many as a benchmark wants: `load_readers --count N --list SLUG`."""

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, models, transaction
from django.utils import timezone

from subscribers.addresses import Address
from subscribers.models import Consent, MailingList, Subscriber, Subscription, Terms

# RFC 2606: names that will never belong to anybody.
_RESERVED = re.compile(r"(.+\.)?(example|test|invalid|localhost|example\.(com|net|org))$")
# Readers in a transaction: memory stays flat, and a run that is cut off leaves whole readers.
_CHUNK = 20_000
# As text, the numbers of another domain's readers stand between ours.
_AMONG = "person.identity BETWEEN %s AND %s AND person.domain = %s"
_NAMES = ["Ann", "Bo Lindgren", "", "Chiara Neri", "Dmitri", "Zoë O’Neill", "", "Ng Wei"]


class Command(BaseCommand):
    help = "Add made-up confirmed readers to a list; run again, it adds as many more."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--count", type=int, required=True)
        parser.add_argument("--list", required=True, help="the slug of a mailing list")
        parser.add_argument("--domain", default="example.org", help="a reserved one (RFC 2606)")

    def handle(self, *args: Any, **options: Any) -> None:
        count, domain = options["count"], options["domain"]
        if count < 1:
            raise CommandError(f"--count is {count}; it must be 1 or more.")
        if not _RESERVED.match(domain):
            raise CommandError(f"{domain} may be somebody's. Use one like example.org (RFC 2606).")
        mailing_list = _mailing_list(options["list"])
        first = _first_free(domain)
        for start in range(first, first + count, _CHUNK):
            end = min(start + _CHUNK, first + count)
            _load(range(start, end), domain, mailing_list)
            self.stdout.write(f"{end - first:,} of {count:,} readers")


def _mailing_list(slug: str) -> MailingList:
    try:
        return MailingList.objects.select_related("publication").get(slug=slug)
    except MailingList.DoesNotExist:
        known = ", ".join(MailingList.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no list {slug!r}. There are: {known}.") from None


def _first_free(domain: str) -> int:
    """The number after the highest that is taken: padded, so that text sorts like numbers."""
    ours = Subscriber.objects.filter(
        identity__gte=_identity(0, domain), identity__lt=f"reader:@{domain}"
    )
    taken = ours.filter(identity__regex=rf"^reader\d{{9}}@{re.escape(domain)}$")
    last = taken.aggregate(last=models.Max("identity"))["last"]
    return int(last[6:15]) + 1 if last else 1


def _identity(number: int, domain: str) -> str:
    return f"reader{number:09}@{domain}"


def _load(numbers: range, domain: str, mailing_list: MailingList) -> None:
    now = timezone.now()
    ours = [_identity(numbers[0], domain), _identity(numbers[-1], domain), domain]
    person, period = Subscriber._meta.db_table, Subscription._meta.db_table
    with transaction.atomic():
        _add_subscribers(numbers, domain, now)
        _add_for_each(
            Subscription(
                mailing_list=mailing_list,
                requested_at=now,
                confirmed_at=now,
                agreed_to=_terms(mailing_list),
            ),
            f"FROM {person} person WHERE {_AMONG}",
            ours,
            subscriber_id="person.id",
        )
        for action in [Consent.Action.GIVEN, Consent.Action.CONFIRMED]:
            _add_for_each(
                _consent(action, mailing_list),
                f"FROM {person} person JOIN {period} period ON period.subscriber_id = person.id"
                f" WHERE {_AMONG}",
                ours,
                subscriber_id="person.id",
                subscription_id="period.id",
                address="person.address",
            )


def _add_subscribers(numbers: range, domain: str, now: datetime) -> None:
    fields = [field for field in Subscriber._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(field.attname for field in fields)
    rows = (
        [field.get_db_prep_save(field.pre_save(person, True), connection) for field in fields]
        for person in _subscribers(numbers, domain, now)
    )
    table = Subscriber._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            places = ", ".join(["%s"] * len(fields))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(rows))  # noqa: S608


def _subscribers(numbers: range, domain: str, now: datetime) -> Iterator[Subscriber]:
    for number in numbers:
        address = Address(_identity(number, domain).partition("@")[0], domain)
        yield Subscriber(
            identity=address.identity,
            address=str(address),
            suppression_key=address.suppression_keys()[0],
            domain=address.domain,
            name=_NAMES[number % len(_NAMES)],
            created_at=now,
        )


def _consent(action: str, mailing_list: MailingList) -> Consent:
    terms = _terms(mailing_list)
    return Consent(
        action=action,
        mailing_list=mailing_list,
        terms=terms,
        terms_hash=terms.fingerprint if terms else "",
        wording=terms.label if terms else "",
        method=Consent.Method.IMPORT,
        source="load_readers",
    )


def _terms(mailing_list: MailingList) -> Terms | None:
    return mailing_list.publication.terms_versions.order_by("number").last()


def _add_for_each(row: models.Model, rest: str, params: list[str], **columns: str) -> None:
    """Insert this row once for each that the query finds, with these columns taken from it."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    names = ", ".join(field.attname for field in fields)
    values = [
        field.get_db_prep_save(field.pre_save(row, True), connection)
        for field in fields
        if field.attname not in columns
    ]
    chosen = ", ".join(columns.get(field.attname, "%s") for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {row._meta.db_table} ({names}) SELECT {chosen} {rest}",
            [*values, *params],
        )
