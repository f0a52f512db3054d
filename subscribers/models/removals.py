"""The one door through which evidence goes, and what went through it."""

from collections.abc import Callable

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from subscribers.models.consents import PERSONAL, TRACES, Consent, ConsentQuerySet
from subscribers.models.imprints import FIELDS, Imprint


class RemovalQuerySet(models.QuerySet["Removal"]):
    """Each takes some thousands of consents at a time, and says of how many they were."""

    def trim(self, consents: ConsentQuerySet, reason: str) -> int:
        """Empty the network address and the browser of these."""
        blank = _blank(TRACES)
        kind = Removal.Kind.TRIMMED
        return self._use(kind, reason, consents, lambda rows: models.QuerySet.update(rows, **blank))

    def erase(self, consents: ConsentQuerySet, reason: str, key: str) -> int:
        """Empty whatever tells of a person. Time, list and wording stay, under this keyed hash."""
        blank = _blank(PERSONAL) | {"key": key}
        kind = Removal.Kind.ERASED
        return self._use(kind, reason, consents, lambda rows: models.QuerySet.update(rows, **blank))

    def remove(self, consents: ConsentQuerySet, reason: str) -> int:
        """Remove these rows whole; their imprints stay, and tell nothing."""
        return self._use(Removal.Kind.REMOVED, reason, consents, models.QuerySet.delete)

    def _use(
        self,
        kind: "Removal.Kind",
        reason: str,
        consents: ConsentQuerySet,
        change: Callable[[ConsentQuerySet], object],
    ) -> int:
        """Open the door for this transaction alone: nobody else ever sees it open."""
        with transaction.atomic():
            # Who seals them at this moment is done before us, or sees what we left.
            keys = list(consents.select_for_update().values_list("pk", flat=True))
            if keys:
                removal = self.create(kind=kind, reason=reason, rows=len(keys))
                change(Consent.objects.filter(pk__in=keys))
                removal.sealed = Imprint.objects.filter(pk__in=keys).forget(removal)
                removal.closed_at = Now()
                removal.save(update_fields=["sealed", "closed_at"])
        return len(keys)


class Removal(models.Model):
    """One use of the door: which evidence went, why, and how much of it.

    The database refuses to change or remove a consent while no such row stands open. So nothing
    goes without leaving a trace, and the trace is sealed too.
    """

    class Kind(models.TextChoices):
        TRIMMED = "trimmed", _("Network address and browser")
        ERASED = "erased", _("All that tells of the person")
        REMOVED = "removed", _("The whole row")

    class Reason(models.TextChoices):
        NEVER_CONFIRMED = "never_confirmed", _("Never confirmed")
        TRACES_OVER = "traces_over", _("Network address and browser were kept long enough")
        EVIDENCE_OVER = "evidence_over", _("Kept long enough after the reader left")
        ASKED = "asked", _("The person asked for it")

    kind = models.CharField(_("what"), max_length=8, choices=Kind)
    reason = models.CharField(_("why"), max_length=16, choices=Reason)
    rows = models.PositiveIntegerField(_("consents"))
    # Of how many of them a seal tells.
    sealed = models.PositiveIntegerField(_("of them sealed"), default=0)
    closed_at = models.DateTimeField(_("at"), null=True, editable=False)

    objects = RemovalQuerySet.as_manager()

    class Meta:
        # There is one at most, and only while its transaction runs.
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(closed_at__isnull=True), name="removal_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.rows}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that went."""
        kind = Removal.Kind(self.kind)
        return {"trimmed": TRACES, "erased": PERSONAL, "removed": FIELDS}[kind]


def _blank(fields: tuple[str, ...]) -> dict[str, object]:
    return {name: Consent._meta.get_field(name).get_default() for name in fields}  # type: ignore[union-attr]  # Fields of ours have one.
