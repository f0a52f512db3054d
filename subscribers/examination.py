"""Whether the evidence is what it was when it was sealed: row by row, field by field."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from subscribers.models import Consent, Imprint, Removal, Seal
from subscribers.models.imprints import FIELDS

# What no honest row differs by: between its time and its being written, or sealed.
_SLACK = timedelta(hours=1)
# Whatever waits longer for a seal, waits for a worker that is not there.
_UNSEALED = timedelta(days=1)

type Rows = dict[int, tuple[Any, ...]]


class Finding(NamedTuple):
    """What is wrong, in a word and in words. 0, or blank: it is about no one consent, or field."""

    kind: str
    words: str
    consent: int = 0
    field: str = ""
    seal: int = 0


class Examination:
    """Goes through all seals, some hundred consents at a time; counts what it saw.

    `known` is a seal's hash by its number, as somebody noted it elsewhere.
    """

    def __init__(self, known: dict[int, str] | None = None) -> None:
        self.known = known or {}
        self.seals = self.findings = 0
        self.removed: Counter[str] = Counter()
        self.head = Seal.objects.last_set()

    def run(self) -> Iterator[Finding]:
        for finding in self._all():
            self.findings += 1
            yield finding

    @property
    def consents(self) -> int:
        """Consents that are there, and that a seal is over."""
        return Consent.objects.filter(pk__lte=self.head.last).count()

    @property
    def waiting(self) -> int:
        """Consents that no seal is over yet."""
        return Consent.objects.filter(pk__gt=self.head.last).count()

    def _all(self) -> Iterator[Finding]:
        before = Seal(number=0, last=0, last_removal=0, hash="")
        while seal := self._next(before):
            yield from self._chain(before, seal)
            yield from self._block(before, seal)
            self.seals += 1
            before = seal
        yield from self._unknown()
        yield from self._removals()
        yield from self._unsealed()

    def _next(self, before: Seal) -> Seal | None:
        later = Seal.objects.filter(number__gt=before.number, number__lte=self.head.number)
        return later.order_by("number").first()

    def _chain(self, before: Seal, seal: Seal) -> Iterator[Finding]:
        if seal.number != before.number + 1:
            gone = f"{before.number + 1} to {seal.number - 1}"
            yield Finding("seal missing", f"Seals {gone} are gone.", seal=seal.number)
        elif (seal.previous, seal.first) != (before.hash, before.last + 1):
            words = f"Seal {seal.number} does not follow seal {before.number} as that is now."
            yield Finding("chain broken", words, seal=seal.number)
        if seal.number in self.known and self.known[seal.number] != seal.hash:
            words = f"Seal {seal.number} is {seal.hash}, and not what was noted."
            yield Finding("not as noted", words, seal=seal.number)

    def _block(self, before: Seal, seal: Seal) -> list[Finding]:
        """Looked at again if anything is wrong: somebody may have been trimming meanwhile."""
        return list(self._look(before, seal)) and list(self._look(before, seal))

    def _look(self, before: Seal, seal: Seal) -> Iterator[Finding]:
        rows = _rows(seal)
        imprints = {one.consent_id: one for one in _imprints(seal)}
        removals = Removal.objects.filter(
            pk__gt=before.last_removal, pk__lte=seal.last_removal
        ).order_by("pk")
        if seal.computed(imprints.values(), removals) != seal.hash or len(imprints) != seal.rows:
            words = (
                f"Seal {seal.number} does not fit what it is over: the digests of consents "
                f"{seal.first} to {seal.last}, and the removals {before.last_removal + 1} to "
                f"{seal.last_removal}."
            )
            yield Finding("seal broken", words, seal=seal.number)
        for consent in sorted(rows.keys() | imprints.keys()):
            for kind, field, words in _compared(rows.get(consent), imprints.get(consent)):
                yield Finding(kind, f"Consent {consent} {words}", consent, field, seal.number)
        yield from _backdated(before, seal, rows)

    def _unknown(self) -> Iterator[Finding]:
        for number in sorted(self.known):
            if not Seal.objects.filter(number=number).exists():
                yield Finding("seal missing", f"Seal {number} was noted, and is gone.", seal=number)

    def _removals(self) -> Iterator[Finding]:
        """Whatever went must have gone by a removal that says so."""
        gone = _gone_by_removal()
        for removal in Removal.objects.order_by("pk").iterator(chunk_size=500):
            self.removed[f"{removal.kind}, {removal.reason}"] += removal.rows
            if removal.closed_at is None:
                yield Finding("door open", f"Removal {removal.pk} was never closed.")
            elif gone.get(removal.pk, 0) != removal.sealed:
                words = f"Removal {removal.pk} took {removal.sealed} sealed consents, not"
                yield Finding("removal wrong", f"{words} {gone.get(removal.pk, 0)}.")

    def _unsealed(self) -> Iterator[Finding]:
        late = timezone.now() - _UNSEALED
        waiting = Consent.objects.filter(pk__gt=self.head.last).order_by("pk")
        first = waiting.first()
        if first and first.recorded_at < late:
            words = f"Consent {first.pk} waits for a seal since {first.recorded_at:%Y-%m-%d %H:%M}."
            yield Finding("not sealed", f"{words} Is a worker running?", first.pk)


def _rows(seal: Seal) -> Rows:
    consents = Consent.objects.filter(pk__range=(seal.first, seal.last)).order_by("pk")
    return {row[0]: row for row in consents.values_list(*FIELDS)}


def _imprints(seal: Seal) -> list[Imprint]:
    found = Imprint.objects.filter(consent_id__range=(seal.first, seal.last))
    return list(found.order_by("consent_id"))


def _compared(
    row: tuple[Any, ...] | None, imprint: Imprint | None
) -> Iterator[tuple[str, str, str]]:
    """Kind, field and words of what is wrong with one consent."""
    if imprint is None:
        yield "inserted", "", "was put in later: it was not there when its neighbours were sealed."
    elif row is None:
        if imprint.removed_by_id is None:
            yield "missing", "", "is gone, and no removal says why."
    elif imprint.removed_by_id is not None:
        yield "inserted", "", f"went by removal {imprint.removed_by_id}, and is there again."
    else:
        for field in imprint.changed(row):
            yield "changed", field, f"was changed: {field} is not what it was."


def _backdated(before: Seal, seal: Seal, rows: Rows) -> Iterator[Finding]:
    """Written later than it says: an import alone tells of what was long ago."""
    at, recorded_at, method = map(FIELDS.index, ["at", "recorded_at", "method"])
    for consent, row in rows.items():
        is_late = before.number and row[recorded_at] < before.sealed_at - _SLACK
        is_old = row[recorded_at] - row[at] > _may_wait(row[method])
        if is_late or is_old:
            words = f"Consent {consent} says {row[at]:%Y-%m-%d %H:%M}, and was written later."
            yield Finding("backdated", words, consent, "at", seal.number)


def _may_wait(method: str) -> timedelta:
    """Between being said and being recorded: who signs up may be held until somebody has looked."""
    if method == Consent.Method.IMPORT:
        return timedelta.max
    if method in {Consent.Method.FORM, Consent.Method.API}:
        return timedelta(days=settings.KEEP_UNCONFIRMED_DAYS) + _SLACK
    return _SLACK


def _gone_by_removal() -> Counter[int]:
    """Imprints, by the removals that they name."""
    gone: Counter[int] = Counter()
    for by in ["trimmed_by", "erased_by", "removed_by"]:
        named = Imprint.objects.filter(**{f"{by}__isnull": False}).order_by()
        gone.update(dict(named.values_list(by).annotate(Count("consent_id"))))
    return gone
