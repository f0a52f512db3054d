"""Mailbox providers that refuse us: their readers wait, and nobody else's do."""

import random
from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.models import MailDomain

_FIRST = timedelta(minutes=15)
_LONGEST = timedelta(hours=4)
_MOST_ATTEMPTS = 1000


def house(mailbox_provider: str, address: str) -> str:
    """Who says no when they say no: the provider, or the domain of an address at no known one."""
    return address.rpartition("@")[2] if mailbox_provider == "other" else mailbox_provider


def lives_at(house: str) -> models.Q:
    """Of rows with a subscriber. Providers have names without a dot; mail domains have one."""
    if "." in house:
        return models.Q(subscriber__address__endswith=f"@{house}")
    return MailDomain.objects.run_by(house, "subscriber__domain")


class ParkingQuerySet(models.QuerySet["Parking"]):
    def park(self, mailer: str, house: str, code: str, text: str, now: datetime) -> bool:
        """Leave a house alone for a while, longer each time; False if somebody just did.

        Of many workers that were refused at once, one lengthens the pause.
        """
        answer = {"code": code[:20], "text": text[:500], "parked_at": now}
        _row, is_new = self.get_or_create(
            mailer=mailer, house=house, defaults={"until": now + _pause(1), **answer}
        )
        return is_new or self._park_again(mailer, house, answer, now)

    def _park_again(
        self, mailer: str, house: str, answer: dict[str, object], now: datetime
    ) -> bool:
        for row in self.filter(mailer=mailer, house=house, until__lte=now):
            attempts = min(row.attempts + 1, _MOST_ATTEMPTS)
            same = self.filter(pk=row.pk, attempts=row.attempts, until__lte=now)
            return bool(same.update(attempts=attempts, until=now + _pause(attempts), **answer))
        return False

    def unpark(self, mailer: str, house: str, now: datetime) -> bool:
        """They took one of a probe; False if it was parked again meanwhile."""
        return bool(self.filter(mailer=mailer, house=house, until__lte=now).delete()[0])

    def release(self, pk: int) -> bool:
        """Try it again now: the next readers there are a probe. False if that is so already."""
        now = timezone.now()
        return bool(self.filter(pk=pk, until__gt=now).update(until=now))


class Parking(models.Model):
    """One house, by one way of sending: no reader there is tried until then, then a few are."""

    mailer = models.CharField(_("mailer"), max_length=50)
    # The mailbox provider's name, or a mail domain.
    house = models.CharField(_("mailbox provider"), max_length=255)
    until = models.DateTimeField(_("until"))
    attempts = models.PositiveSmallIntegerField(_("times in a row"), default=1)
    code = models.CharField(_("code"), max_length=20, blank=True)
    text = models.CharField(_("what they said"), max_length=500, blank=True)
    parked_at = models.DateTimeField(_("since"))

    objects = ParkingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mailer", "house"], name="one_parking_a_house")
        ]

    def __str__(self) -> str:
        return f"{self.house} until {self.until:%H:%M}"


def _pause(attempts: int) -> timedelta:
    doubled = min(_FIRST * float(2 ** min(attempts - 1, 10)), _LONGEST)
    return doubled * random.uniform(0.9, 1.1)  # noqa: S311  Jitter, not a secret.
