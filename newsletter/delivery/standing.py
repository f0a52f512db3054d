"""How the mailbox providers take our mail: who refuses all of it is left alone for a while."""

from collections import deque
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from newsletter import faults
from newsletter.content import Reader
from newsletter.delivery.outcomes import Fate, Outcome
from newsletter.models import Parking
from newsletter.models.parkings import house

# Refused so often among its last answers, and every one of the latest: a house is parked.
_LAST = 20
_REFUSED = 10
_LATEST = 5
# A house that has not answered for so long begins anew.
_STALE = timedelta(minutes=15)
# Domains by the thousand must not fill the memory: those heard of longest ago are forgotten.
_MOST_HOUSES = 1000
_PROBE = 4
_PROBE_LASTS = timedelta(minutes=5)
_CACHED = timedelta(seconds=1)


class _Answers:
    """The last answers of one house: True where it refused us."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=_LAST)
        self._at: datetime | None = None

    def add(self, is_refusal: bool, now: datetime) -> None:
        if self._at and now - self._at > _STALE:
            self._last.clear()
        self._at = now
        self._last.append(is_refusal)

    def clear(self) -> None:
        self._last.clear()

    @property
    def refuse_us(self) -> bool:
        latest = list(self._last)[-_LATEST:]
        return sum(self._last) >= _REFUSED and all(latest)

    @property
    def are_all_refusals(self) -> bool:
        return len(self._last) == _LAST and all(self._last)

    @property
    def have_no_acceptance(self) -> bool:
        return len(self._last) >= _REFUSED and all(self._last)


class Standing:
    """One per worker and mailer, kept across batches; what one learns, all know by the table.

    Everything here raises OperationalError while the database is away, and may then be called
    again with the same.
    """

    def __init__(self, mailer: str) -> None:
        self._mailer = mailer
        self._houses: dict[str, _Answers] = {}
        self._everybody = _Answers()
        self._parked: dict[str, datetime] = {}
        self._read_at: datetime | None = None
        # Who is being tried at a parked house, and since when.
        self._probes: dict[str, dict[int, datetime]] = {}
        self._to_park: dict[str, Outcome] = {}
        self._to_unpark: set[str] = set()
        self._counted: list[Outcome] | None = None

    def note(self, outcomes: list[Outcome], now: datetime) -> str:
        """Look at what became of these; words for the newsroom if the campaign should pause.

        Nobody is parked or paused for readers who do not exist: only acceptances and refusals of
        us are counted.
        """
        parked = self.parked(now)
        if outcomes is not self._counted:
            self._counted = outcomes
            for outcome in outcomes:
                self._count(outcome, parked, now)
        if self._to_park or self._to_unpark:
            self._write(now)
        self._counted = None
        return self._trouble(now)

    def parked(self, now: datetime) -> dict[str, datetime]:
        """Until when each house is left alone; one that is due for a probe is still among them.

        At most a second old: this may be asked before every window.
        """
        if self._read_at is None or not timedelta(0) <= now - self._read_at < _CACHED:
            rows = Parking.objects.filter(mailer=self._mailer)
            self._parked = dict(rows.values_list("house", "until"))
            self._read_at = now
        return self._parked

    def room(self, house: str, now: datetime) -> int | None:
        """How many readers there may be handed over now: None where there is no limit."""
        until = self.parked(now).get(house)
        if until is None:
            return None
        return 0 if until > now else _PROBE - len(self._probing(house, now))

    def may_take(self, reader: Reader, now: datetime) -> bool:
        """Whether this reader may be handed over now; if their house is parked, as a probe.

        The probe's place is free again once `note` was told the outcome.
        """
        parked = self.parked(now)
        if not parked:
            return True
        at = house(reader.mailbox_provider, reader.address)
        room = self.room(at, now)
        if room is None:
            return True
        if room > 0:
            self._probes.setdefault(at, {})[reader.subscriber_id] = now
        return room > 0

    def drop(self, reader: Reader) -> None:
        """Who was to be taken is not handed over after all: a probe's place is free again."""
        probes = self._probes.get(house(reader.mailbox_provider, reader.address), {})
        probes.pop(reader.subscriber_id, None)

    def _probing(self, house: str, now: datetime) -> dict[int, datetime]:
        """Whoever was taken and never handed over must not hold a place for ever."""
        probes = self._probes.get(house, {})
        for subscriber, taken_at in list(probes.items()):
            if now - taken_at > _PROBE_LASTS:
                del probes[subscriber]
        return probes

    def _count(self, outcome: Outcome, parked: dict[str, datetime], now: datetime) -> None:
        reader = outcome.reader
        at = house(reader.mailbox_provider, reader.address)
        if self._probes and at in self._probes:
            self._probes[at].pop(reader.subscriber_id, None)
        is_refusal = _is_refusal(outcome)
        if not is_refusal and outcome.fate is not Fate.SENT:
            return
        self._everybody.add(is_refusal, now)
        if at in parked:
            self._count_parked(outcome, at, parked[at] <= now)
        elif is_refusal or at in self._houses:
            self._count_open(outcome, at, is_refusal, now)

    def _count_parked(self, outcome: Outcome, house: str, is_probe: bool) -> None:
        """Whoever was on the way when it was parked says nothing new."""
        if not is_probe:
            return
        if outcome.fate is Fate.SENT:
            self._to_unpark.add(house)
        else:
            self._to_park.setdefault(house, outcome)

    def _count_open(self, outcome: Outcome, house: str, is_refusal: bool, now: datetime) -> None:
        answers = self._houses.setdefault(house, _Answers())
        answers.add(is_refusal, now)
        if answers.refuse_us:
            self._to_park.setdefault(house, outcome)
        if len(self._houses) > _MOST_HOUSES:
            del self._houses[next(iter(self._houses))]

    def _write(self, now: datetime) -> None:
        for at in self._to_unpark:
            Parking.objects.unpark(self._mailer, at, now)
        for at, outcome in self._to_park.items():
            # One of a probe was taken: they do listen.
            if at not in self._to_unpark:
                Parking.objects.park(self._mailer, at, outcome.code, outcome.text, now)
        for at in self._to_unpark | self._to_park.keys():
            self._houses.pop(at, None)
        self._to_unpark.clear()
        self._to_park.clear()
        self._read_at = None

    def _trouble(self, now: datetime) -> str:
        several = len(self.parked(now)) > 1 and self._everybody.have_no_acceptance
        if not several and not self._everybody.are_all_refusals:
            return ""
        # Whoever resumes the campaign has it looked at anew.
        self._everybody.clear()
        return self._words()

    def _words(self) -> str:
        last = Parking.objects.filter(mailer=self._mailer).order_by("parked_at", "pk").last()
        said = f"{last.house}: {last.code} {last.text}" if last else ""
        return _(
            "The mailbox providers refuse our mail, and none takes it. The last one said: %(said)s"
        ) % {"said": said}


def _is_refusal(outcome: Outcome) -> bool:
    if outcome.fate is Fate.DEFERRED:
        return faults.is_dislike(outcome.code, outcome.text)
    return outcome.fate is Fate.REFUSED
