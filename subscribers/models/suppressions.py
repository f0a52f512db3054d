"""Addresses that are not mailed, by keyed hash: they outlive the rows of the person."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.addresses import Address

if TYPE_CHECKING:
    from subscribers.models.publications import MailingList

# How long "this wasn't me" keeps our confirmation mails away from an address.
BLOCKED_FOR = timedelta(days=365)


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def in_force(self) -> Self:
        return self.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=Now()), lifted_at__isnull=True)

    def key_for(self, address: Address) -> str:
        """The key an address is known by: an older one if it is suppressed under it."""
        current, *older = keys = address.suppression_keys()
        if not older:
            return current
        return self.filter(key__in=keys).values_list("key", flat=True).first() or current

    def keeping_out(self, address: Address, mailing_lists: "Iterable[MailingList]") -> Self:
        """What keeps mail of any of these lists away from an address (UNS-21)."""
        lists = list(mailing_lists)
        return self.in_force().filter(
            Q(scope=Suppression.Scope.EVERYTHING)
            | Q(mailing_list__in=lists)
            | Q(publication__in=[one.publication_id for one in lists]),
            key__in=address.suppression_keys(),
        )

    def of_a_period(self) -> Self:
        """What keeps mail away from a subscription: to be asked inside a query of those."""
        # Whoever refused a stranger's sign-up keeps what they had confirmed before.
        refused_later = Q(reason=Suppression.Reason.NOT_ME, created_at__gt=OuterRef("confirmed_at"))
        return (
            self.in_force()
            .exclude(refused_later)
            .filter(
                Q(scope=Suppression.Scope.EVERYTHING)
                | Q(mailing_list=OuterRef("mailing_list"))
                | Q(publication=OuterRef("mailing_list__publication")),
                key=OuterRef("subscriber__suppression_key"),
            )
        )

    def forbids_letters(self, asked_at: datetime) -> Self:
        """What even the one confirmation mail that a person asked for must respect (EVD-07).

        Also a bounce since then: whoever asked did not know of it, and the letter would bounce.
        """
        bounced_since = Q(reason=Suppression.Reason.BOUNCED, created_at__gte=asked_at)
        return self.in_force().filter(~Q(reason__in=LIFTABLE) | bounced_since)

    def reasons(self, address: Address) -> dict[str, datetime]:
        """Why mail of any list is kept away from an address, and since when (at the latest)."""
        known = self.in_force().filter(key__in=address.suppression_keys())
        return dict(known.order_by("created_at").values_list("reason", "created_at"))

    def refuse(self, key: str, source: str) -> None:
        """Somebody said "this wasn't me" and is not to be asked again for a year."""
        refused = Suppression.Reason.NOT_ME
        if not self.in_force().filter(key=key, reason=refused).exists():
            self.create(
                key=key,
                scope=Suppression.Scope.EVERYTHING,
                reason=refused,
                source=source,
                ends_at=timezone.now() + BLOCKED_FOR,
            )

    def complain(self, key: str, source: str) -> None:
        """No more mail to whoever said that it is spam, unless somebody lifts it."""
        complained = Suppression.Reason.COMPLAINED
        if not self.in_force().filter(key=key, reason=complained).exists():
            scope = Suppression.Scope.EVERYTHING
            self.create(key=key, scope=scope, reason=complained, source=source)

    def refusals(self, address: Address) -> Self:
        """By which this address says "this wasn't me": only its own mailbox takes them back."""
        keys = address.suppression_keys()
        return self.in_force().filter(key__in=keys, reason=Suppression.Reason.NOT_ME)

    def take_back(self, address: Address) -> int:
        """The person has shown to own the mailbox, and wants to hear from us again (ABU-11)."""
        return self.refusals(address).update(lifted_at=Now())

    def lift(
        self,
        key: str,
        mailing_lists: "Iterable[MailingList]",
        asked_at: datetime | None = None,
    ) -> int:
        """What the person's own fresh confirmation ends: having left, or having been erased.

        It also ends a bounce from before the letter that it answers: that one arrived.
        """
        left = Q(reason__in=[Suppression.Reason.UNSUBSCRIBED, Suppression.Reason.ERASED])
        refuted = Q(reason=Suppression.Reason.BOUNCED, created_at__lt=asked_at)
        mine = self.in_force().filter(
            Q(mailing_list__in=list(mailing_lists)) | Q(mailing_list__isnull=True),
            left | refuted if asked_at else left,
            key=key,
        )
        return mine.update(lifted_at=Now())


class Suppression(models.Model):
    """An address not to mail: where, why, since and until when."""

    class Scope(models.TextChoices):
        MAILING_LIST = "list", _("One list")
        PUBLICATION = "publication", _("The publication")
        EVERYTHING = "everything", _("Everything")

    class Reason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        NOT_ME = "not_me", _("“This wasn’t me”")
        COMPLAINED = "complained", _("Complained")
        BOUNCED = "bounced", _("Our mail comes back")
        ERASED = "erased", _("Erased")
        BY_STAFF = "by_staff", _("Entered by the newsroom")

    # "number:hash" by Address.suppression_keys(); the number says under which key.
    key = models.CharField(max_length=40, db_index=True, editable=False)
    scope = models.CharField(_("scope"), max_length=12, choices=Scope)
    mailing_list = models.ForeignKey(
        "MailingList",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="suppressions",
    )
    publication = models.ForeignKey("Publication", models.CASCADE, null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=12, choices=Reason)
    source = models.CharField(_("source"), max_length=100, blank=True)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True, editable=False)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(
                        scope="list",
                        mailing_list__isnull=False,
                        publication__isnull=True,
                    )
                    | Q(
                        scope="publication",
                        publication__isnull=False,
                        mailing_list__isnull=True,
                    )
                    | Q(
                        scope="everything",
                        mailing_list__isnull=True,
                        publication__isnull=True,
                    )
                ),
                name="suppression_scope_names_its_row",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_reason_display()} ({self.get_scope_display()})"


# What a person's own confirmation may end: it keeps no letter away that the person asks for.
LIFTABLE = {
    Suppression.Reason.UNSUBSCRIBED,
    Suppression.Reason.ERASED,
    Suppression.Reason.BOUNCED,
}
