"""Readers whom our mail does not reach, as their provider said, and what we make of it."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from newsletter.models.campaigns import Campaign
from newsletter.models.deliveries import Delivery
from newsletter.models.parkings import house, lives_at
from subscribers.addresses import Address
from subscribers.models import Subscriber, Suppression

logger = logging.getLogger(__name__)

# Judged only when so old: what comes with it says whether it is one of a burst.
SETTLES = timedelta(seconds=30)
# A burst: so many at one house within this time, and so large a part of what went there. Lists
# that readers confirmed bounce at one or two in a hundred.
_BURST_WITHIN = timedelta(minutes=15)
_BURST = 20
_BURST_PART = 0.1
# Whoever had mail from us bounces for good only by a second bounce, so much later.
_AGAIN_AFTER = timedelta(days=1)
# A full mailbox, a server that is down: so many messages in a row, over so long a time.
_SOFT_BOUNCES = 5
_SOFT_FOR = timedelta(days=10)
# Where a reader's earlier mail is looked for, by primary key.
_CAMPAIGNS = 100
_PIECE = 500


class BounceQuerySet(models.QuerySet["Bounce"]):
    def add(self, bounces: "Iterable[Bounce]") -> None:
        """Note these by one statement; once per campaign and reader, whoever says so twice."""
        self.bulk_create(list(bounces), ignore_conflicts=True)

    def waiting(self) -> Self:
        return self.filter(verdict=Bounce.Verdict.WAITING)

    def bursts(self) -> Self:
        """What nobody was suppressed for, as too many came at once: the newsroom should look."""
        return self.filter(verdict=Bounce.Verdict.BURST)

    def judge(self, now: datetime | None = None) -> None:
        """Suppress the addresses that are gone. Any worker may call it, at any time.

        At once for an address that never had mail of ours; for one that had, after a second
        bounce a day later. A burst at one house suppresses nobody, and is shouted about. Soft
        bounces suppress after many in a row over many days.
        """
        now = now or timezone.now()
        while self._judge_some(now):
            pass

    def undo(self) -> int:
        """Lift what these suppressed; of how many. Filter them by house, code, time, campaign."""
        with transaction.atomic():
            mine = self.filter(verdict=Bounce.Verdict.SUPPRESSED).select_for_update()
            bounces = dict(mine.values_list("pk", "suppression"))
            suppressions = Suppression.objects.filter(pk__in=bounces.values())
            suppressions.filter(lifted_at__isnull=True).update(lifted_at=timezone.now())
            Bounce.objects.filter(pk__in=bounces).update(verdict=Bounce.Verdict.LIFTED)
        return len(bounces)

    def _judge_some(self, now: datetime) -> bool:
        """A piece of what waits, locked: other workers take the next."""
        settled = self.waiting().filter(at__lte=now - SETTLES).order_by("at", "pk")
        with transaction.atomic():
            piece = list(settled.select_for_update(skip_locked=True)[:_PIECE])
            by_house = defaultdict(list)
            for bounce in piece:
                if bounce.is_hard:
                    by_house[bounce.mailer, bounce.house].append(bounce)
            for bounces in by_house.values():
                if self._is_burst(bounces, now):
                    self._call_burst(bounces, now)
                else:
                    self._judge_each(bounces, now)
            self._judge_soft([bounce for bounce in piece if not bounce.is_hard], now)
        return bool(piece)

    def _is_burst(self, bounces: "list[Bounce]", now: datetime) -> bool:
        together = self._together(bounces, now)
        if together[:_BURST].count() < _BURST:
            return False
        count = together.count()
        enough = int(count / _BURST_PART) - count + 1
        # Cut off: where all is well, the count ends long before the ledger does.
        return self._accepted(bounces, now)[:enough].count() < enough

    def _together(self, bounces: "list[Bounce]", now: datetime) -> Self:
        """All that bounced there about the time when these did."""
        first = bounces[0]
        since = min(bounce.at for bounce in bounces) - _BURST_WITHIN
        # What was lifted by hand is judged already, and no burst any more.
        there = self.filter(
            mailer=first.mailer, house=first.house, is_hard=True, at__range=(since, now)
        )
        return there.exclude(verdict=Bounce.Verdict.LIFTED)

    def _accepted(
        self, bounces: "list[Bounce]", now: datetime
    ) -> "models.QuerySet[Delivery, Delivery]":
        """What that house took in the same time, as the ledger tells."""
        since = min(bounce.went_out_at for bounce in bounces) - _BURST_WITHIN
        return Delivery.objects.filter(
            lives_at(bounces[0].house),
            campaign__in={bounce.campaign_id for bounce in bounces},
            status=Delivery.Status.SENT,
            at__range=(since, now),
        )

    def _call_burst(self, bounces: "list[Bounce]", now: datetime) -> None:
        """Nobody is suppressed for it, those before it was seen to be one neither."""
        together = self._together(bounces, now)
        suppressed = list(
            together.filter(verdict=Bounce.Verdict.SUPPRESSED).values_list("pk", flat=True)
        )
        self.filter(pk__in=suppressed).undo()
        mine = [bounce.pk for bounce in bounces] + suppressed
        noted = Q(verdict=Bounce.Verdict.NOTED, pk__in=together.values("pk"))
        self.filter(noted | Q(pk__in=mine)).update(verdict=Bounce.Verdict.BURST, judged_at=now)
        logger.error(
            "%s says of %d readers at once that they do not exist; nobody is suppressed for it."
            " It said: %s %s",
            bounces[0].house,
            len(mine),
            bounces[0].code,
            bounces[0].text,
        )

    def _judge_each(self, bounces: "list[Bounce]", now: datetime) -> None:
        successes, noted = self._last_successes(bounces), self._noted(bounces)
        for bounce in bounces:
            success = successes[bounce.pk]
            # A day or more after a first one, and no mail arrived since.
            is_second = success and any(
                success < at <= bounce.at - _AGAIN_AFTER for at in noted[bounce.key]
            )
            bounce.is_believed = success is None or bool(is_second)
        self._enter(bounces, now)

    def _judge_soft(self, bounces: "list[Bounce]", now: datetime) -> None:
        successes, earlier = self._last_successes(bounces), self._soft(bounces)
        for bounce in bounces:
            success = successes[bounce.pk]
            in_a_row = [
                at
                for at in earlier[bounce.key]
                if at <= bounce.went_out_at and (success is None or at > success)
            ]
            bounce.is_believed = (
                len(in_a_row) >= _SOFT_BOUNCES and bounce.went_out_at - min(in_a_row) >= _SOFT_FOR
            )
        self._enter(bounces, now)

    def _enter(self, bounces: "list[Bounce]", now: datetime) -> None:
        for bounce in bounces:
            gone = Bounce.Verdict.SUPPRESSED
            bounce.verdict = gone if bounce.is_believed else Bounce.Verdict.NOTED
            bounce.judged_at = now
        _suppress([bounce for bounce in bounces if bounce.is_believed])
        self.bulk_update(bounces, ["verdict", "suppression", "judged_at"])

    def _last_successes(self, bounces: "list[Bounce]") -> dict[int, datetime | None]:
        """When each reader last had mail of ours before this, that did not come back; by bounce.

        What went out since still may: relays try for days.
        """
        started = Campaign.objects.filter(started_at__isnull=False).order_by("-started_at")
        bounced = Bounce.objects.filter(
            campaign=OuterRef("campaign"), subscriber_id=OuterRef("subscriber_id")
        )
        sent = Delivery.objects.filter(
            ~Exists(bounced),
            campaign__in=list(started.values_list("pk", flat=True)[:_CAMPAIGNS]),
            subscriber=OuterRef("subscriber_id"),
            status=Delivery.Status.SENT,
            at__lt=Coalesce(OuterRef("sent_at"), OuterRef("at")),
        )
        last = Subquery(sent.order_by("-at").values("at")[:1])
        mine = self.filter(pk__in=[bounce.pk for bounce in bounces])
        return dict(mine.annotate(last=last).values_list("pk", "last"))

    def _noted(self, bounces: "list[Bounce]") -> dict[str, list[datetime]]:
        """When these addresses bounced before, by their keys."""
        rows = self.filter(
            key__in=[bounce.key for bounce in bounces], verdict=Bounce.Verdict.NOTED, is_hard=True
        )
        noted: dict[str, list[datetime]] = defaultdict(list)
        for key, at in rows.values_list("key", "at"):
            noted[key].append(at)
        return noted

    def _soft(self, bounces: "list[Bounce]") -> dict[str, list[datetime]]:
        """When the mail went out that these addresses did not take, by their keys."""
        rows = self.filter(key__in=[bounce.key for bounce in bounces], is_hard=False)
        went_out: dict[str, list[datetime]] = defaultdict(list)
        for row in rows.exclude(verdict=Bounce.Verdict.LIFTED):
            went_out[row.key].append(row.went_out_at)
        return went_out


class Bounce(models.Model):
    """A provider's word that a mailbox does not exist, or did not take a message for a reason of
    its own. Never changed but for what we make of it.

    The subscriptions go on: nobody left. Lifting the suppression is all it takes to undo one.
    """

    class Verdict(models.TextChoices):
        WAITING = "waiting", _("Not judged yet")
        SUPPRESSED = "suppressed", _("Suppressed")
        NOTED = "noted", _("Noted: the first of an address that had our mail")
        BURST = "burst", _("One of too many at once: not believed")
        LIFTED = "lifted", _("Undone")

    # The suppression key of the address that it is about; the reader may have another by now.
    key = models.CharField(max_length=40, db_index=True, editable=False)
    # No key: the person may have been erased, the report stays true.
    subscriber_id = models.BigIntegerField()
    # Null: of a letter.
    campaign = models.ForeignKey(Campaign, models.CASCADE, null=True, related_name="bounces")
    mailer = models.CharField(_("mailer"), max_length=50)
    # The mailbox provider's name, or a mail domain.
    house = models.CharField(_("mailbox provider"), max_length=255)
    code = models.CharField(_("code"), max_length=20, blank=True)
    text = models.CharField(_("what they said"), max_length=500, blank=True)
    at = models.DateTimeField(_("at"))
    # When the message went out, if the server did not say it at once.
    sent_at = models.DateTimeField(_("handed over"), null=True, blank=True)
    # Nobody is there; otherwise there is somebody whom it did not reach this time.
    is_hard = models.BooleanField(_("no such mailbox"), default=True)
    verdict = models.CharField(
        _("verdict"), max_length=10, choices=Verdict, default=Verdict.WAITING
    )
    judged_at = models.DateTimeField(_("judged"), null=True, blank=True)
    suppression = models.ForeignKey(
        Suppression, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    # Whether it suppresses the address, while it is being judged; not in the row.
    is_believed = False

    objects = BounceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "subscriber_id", "is_hard"], name="one_bounce_a_reader"
            )
        ]
        indexes = [
            models.Index(fields=["at"], condition=Q(verdict="waiting"), name="bounce_waiting"),
            models.Index(fields=["house", "at"], name="bounce_house"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.subscriber_id} {self.verdict}"

    @classmethod
    def of(cls, address: str, mailbox_provider: str, **fields: object) -> "Bounce":
        """For a reader of this address, as the outcome's reader has it."""
        key, *_older = Address(*address.rsplit("@", 1)).suppression_keys()
        return cls(key=key, house=house(mailbox_provider, address), **fields)

    @property
    def went_out_at(self) -> datetime:
        return self.sent_at or self.at


def _keys(bounces: list[Bounce]) -> dict[int, str]:
    """By bounce: the key under which the reader's row is looked up, if the address is still theirs.

    Rows made under an older key keep it.
    """
    people = Subscriber.objects.in_bulk({bounce.subscriber_id for bounce in bounces})
    keys = {}
    for bounce in bounces:
        person = people.get(bounce.subscriber_id)
        is_theirs = person and bounce.key in person.mailbox.suppression_keys()
        keys[bounce.pk] = person.suppression_key if person and is_theirs else bounce.key
    return keys


def _suppress(bounces: list[Bounce]) -> None:
    """One suppression an address, and each bounce knows which is its own."""
    keys = _keys(bounces)
    in_force = Suppression.objects.in_force().filter(
        key__in=keys.values(),
        scope=Suppression.Scope.EVERYTHING,
        reason=Suppression.Reason.BOUNCED,
    )
    suppressions = {row.key: row for row in in_force}
    fresh = {
        keys[bounce.pk]: _suppression(keys[bounce.pk], bounce)
        for bounce in bounces
        if keys[bounce.pk] not in suppressions
    }
    Suppression.objects.bulk_create(fresh.values())
    suppressions |= fresh
    for bounce in bounces:
        bounce.suppression = suppressions[keys[bounce.pk]]


def _suppression(key: str, bounce: Bounce) -> Suppression:
    return Suppression(
        key=key,
        scope=Suppression.Scope.EVERYTHING,
        reason=Suppression.Reason.BOUNCED,
        source=f"campaign:{bounce.campaign_id}" if bounce.campaign_id else "",
    )
