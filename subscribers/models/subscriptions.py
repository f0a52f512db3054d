"""Who is on which list, from when until when. Coming back is a row: no period is overwritten."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers import tokens
from subscribers.addresses import Address
from subscribers.models.consents import Consent, Evidence
from subscribers.models.letters import Letter
from subscribers.models.publications import MailingList
from subscribers.models.subscribers import Subscriber
from subscribers.models.suppressions import Suppression
from subscribers.tokens import Purpose

# How long "Changed your mind?" stays on offer.
UNDO_WITHIN = timedelta(hours=1)


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

    def kept_out(self) -> dict[str, int]:
        """How many are confirmed but may not be mailed, as the address is suppressed; and why."""
        why = Subquery(self._suppressions().order_by("reason").values("reason")[:1])
        awake = self.confirmed().exclude(paused_until__gt=Now()).filter(self._suppressed())
        reasons = awake.order_by().annotate(why=why).values_list("why")
        return dict(reasons.annotate(periods=Count("pk")))

    def _suppressed(self) -> Exists:
        return Exists(self._suppressions())

    def _suppressions(self) -> "models.QuerySet[Suppression]":
        # Whoever refused a stranger's sign-up keeps what they had confirmed before.
        refused_later = Q(reason=Suppression.Reason.NOT_ME, created_at__gt=OuterRef("confirmed_at"))
        return (
            Suppression.objects.in_force()
            .exclude(refused_later)
            .filter(
                Q(scope=Suppression.Scope.EVERYTHING)
                | Q(mailing_list=OuterRef("mailing_list"))
                | Q(publication=OuterRef("mailing_list__publication")),
                key=OuterRef("subscriber__suppression_key"),
            )
        )

    def between(self, subscriber_id: int, mailing_list_id: int) -> Self:
        """The periods of one reader on one list, the latest last."""
        periods = self.filter(subscriber=subscriber_id, mailing_list=mailing_list_id)
        return periods.select_related("subscriber", "mailing_list").order_by("id")

    def to_confirm(self, token: str) -> "Subscription | None":
        """The period that a link in a mail confirms; None if it expired or is none of ours."""
        return self._of_link(Purpose.CONFIRM, token, timedelta(days=settings.CONFIRM_WITHIN_DAYS))

    def to_undo(self, token: str) -> "Subscription | None":
        """The period that somebody left in the last hour; None if it was not here or not then."""
        return self._of_link(Purpose.UNDO, token, UNDO_WITHIN)

    def _of_link(
        self, purpose: Purpose, token: str, life: timedelta = timedelta.max
    ) -> "Subscription | None":
        try:
            pk, signed_at = tokens.read(purpose, token)
        except tokens.BadTokenError:
            return None
        if time.time() - signed_at > life.total_seconds():
            return None
        return self.select_related("subscriber", "mailing_list").filter(pk=pk).first()

    def request(
        self,
        address: Address,
        mailing_lists: Iterable[MailingList],
        evidence: Evidence,
        **details: str,
    ) -> Letter | None:
        """What a submitted form asks for: the letter that is to go out, or None.

        The caller's answer must not depend on the result (ENU-01). `details` are the name and the
        language; they are believed until somebody proves to own the mailbox, and not thereafter.
        """
        # All of it or nothing, with whatever the caller does besides.
        with transaction.atomic(savepoint=False):
            if Suppression.objects.forbids_letters().filter(key__in=address.suppression_keys()):
                return None
            subscriber = Subscriber.objects.known(address, **details)
            opened = [self._open(subscriber, one, evidence) for one in mailing_lists]
            letter = self._letter(subscriber)
            for subscription, is_new in opened:
                # Every letter can be confirmed, so each has the words that it answers on record;
                # a robot's hundredth try has no letter and leaves nothing.
                if is_new or (letter and subscription.is_pending):
                    Consent.objects.record(Consent.Action.GIVEN, subscription, evidence)
        return letter

    def ask_again(self, token: str) -> Letter | None:
        """Another letter for a link that expired, if its period still waits and limits allow."""
        subscription = self._of_link(Purpose.CONFIRM, token)
        if subscription is None or not subscription.is_pending:
            return None
        keys = subscription.subscriber.mailbox.suppression_keys()
        with transaction.atomic():
            if Suppression.objects.forbids_letters().filter(key__in=keys):
                return None
            Subscriber.objects.locked(subscription.subscriber_id)
            return self._letter(subscription.subscriber)

    def block(self, subscriber: Subscriber, evidence: Evidence) -> None:
        """“This wasn't me”: end all that waits for this address, and stay away for a year.

        What its owner confirmed goes on; asking twice changes nothing more.
        """
        with transaction.atomic():
            Subscriber.objects.locked(subscriber.pk)
            for period in self.pending().filter(subscriber=subscriber):
                period.close(Subscription.EndReason.NOT_ME, evidence)
            Suppression.objects.refuse(subscriber.suppression_key, evidence.method)

    def leave(
        self, subscriber_id: int, mailing_list_id: int, evidence: Evidence
    ) -> "Subscription | None":
        """End what is open between these two; the last period they had, None if there is none.

        Asking twice, or long after, changes nothing more (UNS-11).
        """
        last = self.between(subscriber_id, mailing_list_id).last()
        if last:
            last.end(Subscription.EndReason.UNSUBSCRIBED, evidence)
            last.refresh_from_db(fields=["ended_at", "end_reason"])
        return last

    def complain(self, key: str, evidence: Evidence) -> None:
        """Whoever has the address of this key called our mail spam: no more of it, at once.

        It has left every list, and asking twice changes nothing more.
        """
        with transaction.atomic():
            for subscriber in Subscriber.objects.with_key_locked(key):
                for period in self.filter(subscriber=subscriber, ended_at__isnull=True):
                    period.close(Subscription.EndReason.COMPLAINED, evidence)
            Suppression.objects.complain(key, evidence.source or evidence.method)

    def forgotten(self, before: datetime) -> Self:
        """Never confirmed, and nobody has asked for it since that moment."""
        asked_since = Letter.objects.filter(subscription=OuterRef("pk"), asked_at__gte=before)
        waiting = self.filter(confirmed_at__isnull=True, requested_at__lt=before)
        return waiting.exclude(Exists(asked_since))

    def purge_unconfirmed(self, before: datetime) -> int:
        """Erase what was never confirmed, with its evidence and who has nothing else here."""
        purged = 0
        while some := self._purge_some(before):
            purged += some
        return purged

    def _purge_some(self, before: datetime) -> int:
        with transaction.atomic():
            # Whoever signs up again at this moment comes before the lock, and is seen, or after it.
            readers = Subscriber.objects.first_locked(self.forgotten(before).values("subscriber"))
            periods = list(self.forgotten(before).filter(subscriber__in=readers))
            keys = [period.pk for period in periods]
            Consent.objects.filter(subscription__in=keys).erase()
            self.filter(pk__in=keys).delete()
            Subscriber.objects.filter(pk__in=readers, subscriptions__isnull=True).delete()
        return len(periods)

    def _open(
        self, subscriber: Subscriber, mailing_list: MailingList, evidence: Evidence
    ) -> "tuple[Subscription, bool]":
        asked = {"requested_at": evidence.at or timezone.now()}
        return self.get_or_create(
            asked, subscriber=subscriber, mailing_list=mailing_list, ended_at=None
        )

    def _letter(self, subscriber: Subscriber) -> Letter | None:
        pending = self.pending().filter(subscriber=subscriber).order_by("id").first()
        kind = Letter.Kind.CONFIRM if pending else Letter.Kind.ALREADY_SUBSCRIBED
        return Letter.objects.ask(kind, subscriber, pending)


class Subscription(models.Model):
    """One period of a subscriber on a list: requested, confirmed, ended and why."""

    class EndReason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        NOT_ME = "not_me", _("“This wasn’t me”")
        NEVER_CONFIRMED = "never_confirmed", _("Never confirmed")
        COMPLAINED = "complained", _("Complained")
        BOUNCED = "bounced", _("Our mail comes back")
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

    def confirm(self, evidence: Evidence, shown: Iterable[str] = ()) -> bool:
        """Begin the mailing of this period; False if it was over.

        With it go those that wait for lists which the reader was shown, by their slugs: a stranger
        may have asked for one more meanwhile. Of two clicks at once one wins: it alone writes the
        consents and asks for the welcome.
        """
        with transaction.atomic():
            subscriber = Subscriber.objects.locked(self.subscriber_id)
            pending = Subscription.objects.pending().filter(subscriber=subscriber)
            if not pending.filter(pk=self.pk).update(confirmed_at=Now()):
                return False
            waiting = pending.filter(mailing_list__slug__in=list(shown))
            siblings = list(waiting.select_related("mailing_list").select_for_update(of=("self",)))
            pending.filter(pk__in=[one.pk for one in siblings]).update(confirmed_at=Now())
            self._write_confirmed([self, *siblings], evidence)
            Letter.objects.answered(subscriber)
            Letter.objects.ask(Letter.Kind.WELCOME, subscriber, self)
        return True

    def _write_confirmed(self, periods: "list[Subscription]", evidence: Evidence) -> None:
        for period in periods:
            Consent.objects.record(Consent.Action.CONFIRMED, period, evidence)
        lists = [period.mailing_list for period in periods]
        Suppression.objects.lift(self.subscriber.suppression_key, lists)

    def end(self, reason: str, evidence: Evidence) -> bool:
        """Stop mailing this period at once; False if it had ended. The address stays out."""
        with transaction.atomic():
            if not self.close(reason, evidence):
                return False
            Suppression.objects.create(
                key=self.subscriber.suppression_key,
                scope=Suppression.Scope.MAILING_LIST,
                mailing_list=self.mailing_list,
                reason=reason,
                source=evidence.source or evidence.method,
            )
        return True

    def close(self, reason: str, evidence: Evidence) -> bool:
        """End this period and record it; False if it had ended. `end` also suppresses."""
        still_open = Subscription.objects.filter(pk=self.pk, ended_at__isnull=True)
        if not still_open.update(ended_at=Now(), end_reason=reason):
            return False
        Consent.objects.record(Consent.Action.WITHDRAWN, self, evidence)
        return True

    def reopen(self, evidence: Evidence) -> bool:
        """Undo having left, as a new period; False if it is too late or the reader is back."""
        with transaction.atomic():
            Subscriber.objects.locked(self.subscriber_id)
            if self.has_successor or not self.may_be_undone:
                return False
            period = Subscription.objects.create(
                subscriber=self.subscriber,
                mailing_list=self.mailing_list,
                confirmed_at=Now(),
            )
            Consent.objects.record(Consent.Action.GIVEN, period, evidence)
            period._write_confirmed([period], evidence)
        return True

    @property
    def is_pending(self) -> bool:
        return self.confirmed_at is None and self.ended_at is None

    @property
    def is_confirmed(self) -> bool:
        return self.confirmed_at is not None and self.ended_at is None

    @property
    def may_be_undone(self) -> bool:
        """Left by the reader, just now and for the last time: no older link brings anybody back."""
        return (
            self.end_reason == self.EndReason.UNSUBSCRIBED
            and self.confirmed_at is not None
            and self.ended_at is not None
            and timezone.now() - self.ended_at < UNDO_WITHIN
            and not self._later().exists()
        )

    @property
    def has_successor(self) -> bool:
        return self._later().filter(ended_at__isnull=True).exists()

    def _later(self) -> "models.QuerySet[Subscription]":
        periods = Subscription.objects.between(self.subscriber_id, self.mailing_list_id)
        return periods.filter(pk__gt=self.pk)

    def together(self) -> list[MailingList]:
        """The lists that wait for the same click as this one, or are sent to the same reader."""
        every = Subscription.objects
        alike = every.pending() if self.is_pending else every.confirmed()
        periods = alike.filter(subscriber=self.subscriber_id).select_related("mailing_list")
        return [one.mailing_list for one in periods.order_by("id")]
