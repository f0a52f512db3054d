"""The one door by which sign-ups come in, whatever form they were filled in on (ABU-04).

Nothing here knows whether an address is known: whoever passes is written down, and a worker looks.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any

from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from subscribers import tasks
from subscribers.addresses import Address
from subscribers.forms import AddressForm, SignupForm
from subscribers.guards import form_tokens, limits, scores, stores, work
from subscribers.guards.work import State, Work
from subscribers.models import Attack, Evidence, Publication, SignUp

logger = logging.getLogger(__name__)


class Outcome(Enum):
    # Robots are told the same, and may find out by waiting (ABU-08).
    TAKEN = "taken"
    # The form comes back as it was filled in, with words on what to do.
    AGAIN = "again"
    # Too many from this network, and nothing else (ABU-02).
    TOO_MANY = "too many"
    # More forms than we have time to show again.
    BUSY = "busy"


@dataclass(frozen=True)
class Answer:
    outcome: Outcome
    form: AddressForm | None = None
    # Seconds.
    again_in: int = 0


_TAKEN = Answer(Outcome.TAKEN)


def sign_up(posted: Mapping[str, Any], evidence: Evidence) -> Answer:
    """Let somebody in who filled in the form, or say what is to do.

    The evidence is what the request tells: network address, browser, which form it was. Raises
    Publication.DoesNotExist.
    """
    visit = _Visit(posted, evidence)
    if refusal := visit.refusal():
        return refusal
    publication = _paper()
    form = SignupForm(posted, publication=publication, token=visit.token)
    if not visit.is_complete(form):
        return Answer(Outcome.AGAIN, form)
    given = form.cleaned_data
    asked = SignUp(name=given["name"], language=given["language"])
    evidence = replace(
        evidence,
        address=form.typed,
        terms=form.posted_terms,
        wording=form.posted_terms.label if form.posted_terms else "",
        page=given["page"],
        language=given["language"] or evidence.language,
        boxes=form.boxes,
    )
    asked.tell(evidence, form.chosen)
    return visit.let_pass(form, asked, publication)


def ask_to_lift(posted: Mapping[str, Any], evidence: Evidence) -> Answer:
    """Somebody wants to take "this wasn't me" back; a mail asks whether it is the mailbox's own."""
    visit = _Visit(posted, evidence)
    if refusal := visit.refusal():
        return refusal
    form = AddressForm(posted, token=visit.token)
    if not visit.is_complete(form):
        return Answer(Outcome.AGAIN, form)
    asked = SignUp(wish=SignUp.Wish.LIFT)
    asked.tell(evidence, [])
    return visit.let_pass(form, asked, _paper())


class _Visit:
    """One form that was sent, and what the guards make of it."""

    def __init__(self, posted: Mapping[str, Any], evidence: Evidence) -> None:
        self._posted = posted
        self._network = limits.network_of(evidence.network_address)
        self.token = form_tokens.read(str(posted.get("token", "")))
        self._key = self.token.key if self.token else ""
        self._mark = form_tokens.mark(str(posted.get("email", "")))
        self._work: Work | None = None
        self._notice = ""

    def refusal(self) -> Answer | None:
        """What needs no look into the form, and costs us next to nothing."""
        if wait := limits.seconds_to_wait(self._network):
            return Answer(Outcome.TOO_MANY, again_in=wait)
        if self._posted.get("reference") or self._is_robot():
            return _TAKEN
        earlier = stores.spent(self._key) if self._key else ""
        if earlier == self._mark:
            # The button was pressed twice.
            return _TAKEN
        self._notice = self._reason_to_send_again(earlier)
        if self._notice and not limits.is_time_to_show_again():
            return Answer(Outcome.BUSY, again_in=limits.SHOWN_AGAIN_IN)
        return None

    def is_complete(self, form: AddressForm) -> bool:
        """Else the form tells what is to do, and is to be shown again."""
        form.notice = self._notice
        return form.is_valid() and not form.notice and not form.suggestion

    def let_pass(self, form: AddressForm, asked: SignUp, publication: Publication) -> Answer:
        """Everything is in order: tick off what works once, count it, and write it down."""
        try:
            # As one: where the guards count in the database too, it is locked once.
            with transaction.atomic():
                return self._let_pass(form, asked, publication)
        except DatabaseError:
            # Whoever tries again must not be told that it was taken.
            stores.unspend([key for key in (self._key, self._solved().key) if key])
            raise

    def _let_pass(self, form: AddressForm, asked: SignUp, publication: Publication) -> Answer:
        if earlier := self._spend(self._key):
            # Another came with it at this moment.
            form.notice = "" if earlier == self._mark else self._sent_already()
            return Answer(Outcome.AGAIN, form) if form.notice else _TAKEN
        has_worked = self._solved().state is State.SOLVED and not self._spend(self._solved().key)
        if self._solved().key and not has_worked and (notice := self._stricter()):
            form.notice = notice
            return Answer(Outcome.AGAIN, form)
        address: Address = form.cleaned_data["email"]
        room = limits.room(address, self._network, asked.form)
        if not room.is_enough:
            asked.address, asked.network = str(address), self._network
            asked.held_because = ",".join(scores.signs(address, room, has_worked=has_worked))
            asked.is_queued = Attack.objects.is_on() or (room.is_spent and _begin(publication))
            asked.save(force_insert=True)
            tasks.wake_on_commit()
        return _TAKEN

    def _is_robot(self) -> bool:
        """Our script waits, and makes no mistakes: nobody who is early or wrong is a person."""
        if self._solved().state is State.FORGED:
            return True
        is_early = self.token is not None and self.token.age < form_tokens.SHORTEST
        return is_early and self._solved().state is State.SOLVED

    def _reason_to_send_again(self, earlier: str) -> str:
        """Whatever stands in the form; "": there is none."""
        if self.token is None:
            return _("Please look it over, and press the button once more.")
        if not self.token.is_fresh:
            return _("This page was open for more than a day. Please press the button once more.")
        if earlier:
            return self._sent_already()
        return self._stricter() if self._solved().state is State.MISSING else ""

    def _stricter(self) -> str:
        """What the way through without JavaScript asks for (ACC-03)."""
        if self.token and self.token.age < form_tokens.SHORTEST_WITHOUT_WORK:
            return _("That was very quick. Please look it over, and press the button once more.")
        if limits.is_open_without_work(self._network):
            return ""
        return _(
            "Many people are signing up at this moment. Please press the button once more in a few"
            " minutes, or switch JavaScript on: then there is no need to wait."
        )

    @staticmethod
    def _sent_already() -> str:
        return _("You have sent this form before. To sign up once more, press the button again.")

    def _solved(self) -> Work:
        if self._work is None:
            self._work = work.check(str(self._posted.get("work", "")))
        return self._work

    def _spend(self, key: str) -> str:
        return stores.spend(key, self._mark, time.time(), form_tokens.LONGEST)


def _paper() -> Publication:
    """The publication with what it offers, asked for once a second: hundreds may stand here."""
    return _paper_of(int(time.monotonic()))


@lru_cache(maxsize=1)
def _paper_of(second: int) -> Publication:
    return Publication.objects.current()


def forget() -> None:
    """What was learnt of the publication: it may be another."""
    _paper_of.cache_clear()


def _begin(publication: Publication) -> bool:
    """The budget is spent: from here on confirmations wait, unless an editor knows better."""
    if not Attack.objects.may_begin():
        return False
    if Attack.objects.begin(publication):
        logger.warning("More sign up than can be readers: confirmations wait from now on.")
    return True
