"""Who is on which list, from when until when. Coming back is a row: no period is overwritten."""

import time
from collections.abc import Iterable
from dataclasses import replace
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
from subscribers.models.suppressions import LIFTABLE, Suppression
from subscribers.models.terms import Renewal, Terms
from subscribers.tokens import Purpose

# How long "Changed your mind?" stays on offer.
UNDO_WITHIN = timedelta(hours=1)


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def pending(self) -> Self:
        return self.filter(confirmed_at__isnull=True, ended_at__isnull=True)

    def confirmed(self) -> Self:
        return self.filter(confirmed_at__isnull=False, ended_at__isnull=True)

    def to_answer(self) -> Self:
        """What a confirmation mail is about: what waits, and what waits again as mail bounced."""
        bounced = Suppression.objects.in_force().filter(
            key=OuterRef("subscriber__suppression_key"), reason=Suppression.Reason.BOUNCED
        )
        return self.filter(Q(confirmed_at__isnull=True) | Exists(bounced), ended_at__isnull=True)

    def audience(self, at: datetime) -> Self:
        """Confirmed before and not ended before: exact at any later time."""
        return self.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at), confirmed_at__lte=at)

    def mailable(self) -> Self:
        """Confirmed, under terms that hold, and not suppressed. The only audience we send to.

        Asks first whether any terms are to be agreed to by a date: a look at one more table would
        cost every window of a campaign a sixth of its question. Dates are set days ahead.
        """
        reachable = self.reachable()
        if not Renewal.objects.with_a_date().exists():
            return reachable
        return reachable.exclude(Renewal.objects.in_force().beyond())

    def reachable(self) -> Self:
        """Confirmed, awake, and not suppressed: whom a letter about terms may reach."""
        return self._awake().exclude(Exists(Suppression.objects.of_a_period()))

    def kept_out(self) -> dict[str, int]:
        """How many are confirmed but not mailed, by Suppression.Reason or "terms"."""
        suppressions = Suppression.objects.of_a_period()
        why = Subquery(suppressions.order_by("reason").values("reason")[:1])
        out = self._awake().filter(Exists(suppressions)).order_by().annotate(why=why)
        counted = dict(out.values_list("why").annotate(periods=Count("pk")))
        if Renewal.objects.in_force().exists():
            asked = self.reachable().filter(Renewal.objects.in_force().beyond())
            counted["terms"] = asked.count()
        return counted

    def _awake(self) -> Self:
        return self.confirmed().exclude(paused_until__gt=Now())

    def behind(self, terms: Terms) -> Self:
        """Confirmed, and under older terms than these, or under none."""
        older = Q(agreed_to__isnull=True) | Q(agreed_to__lt=terms.pk)
        return self.confirmed().filter(older, mailing_list__publication=terms.publication_id)

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
            pk, signed_at, *_letter = tokens.read(purpose, token)
        except tokens.BadTokenError:
            return None
        if time.time() - signed_at > life.total_seconds():
            return None
        related = self.select_related("subscriber", "mailing_list", "agreed_to")
        return related.filter(pk=pk).first()

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
            kept_out = Suppression.objects.reasons(address)
            if kept_out.keys() - LIFTABLE:
                return None
            subscriber = Subscriber.objects.known(address, **details)
            opened = [self._open(subscriber, one, evidence) for one in mailing_lists]
            bounced_at = kept_out.get(Suppression.Reason.BOUNCED)
            letter = self._letter(subscriber, bounced_at)
            for subscription, is_new in opened:
                # Every letter can be confirmed, so each has the words that it answers on record;
                # a robot's hundredth try has no letter and leaves nothing.
                if is_new or (letter and (bounced_at or subscription.is_pending)):
                    subscription._give(evidence)
        return letter

    def ask_again(self, token: str) -> Letter | None:
        """Another letter for a link that expired, if its period still waits and limits allow."""
        subscription = self._of_link(Purpose.CONFIRM, token)
        if subscription is None or not subscription.is_waiting:
            return None
        with transaction.atomic():
            subscriber = Subscriber.objects.locked(subscription.subscriber_id)
            kept_out = Suppression.objects.reasons(subscriber.mailbox)
            if kept_out.keys() - LIFTABLE:
                return None
            return self._letter(subscriber, kept_out.get(Suppression.Reason.BOUNCED))

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

    def left_before(self, moment: datetime) -> Self:
        """Over since then: nobody can ask any more what was agreed to (EVD-08)."""
        return self.filter(confirmed_at__isnull=False, ended_at__lt=moment)

    def _open(
        self, subscriber: Subscriber, mailing_list: MailingList, evidence: Evidence
    ) -> "tuple[Subscription, bool]":
        asked = {"requested_at": evidence.at or timezone.now(), "agreed_to": evidence.terms}
        return self.get_or_create(
            asked, subscriber=subscriber, mailing_list=mailing_list, ended_at=None
        )

    def _letter(self, subscriber: Subscriber, bounced_at: datetime | None) -> Letter | None:
        if bounced_at and Letter.objects.tried_after(bounced_at, subscriber):
            return None
        waiting = self.to_answer() if bounced_at else self.pending()
        first = waiting.filter(subscriber=subscriber).order_by("id").first()
        kind = Letter.Kind.CONFIRM if first else Letter.Kind.ALREADY_SUBSCRIBED
        return Letter.objects.ask(kind, subscriber, first)


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
    # The terms that the last form showed; once confirmed, those that the reader agreed to last.
    agreed_to = models.ForeignKey(
        Terms, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )

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
            ),
            models.Index(
                fields=["ended_at"],
                condition=Q(ended_at__isnull=False),
                name="subscription_over",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} – {self.mailing_list}"

    def confirm(
        self, evidence: Evidence, shown: Iterable[str] = (), letter: Letter | None = None
    ) -> bool:
        """Begin the mailing of this period; False if it waits no more.

        With it go those that wait for lists which the reader was shown, by their slugs: a stranger
        may have asked for one more meanwhile. Of two clicks at once one wins: it alone writes the
        consents and asks for the welcome. `letter` is the one that is answered, where it is known.
        """
        with transaction.atomic():
            subscriber = Subscriber.objects.locked(self.subscriber_id)
            waiting = Subscription.objects.to_answer().filter(subscriber=subscriber)
            mine = waiting.filter(Q(pk=self.pk) | Q(mailing_list__slug__in=list(shown)))
            related = mine.select_related("mailing_list", "agreed_to").order_by("id")
            # Locked, so that whoever leaves one of them at this moment is seen.
            periods = list(related.select_for_update(of=("self",)))
            if self not in periods:
                return False
            for period in periods:
                period._begin()
            self._write_confirmed(periods, evidence, letter)
            Letter.objects.answered(subscriber, Letter.Kind.CONFIRM)
            Letter.objects.ask(Letter.Kind.WELCOME, subscriber, self)
        return True

    def _begin(self) -> None:
        """Or go on, as mail bounced, under the terms of the form that is answered."""
        if self.confirmed_at:
            self._agree(Consent.objects.last_terms(self))
        else:
            Subscription.objects.filter(pk=self.pk).update(confirmed_at=Now())

    def _write_confirmed(
        self, periods: "list[Subscription]", evidence: Evidence, letter: Letter | None = None
    ) -> None:
        if letter:
            evidence = replace(evidence, message_id=letter.message_id, mailed_at=letter.sent_at)
        for period in periods:
            Consent.objects.record(Consent.Action.CONFIRMED, period, period._under_terms(evidence))
        lists = [period.mailing_list for period in periods]
        asked_at = letter.asked_at if letter else None
        Suppression.objects.lift(self.subscriber.suppression_key, lists, asked_at)

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
                agreed_to=self.agreed_to,
            )
            Consent.objects.record(Consent.Action.GIVEN, period, evidence)
            period._write_confirmed([period], evidence)
        return True

    def _give(self, evidence: Evidence) -> None:
        """What a form says. As long as nobody confirmed it, the last one tells the terms."""
        if self.is_pending:
            self._agree(evidence.terms)
        Consent.objects.record(Consent.Action.GIVEN, self, evidence)

    def _agree(self, terms: Terms | None) -> None:
        # A form that was held for a while may be older than what was agreed to since.
        if terms and terms.pk > (self.agreed_to_id or 0):
            self.agreed_to = terms
            self.save(update_fields=["agreed_to"])

    def _under_terms(self, evidence: Evidence) -> Evidence:
        """With the words that this period answers, unless others were shown."""
        if self.agreed_to is None or evidence.terms:
            return evidence
        wording = evidence.wording or self.agreed_to.label
        return replace(evidence, terms=self.agreed_to, wording=wording)

    @property
    def is_pending(self) -> bool:
        return self.confirmed_at is None and self.ended_at is None

    @property
    def is_waiting(self) -> bool:
        """For the reader's own word: the first, or a fresh one as mail bounced."""
        return self.is_pending or Subscription.objects.to_answer().filter(pk=self.pk).exists()

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
        alike = every.to_answer() if self.is_waiting else every.confirmed()
        periods = alike.filter(subscriber=self.subscriber_id).select_related("mailing_list")
        return [one.mailing_list for one in periods.order_by("id")]
