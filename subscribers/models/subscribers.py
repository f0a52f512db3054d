"""One address, and the person behind it."""

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from subscribers import tokens
from subscribers.addresses import Address
from subscribers.models.domains import MailDomain
from subscribers.models.suppressions import Suppression
from subscribers.tokens import Purpose
from subscribers.validators import validate_time_zone

if TYPE_CHECKING:
    from subscribers.models.publications import MailingList
    from subscribers.models.subscriptions import Subscription


class SubscriberQuerySet(models.QuerySet["Subscriber"]):
    def known(self, address: Address, **details: str) -> "Subscriber":
        """The row of this address, made if it is new, and locked for this transaction."""
        fresh = Subscriber(
            identity=address.identity,
            address=str(address),
            suppression_key=Suppression.objects.key_for(address),
            domain=address.domain,
            **details,
        )
        # Of thirty requests at once one row remains: the database decides, not a check before.
        # Writing a column of no key locks the row even if it was there, against its purge.
        self.bulk_create(
            [fresh],
            update_conflicts=True,
            unique_fields=["identity"],
            update_fields=["domain"],
        )
        subscriber = self.get(identity=address.identity)
        subscriber._learn(details)
        return subscriber

    def locked(self, pk: int) -> "Subscriber":
        """What happens to one reader's subscriptions, happens one after another."""
        # NO KEY: a consent written elsewhere refers to this row and must not wait for us.
        return self.select_for_update(no_key=True).get(pk=pk)

    def with_key_locked(self, suppression_key: str) -> Self:
        return self.filter(suppression_key=suppression_key).select_for_update(no_key=True)

    def first_locked(self, keys: "models.QuerySet[Subscription, Any]") -> list[int]:
        """Up to a thousand of these that nobody else is at, locked."""
        found = self.filter(pk__in=keys).order_by("pk")
        return [row.pk for row in found.select_for_update(skip_locked=True, no_key=True)[:1000]]

    def to_block(self, token: str) -> "Subscriber | None":
        """Whom a mail was sent to that says "this wasn't me"; None if it is none of ours."""
        return self._of_link(Purpose.BLOCK, token)

    def to_lift(self, token: str) -> "Subscriber | None":
        """Who asked for a mail to take that back, some days ago at most; None: it was not so."""
        return self._of_link(Purpose.LIFT, token, timedelta(days=settings.CONFIRM_WITHIN_DAYS))

    def _of_link(
        self, purpose: Purpose, token: str, life: timedelta = timedelta.max
    ) -> "Subscriber | None":
        try:
            pk, signed_at = tokens.read(purpose, token)
        except tokens.BadTokenError:
            return None
        if time.time() - signed_at > life.total_seconds():
            return None
        return self.filter(pk=pk).first()

    def forget_strangers(self, before: datetime) -> int:
        """Who only asked for a letter, long ago, and has never been on a list."""
        strangers = self.filter(subscriptions=None, consents=None, kind=Subscriber.Kind.READER)
        return strangers.filter(created_at__lt=before).delete()[0]

    def readers(self) -> Self:
        return self.filter(kind=Subscriber.Kind.READER)


class Subscriber(models.Model):
    """A reader, a seed (test mailbox, never counted) or one of the staff."""

    class Kind(models.TextChoices):
        READER = "reader", _("Reader")
        SEED = "seed", _("Seed")
        STAFF = "staff", _("Staff")

    identity = models.CharField(_("identity"), max_length=320, unique=True, editable=False)
    address = models.CharField(_("address"), max_length=320)
    # The key of this address in the table of suppressions; see Suppression.
    suppression_key = models.CharField(max_length=40, db_index=True, editable=False)
    # What follows the @: by it we know who runs the mailbox; see MailDomain.
    domain = models.CharField(_("domain"), max_length=255, editable=False)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.READER)
    name = models.CharField(_("name"), max_length=100, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[validate_time_zone]
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = SubscriberQuerySet.as_manager()

    def __str__(self) -> str:
        return self.masked()

    @property
    def mailbox(self) -> Address:
        return Address(*self.address.rsplit("@", 1))

    @property
    def mailbox_provider(self) -> str:
        """Who runs the mailbox, as far as we know today."""
        return MailDomain.objects.providers([self.domain])[self.domain]

    def language_on(self, mailing_list: "MailingList") -> str:
        """What we write to this reader in, about that list."""
        return self.language or mailing_list.language or mailing_list.publication.language

    def masked(self) -> str:
        return self.mailbox.masked()

    def _learn(self, details: dict[str, str]) -> None:
        """Until somebody confirmed, the last form tells the name; afterwards no form does."""
        told = {field: value for field, value in details.items() if value}
        if not told or self.subscriptions.filter(confirmed_at__isnull=False).exists():
            return
        for field, value in told.items():
            setattr(self, field, value)
        self.save(update_fields=told)
