"""One address, and the person behind it."""

from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from subscribers.addresses import Address
from subscribers.models.suppressions import Suppression
from subscribers.validators import validate_time_zone


class SubscriberQuerySet(models.QuerySet["Subscriber"]):
    def known(self, address: Address, **details: str) -> "Subscriber":
        """The row of this address, made if it is new, and locked for this transaction."""
        fresh = Subscriber(
            identity=address.identity,
            address=str(address),
            suppression_key=Suppression.objects.key_for(address),
            mailbox_provider=address.mailbox_provider,
            **details,
        )
        # Of thirty requests at once one row remains: the database decides, not a check before.
        self.bulk_create([fresh], ignore_conflicts=True)
        return self.select_for_update().get(identity=address.identity)

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
    mailbox_provider = models.CharField(_("mailbox provider"), max_length=20, default="other")
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

    def masked(self) -> str:
        local, _at, domain = self.address.rpartition("@")
        return f"{local[:1]}•••@{domain}"
