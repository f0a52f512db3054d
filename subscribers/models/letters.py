"""The few transactional messages: asked for here, sent by a worker, remembered as evidence.

The rows are the queue. A worker may be told of one by Celery, or find it when it looks.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.db import IntegrityError, models, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers import tokens
from subscribers.models.suppressions import Suppression
from subscribers.models.terms import Renewal
from subscribers.tokens import Purpose

if TYPE_CHECKING:
    from subscribers.models.subscribers import Subscriber
    from subscribers.models.subscriptions import Subscription

# What one mailbox, with all its aliases, may be sent at a stranger's request (ABU-01).
COOL_DOWN = timedelta(minutes=15)
MOST_A_DAY = 3
MOST_UNANSWERED = 5
ALREADY_SUBSCRIBED_EVERY = timedelta(hours=24)
# Where mail bounced: each try that bounces again costs our name.
BOUNCED_EVERY = timedelta(days=7)
LIFT_EVERY = timedelta(hours=24)

LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 12


class LetterQuerySet(models.QuerySet["Letter"]):
    def ask(
        self, kind: str, subscriber: "Subscriber", subscription: "Subscription | None"
    ) -> "Letter | None":
        """Queue a letter, unless this mailbox has had enough of its kind; then None."""
        abuse_key = subscriber.mailbox.abuse_key
        if self._is_enough(kind, abuse_key):
            return None
        try:
            with transaction.atomic():
                return self.create(
                    kind=kind,
                    subscriber=subscriber,
                    subscription=subscription,
                    abuse_key=abuse_key,
                    due_at=Now(),
                )
        except IntegrityError:
            # Another spelling of the mailbox asked at the same moment.
            return None

    def tried_after(self, bounce: datetime, subscriber: "Subscriber") -> bool:
        """Whether one was tried lately where mail had bounced."""
        lately = max(bounce, timezone.now() - BOUNCED_EVERY)
        mine = self.filter(kind=Letter.Kind.CONFIRM, abuse_key=subscriber.mailbox.abuse_key)
        return mine.filter(asked_at__gt=lately).exists()

    def answered(self, subscriber: "Subscriber", kind: str) -> None:
        """The reader has reacted: what was unanswered does not count against the mailbox, also
        what strangers asked for and was purged since."""
        letters = self.filter(abuse_key=subscriber.mailbox.abuse_key, kind=kind)
        letters.filter(answered_at__isnull=True).update(answered_at=Now())

    def of_link(self, token: str) -> "Letter | None":
        """The letter that a link to confirm stands in; None if it is none of ours, or gone."""
        try:
            _subscription, _signed_at, pk = tokens.read(Purpose.CONFIRM, token)
        except ValueError:
            return None
        return self.filter(pk=pk, kind=Letter.Kind.CONFIRM).first()

    def due(self) -> Self:
        """Neither sent nor given up, its time has come, and nobody is at it."""
        return self.filter(
            Q(lease_until__isnull=True) | Q(lease_until__lt=Now()),
            sent_at__isnull=True,
            given_up_at__isnull=True,
            due_at__lte=Now(),
        )

    def claim(self) -> "Letter | None":
        """The letter that waits longest, held for LEASE; of two workers one gets it."""
        with transaction.atomic():
            letter = self.due().select_for_update(skip_locked=True).order_by("due_at", "id").first()
            if letter:
                self.filter(pk=letter.pk).update(
                    lease_until=Now() + LEASE, attempts=F("attempts") + 1
                )
                letter.refresh_from_db()
        if letter and letter.attempts > MOST_ATTEMPTS:
            # Its worker died of it each time: it must not take the next one along.
            letter.give_up(letter.error or "Every attempt to send it broke off.")
            return self.claim()
        return letter

    def _is_enough(self, kind: str, abuse_key: str) -> bool:
        mine, now = self.filter(kind=kind, abuse_key=abuse_key), timezone.now()
        if kind == Letter.Kind.ALREADY_SUBSCRIBED:
            return mine.filter(asked_at__gt=now - ALREADY_SUBSCRIBED_EVERY).exists()
        if kind == Letter.Kind.LIFT:
            return mine.filter(asked_at__gt=now - LIFT_EVERY).exists()
        if kind != Letter.Kind.CONFIRM:
            return False
        unanswered = Q(answered_at__isnull=True)
        sent = mine.aggregate(
            just_now=Count("pk", filter=unanswered & Q(asked_at__gt=now - COOL_DOWN)),
            today=Count("pk", filter=Q(asked_at__gt=now - timedelta(days=1))),
            in_vain=Count("pk", filter=unanswered),
        )
        is_too_many = sent["today"] >= MOST_A_DAY or sent["in_vain"] >= MOST_UNANSWERED
        return bool(sent["just_now"]) or is_too_many


class Letter(models.Model):
    """One transactional message to one subscriber: asked for, sent, answered."""

    class Kind(models.TextChoices):
        CONFIRM = "confirm", _("Please confirm")
        WELCOME = "welcome", _("Welcome")
        ALREADY_SUBSCRIBED = "already_subscribed", _("Already subscribed")
        TERMS = "terms", _("New terms")
        LIFT = "lift", _("Write to me again")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # What was sent to a mailbox counts against it also when nobody confirmed and the row is gone.
    subscriber = models.ForeignKey("Subscriber", models.SET_NULL, null=True, related_name="letters")
    # What a confirmation is about; siblings that its page names are confirmed with it.
    subscription = models.ForeignKey(
        "Subscription", models.SET_NULL, null=True, blank=True, related_name="letters"
    )
    abuse_key = models.CharField(max_length=40, editable=False)
    asked_at = models.DateTimeField(_("asked for"), auto_now_add=True)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    answered_at = models.DateTimeField(_("answered"), null=True, blank=True)
    given_up_at = models.DateTimeField(_("given up"), null=True, blank=True)
    message_id = models.CharField("Message-ID", max_length=200, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True)

    objects = LetterQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["abuse_key", "kind"],
                condition=Q(
                    sent_at__isnull=True,
                    given_up_at__isnull=True,
                    kind__in=["confirm", "already_subscribed"],
                ),
                name="one_waiting_letter_a_mailbox",
            )
        ]
        indexes = [
            models.Index(fields=["abuse_key", "kind", "asked_at"], name="letter_by_mailbox"),
            models.Index(
                fields=["due_at"],
                condition=Q(sent_at__isnull=True, given_up_at__isnull=True),
                name="letter_waiting",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.asked_at:%Y-%m-%d %H:%M}"

    def mark_sent(self, message_id: str) -> None:
        self._change(sent_at=Now(), message_id=message_id, lease_until=None, error="")

    def give_up(self, reason: str) -> None:
        self._change(given_up_at=Now(), lease_until=None, error=reason[:500])

    def defer(self, reason: str) -> None:
        """Try again later: after one minute, two, four, and at most every four hours."""
        if self.attempts >= MOST_ATTEMPTS:
            return self.give_up(reason)
        pause = timedelta(minutes=min(2 ** (self.attempts - 1), 240))
        return self._change(due_at=Now() + pause, lease_until=None, error=reason[:500])

    def came_back(self, answer: str) -> None:
        """Handed over, and not delivered; the first answer stays."""
        sent = Letter.objects.filter(pk=self.pk, sent_at__isnull=False, error="")
        sent.update(error=answer[:500] or "It came back.")

    def periods(self) -> "list[Subscription]":
        """What it is about as of now, its own first: what waits, or what the reader is sent."""
        if self.subscriber is None:
            return []
        mine = self.subscriber.subscriptions.select_related("subscriber", "mailing_list")
        match self.kind:
            case Letter.Kind.CONFIRM:
                found = mine.to_answer()
            case Letter.Kind.TERMS:
                found = mine.reachable().filter(Renewal.objects.beyond())
            case _:
                found = mine.mailable()
        return sorted(found, key=lambda one: (one.pk != self.subscription_id, one.pk))

    def is_wanted(self) -> bool:
        """Asked again before it goes out: the reader may have answered, left or refused."""
        if self.kind == Letter.Kind.LIFT:
            return self._is_liftable()
        periods = self.periods()
        if not periods or self._is_forbidden():
            return False
        return self.subscription_id is None or periods[0].pk == self.subscription_id

    def _is_liftable(self) -> bool:
        """There is a refusal to take back, and nothing else forbids letters."""
        if self.subscriber is None:
            return False
        mailbox = self.subscriber.mailbox
        reasons = Suppression.Reason
        passing = [reasons.NOT_ME, reasons.UNSUBSCRIBED, reasons.ERASED]
        others = Suppression.objects.in_force().exclude(reason__in=passing)
        is_refused = Suppression.objects.refusals(mailbox).exists()
        return is_refused and not others.filter(key__in=mailbox.suppression_keys()).exists()

    def _is_forbidden(self) -> bool:
        key = self.subscriber.suppression_key if self.subscriber else ""
        return Suppression.objects.forbids_letters(self.asked_at).filter(key=key).exists()

    def _change(self, **fields: object) -> None:
        Letter.objects.filter(pk=self.pk, sent_at__isnull=True).update(**fields)
