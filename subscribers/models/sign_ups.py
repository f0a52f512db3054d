"""Forms that readers filled in, until a worker has let them in.

The page that takes a form writes one row, whoever it is about: so everybody is answered with the
same, and as fast (ENU-01, ENU-02), and thousands at once wait here and not in the web server.
"""

import logging
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Self

from django.db import InterfaceError, OperationalError, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.addresses import Address
from subscribers.models.consents import Evidence
from subscribers.models.letters import Letter
from subscribers.models.publications import MailingList
from subscribers.models.subscribers import Subscriber
from subscribers.models.subscriptions import Subscription
from subscribers.models.suppressions import Suppression
from subscribers.models.terms import Terms

logger = logging.getLogger(__name__)

# A worker that dies of one must not take the others along, nor come back to it for ever.
_AGAIN_AFTER = timedelta(minutes=2)
_MOST_ATTEMPTS = 5
_AT_ONCE = 50
FAILED = "failed"
# Of the evidence, what stands in columns of its own.
_COLUMNS = {"terms", "at"}


class SignUpQuerySet(models.QuerySet["SignUp"]):
    def due(self) -> Self:
        """Nothing keeps them out."""
        return self.filter(held_because="", is_queued=False, due_at__lte=Now())

    def held(self) -> Self:
        """Somebody in the newsroom should look at them first."""
        return self.exclude(held_because="")

    def queued(self) -> Self:
        """They wait for the end of an attack, and for nothing else."""
        return self.filter(held_because="", is_queued=True)

    def coming(self) -> int:
        """How many waited for the end of an attack, and are let in in the next minutes."""
        return self.filter(held_because="", is_queued=False, due_at__gt=Now()).count()

    def since(self, moment: datetime) -> int:
        """How many of those that still wait came since then."""
        return self.filter(asked_at__gt=moment).count()

    def let_in(self) -> int:
        """Those that are due, some at a time; how many there were. Several workers share them."""
        claimed = self._claimed()
        for sign_up in claimed:
            sign_up.let_in_or_tell()
        return len(claimed)

    def release(self) -> int:
        """The newsroom has looked at these: let them in, with the others of their time."""
        return self.held().update(held_because="", due_at=Now(), attempts=0)

    def drop(self) -> int:
        """The newsroom has looked at these: nothing is kept of them."""
        return self.held().delete()[0]

    def queue(self) -> int:
        """An attack has begun: whoever is not in yet waits."""
        return self.filter(is_queued=False).update(is_queued=True)

    def unqueue(self, per_minute: int) -> int:
        """It is over. So many may come in each minute, in the order in which they came."""
        waiting = self.filter(is_queued=True).order_by("pk")
        total = minute = 0
        while some := list(waiting.values_list("pk", flat=True)[: max(per_minute, 1)]):
            due_at = Now() + timedelta(minutes=minute) if minute else Now()
            total += self.filter(pk__in=some).update(is_queued=False, due_at=due_at)
            minute += 1
        return total

    def _claimed(self) -> "list[SignUp]":
        with transaction.atomic():
            waiting = self.due().select_related("terms").order_by("due_at", "pk")
            rows = list(waiting.select_for_update(skip_locked=True, of=("self",))[:_AT_ONCE])
            # Whoever is late is not alone with them any more; deleting the row decides.
            self.filter(pk__in=[row.pk for row in rows]).update(
                due_at=Now() + _AGAIN_AFTER, attempts=F("attempts") + 1
            )
        return rows


class SignUp(models.Model):
    """What one form asked for, and what keeps it from being let in."""

    class Wish(models.TextChoices):
        SUBSCRIBE = "subscribe", _("Subscribe")
        # "This wasn't me" is to be taken back.
        LIFT = "lift", _("Be written to again")

    wish = models.CharField(_("wish"), max_length=10, choices=Wish, default=Wish.SUBSCRIBE)
    # As mail is sent to it; what was typed is in the evidence.
    address = models.CharField(_("address"), max_length=320)
    name = models.CharField(_("name"), max_length=100, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    mailing_lists = models.JSONField(default=list)
    terms = models.ForeignKey(Terms, models.PROTECT, null=True, blank=True)
    evidence = models.JSONField()
    # Whom the limits count as one.
    network = models.CharField(_("network"), max_length=50, blank=True)
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    due_at = models.DateTimeField(_("due"), db_default=Now())
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # Signs of guards.scores with commas between; not blank: the newsroom decides.
    held_because = models.CharField(_("held because"), max_length=100, blank=True)
    # Until the attack is over.
    is_queued = models.BooleanField(_("queued"), default=False)

    objects = SignUpQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(held_because="", is_queued=False),
                name="sign_up_waiting",
            ),
            models.Index(fields=["asked_at"], name="sign_up_by_time"),
        ]

    def __str__(self) -> str:
        return self.mailbox.masked()

    @property
    def mailbox(self) -> Address:
        return Address(*self.address.rsplit("@", 1))

    @property
    def form(self) -> str:
        """Which form it was, on which page."""
        return f"{self.evidence['form']} {self.evidence['page']}"

    @property
    def signs(self) -> list[str]:
        return self.held_because.split(",") if self.held_because else []

    def tell(self, evidence: Evidence, mailing_lists: Iterable[MailingList]) -> None:
        """What it is to say about itself when it is let in."""
        self.terms = evidence.terms
        told = {one.name: getattr(evidence, one.name) for one in fields(evidence)}
        self.evidence = {name: value for name, value in told.items() if name not in _COLUMNS}
        self.mailing_lists = [one.pk for one in mailing_lists]

    def let_in_or_tell(self) -> None:
        """One that cannot be let in, loudly, holds up no other; it is tried again later."""
        try:
            self.let_in()
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("Sign-up %d stumbled", self.pk)

    def let_in(self) -> bool:
        """Do what it asks for; False if another worker has."""
        if self.attempts >= _MOST_ATTEMPTS:
            return self._set_aside()
        with transaction.atomic():
            if not SignUp.objects.filter(pk=self.pk).delete()[0]:
                return False
            if self.wish == self.Wish.SUBSCRIBE:
                self._subscribe()
            else:
                self._ask_to_lift()
        return True

    def _subscribe(self) -> None:
        lists = MailingList.objects.filter(pk__in=self.mailing_lists)
        details = {"name": self.name, "language": self.language}
        Subscription.objects.request(self.mailbox, lists, self._told(), **details)

    def _ask_to_lift(self) -> None:
        """Only a mailbox that refused us gets this letter, so nobody else learns that it did."""
        if Suppression.objects.refusals(self.mailbox).exists():
            Letter.objects.ask(Letter.Kind.LIFT, Subscriber.objects.known(self.mailbox), None)

    def _told(self) -> Evidence:
        return Evidence(**self.evidence, terms=self.terms, at=self.asked_at)

    def _set_aside(self) -> bool:
        logger.error("Sign-up %d failed %d times and is held.", self.pk, self.attempts)
        return not SignUp.objects.filter(pk=self.pk).update(held_because=FAILED)
