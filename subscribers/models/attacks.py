"""Times in which more sign up than can be people: confirmations wait (ABU-09)."""

from datetime import timedelta

from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers.models.publications import Publication
from subscribers.models.sign_ups import SignUp

# An attack that began by itself is over when so few signed up in so long.
QUIET_FOR = timedelta(minutes=15)
# After an editor said that it is none, nobody else says so for a while.
BELIEVED_FOR = timedelta(hours=1)


class AttackQuerySet(models.QuerySet["Attack"]):
    def current(self) -> "Attack | None":
        return self.filter(ended_at__isnull=True).first()

    def is_on(self) -> bool:
        return self.filter(ended_at__isnull=True).exists()

    def may_begin(self) -> bool:
        """By itself: unless an editor has said a moment ago that there is none."""
        since = timezone.now() - BELIEVED_FOR
        return not self.exclude(ended_by="").filter(ended_at__gt=since).exists()

    def begin(self, publication: Publication, by: str = "") -> bool:
        """From now on confirmations wait; False if they did already. `by`: an editor, or nobody."""
        if self.is_on():
            return False
        try:
            with transaction.atomic():
                self.create(publication=publication, began_by=by)
                SignUp.objects.queue()
        except IntegrityError:
            # Somebody else saw it at the same moment.
            return False
        return True

    def end(self, by: str = "", per_minute: int = 60) -> bool:
        """Who waited is let in, so many a minute; False if it was over."""
        with transaction.atomic():
            now = timezone.now()
            ended = self.filter(ended_at__isnull=True).update(ended_at=now, ended_by=by)
            if ended:
                SignUp.objects.unqueue(per_minute)
        return bool(ended)

    def end_when_quiet(self, most: int, per_minute: int) -> bool:
        """What began by itself ends by itself, when no more than `most` came in QUIET_FOR."""
        current, since = self.current(), timezone.now() - QUIET_FOR
        if current is None:
            # Whoever came through the door while it ended.
            SignUp.objects.unqueue(per_minute)
            return False
        if current.began_by or current.began_at > since:
            return False
        if SignUp.objects.since(since) > most:
            return False
        return self.end(per_minute=per_minute)


class Attack(models.Model):
    """One such time. Rows are added and ended, never reopened."""

    publication = models.ForeignKey(Publication, models.CASCADE, related_name="attacks")
    began_at = models.DateTimeField(_("began"), default=timezone.now)
    # An editor's user name; blank: it began, or ended, by itself.
    began_by = models.CharField(_("begun by"), max_length=150, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_by = models.CharField(_("ended by"), max_length=150, blank=True)

    objects = AttackQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["publication"],
                condition=Q(ended_at__isnull=True),
                name="one_attack_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.began_at:%Y-%m-%d %H:%M}"
