"""Who is on which list, from when until when. Coming back is a row: no period is overwritten."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.addresses import Address
from subscribers.models.consents import Consent, Evidence
from subscribers.models.letters import Letter
from subscribers.models.publications import MailingList
from subscribers.models.subscribers import Subscriber
from subscribers.models.suppressions import BLOCKED_FOR, Suppression


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def pending(self) -> Self:
        return self.filter(confirmed_at__isnull=True, ended_at__isnull=True)

    def confirmed(self) -> Self:
        return self.filter(confirmed_at__isnull=False, ended_at__isnull=True)

    def audience(self, at: datetime) -> Self:
        """Confirmed before and not ended before: exact at any later time."""
        return self.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at), confirmed_at__lte=at)

    def mailable(self) -> Self:
        """Confirmed, and the address is not suppressed. The only audience we ever send to."""
        return self.confirmed().exclude(paused_until__gt=Now()).exclude(self._suppressed())

    def _suppressed(self) -> Exists:
        return Exists(
            Suppression.objects.in_force().filter(
                Q(scope=Suppression.Scope.EVERYTHING)
                | Q(mailing_list=OuterRef("mailing_list"))
                | Q(publication=OuterRef("mailing_list__publication")),
                key=OuterRef("subscriber__suppression_key"),
            )
        )

    def request(
        self,
        address: Address,
        mailing_lists: Iterable[MailingList],
        evidence: Evidence,
        **details: str,
    ) -> Letter | None:
        """What a submitted form asks for: the letter that is to go out, or None.

        The caller's answer must not depend on the result (ENU-01). `details` are the name and
        the language of a subscriber we did not know; what we know is not changed by a form.
        """
        with transaction.atomic():
            if Suppression.objects.forbids_letters().filter(key__in=address.suppression_keys()):
                return None
            subscriber = Subscriber.objects.known(address, **details)
            for mailing_list in mailing_lists:
                self._open(subscriber, mailing_list, evidence)
            return self._letter(subscriber, address.abuse_key)

    def leave(
        self, subscriber_id: int, mailing_list_id: int, evidence: Evidence
    ) -> "Subscription | None":
        """End what is open between these two; the last period they had, None if there is none.

        Asking twice, or long after, changes nothing more (UNS-11).
        """
        periods = self.filter(subscriber=subscriber_id, mailing_list=mailing_list_id)
        last = periods.select_related("subscriber", "mailing_list").order_by("id").last()
        if last:
            last.end(Subscription.EndReason.UNSUBSCRIBED, evidence)
        return last

    def _open(self, subscriber: Subscriber, mailing_list: MailingList, evidence: Evidence) -> None:
        subscription, is_new = self.get_or_create(
            subscriber=subscriber, mailing_list=mailing_list, ended_at=None
        )
        if is_new:
            Consent.objects.record(Consent.Action.GIVEN, subscription, evidence)

    def _letter(self, subscriber: Subscriber, abuse_key: str) -> Letter | None:
        pending = self.pending().filter(subscriber=subscriber).order_by("id").first()
        kind = Letter.Kind.CONFIRM if pending else Letter.Kind.ALREADY_SUBSCRIBED
        return Letter.objects.ask(kind, subscriber, abuse_key, pending)


class Subscription(models.Model):
    """One period of a subscriber on a list: requested, confirmed, ended and why."""

    class EndReason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        NOT_ME = "not_me", _("“This wasn’t me”")
        NEVER_CONFIRMED = "never_confirmed", _("Never confirmed")
        COMPLAINED = "complained", _("Complained")
        BOUNCED = "bounced", _("No such mailbox")
        ERASED = "erased", _("Erased")
        BY_STAFF = "by_staff", _("Removed by the newsroom")

    subscriber = models.ForeignKey(Subscriber, models.PROTECT, related_name="subscriptions")
    mailing_list = models.ForeignKey(MailingList, models.PROTECT, related_name="subscriptions")
    requested_at = models.DateTimeField(_("requested"), default=timezone.now)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    end_reason = models.CharField(_("why"), max_length=16, choices=EndReason, blank=True)
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "mailing_list"],
                condition=Q(ended_at__isnull=True),
                name="one_open_period_a_list",
            )
        ]
        indexes = [
            # The order in which a batch walks its range of readers.
            models.Index(
                fields=["mailing_list", "subscriber"],
                condition=Q(confirmed_at__isnull=False),
                name="subscription_walk",
            )
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} – {self.mailing_list}"

    def confirm(self, evidence: Evidence) -> bool:
        """Begin the mailing of this period and of its waiting siblings; False if it was over.

        Of two clicks at once one wins: it alone writes the consents and asks for the welcome.
        """
        with transaction.atomic():
            subscriber = Subscriber.objects.select_for_update().get(pk=self.subscriber_id)
            pending = Subscription.objects.pending().filter(subscriber=subscriber)
            if not pending.filter(pk=self.pk).update(confirmed_at=Now()):
                return False
            siblings = list(pending.select_related("mailing_list"))
            pending.update(confirmed_at=Now())
            self._write_confirmed([self, *siblings], evidence)
            letters = Letter.objects.filter(subscriber=subscriber, kind=Letter.Kind.CONFIRM)
            abuse_key = letters.values_list("abuse_key", flat=True).first() or ""
            letters.filter(answered_at__isnull=True).update(answered_at=Now())
            Letter.objects.ask(Letter.Kind.WELCOME, subscriber, abuse_key, self)
        return True

    def _write_confirmed(self, periods: "list[Subscription]", evidence: Evidence) -> None:
        for period in periods:
            Consent.objects.record(Consent.Action.CONFIRMED, period, evidence)
        lists = [period.mailing_list for period in periods]
        Suppression.objects.lift(self.subscriber.suppression_key, lists)

    def end(self, reason: str, evidence: Evidence) -> bool:
        """Stop mailing this period at once; False if it had ended. The address stays out."""
        with transaction.atomic():
            if not self._close(reason, evidence):
                return False
            Suppression.objects.create(
                key=self.subscriber.suppression_key,
                scope=Suppression.Scope.MAILING_LIST,
                mailing_list=self.mailing_list,
                reason=reason,
                source=evidence.source or evidence.method,
            )
        return True

    def _close(self, reason: str, evidence: Evidence) -> bool:
        still_open = Subscription.objects.filter(pk=self.pk, ended_at__isnull=True)
        if not still_open.update(ended_at=Now(), end_reason=reason):
            return False
        Consent.objects.record(Consent.Action.WITHDRAWN, self, evidence)
        return True

    def reopen(self, evidence: Evidence) -> bool:
        """Undo having left, as a new period; False if the reader is on the list again already."""
        with transaction.atomic():
            Subscriber.objects.select_for_update().get(pk=self.subscriber_id)
            if self._has_successor():
                return False
            period = Subscription.objects.create(
                subscriber=self.subscriber,
                mailing_list=self.mailing_list,
                confirmed_at=Now(),
            )
            Consent.objects.record(Consent.Action.GIVEN, period, evidence)
            period._write_confirmed([period], evidence)
        return True

    def block(self, evidence: Evidence) -> None:
        """“This wasn't me”: end all that waits for this subscriber, and stay away for a year."""
        with transaction.atomic():
            waiting = Subscription.objects.pending().filter(subscriber=self.subscriber)
            for period in waiting.select_for_update():
                period._close(Subscription.EndReason.NOT_ME, evidence)
            Suppression.objects.create(
                key=self.subscriber.suppression_key,
                scope=Suppression.Scope.EVERYTHING,
                reason=Suppression.Reason.NOT_ME,
                source=evidence.method,
                ends_at=timezone.now() + BLOCKED_FOR,
            )

    @property
    def is_pending(self) -> bool:
        return self.confirmed_at is None and self.ended_at is None

    @property
    def is_confirmed(self) -> bool:
        return self.confirmed_at is not None and self.ended_at is None

    def _has_successor(self) -> bool:
        mine: Any = {
            "subscriber": self.subscriber_id,
            "mailing_list": self.mailing_list_id,
        }
        return Subscription.objects.filter(**mine, ended_at__isnull=True).exists()
