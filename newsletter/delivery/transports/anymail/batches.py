"""A provider that takes many readers in one call: what each gets, and what became of each."""

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import batched

from anymail.backends.base import AnymailBaseBackend
from anymail.exceptions import AnymailAPIError, AnymailError, AnymailInvalidAddress

from newsletter import faults
from newsletter.content import Mailing
from newsletter.delivery.outcomes import (
    Message,
    Outcome,
    SendersFaultError,
    TransportError,
    judged,
    sent,
    unwritable,
)
from newsletter.delivery.transports.anymail import troubles
from newsletter.delivery.transports.anymail.answers import Asked, Told, read
from newsletter.delivery.transports.anymail.letters import Copy, Letter
from newsletter.delivery.transports.anymail.providers import Provider
from newsletter.delivery.transports.anymail.troubles import RefusedError
from newsletter.faults import Fault

# So many readers refused in a row, and nobody accepted: it is our message that they refuse.
_MOST_REFUSED = 10
# Before an answer that did not come is asked for again, where asking twice does no harm.
_PAUSES = (0.0, 1.0)
_KEYS = uuid.UUID("2f3b8a52-6a43-4d0e-9a08-1f2f6ed7c9a4")


class Batches:
    """One kept session."""

    def __init__(self, backend: AnymailBaseBackend, provider: Provider) -> None:
        provider.prepare(backend)
        self._backend = backend
        self._provider = provider
        self._mailing: Mailing | None = None
        self._letter: Letter

    def room(self, mailing: Mailing) -> int:
        return self._provider.room(mailing)

    def call(self, messages: list[Message], is_ours: Callable[[], bool]) -> Iterator[Outcome]:
        self._backend.open()
        self._take_up(messages[0].mailing)
        copies = []
        for message in messages:
            try:
                copies.append(self._letter.copy(message))
            except Exception as error:  # One bad row must not stop those behind it.
                yield unwritable(message.reader, error)
        if copies:
            yield from self._handed_over(copies, is_ours)

    def close(self) -> None:
        self._backend.close()

    def _take_up(self, mailing: Mailing) -> None:
        if self._mailing is not mailing:
            self._letter = self._provider.letter(mailing)
            self._mailing = mailing

    def _handed_over(
        self, copies: Sequence[Copy], is_ours: Callable[[], bool]
    ) -> Iterator[Outcome]:
        """Where a call is refused for the sake of one of its readers, some providers do not say
        of whom: its halves are asked for, until it is clear. All that were refused were not sent.
        """
        left = deque([copies])
        refused: list[Outcome] = []
        while left and is_ours():
            part = left.popleft()
            try:
                told = self._asked(part, is_ours)
            except RefusedError as error:
                if not error.is_about_readers:
                    yield from [error.outcome(copy.message.reader) for copy in part]
                elif len(part) > 1:
                    left.extendleft(reversed(_halves(part)))
                elif len(refused) == _MOST_REFUSED:
                    raise SendersFaultError(str(error)) from error
                else:
                    refused.append(error.outcome(part[0].message.reader))
            else:
                yield from refused
                refused = []
                yield from _outcomes(part, told)
        yield from refused

    def _asked(self, copies: Sequence[Copy], is_ours: Callable[[], bool]) -> list[Told]:
        """Asked again with the same key where no answer came: it counts as the same call.

        Only a success makes clear then what became of the first: whatever else they say, it may
        have gone out.
        """
        try:
            return self._ask(copies)
        except RefusedError as error:
            pauses = _PAUSES if error.fault is Fault.UNKNOWN and self._provider.put_key else ()
            for pause in pauses:
                time.sleep(pause)
                with suppress(RefusedError):
                    if is_ours():
                        return self._ask(copies)
            raise

    def _ask(self, copies: Sequence[Copy]) -> list[Told]:
        mail = self._letter.mail(copies)
        try:
            payload = self._provider.payload(self._backend, mail)
            if self._provider.put_key:
                self._provider.put_key(payload, _key(copies))
            response = self._backend.post_to_esp(payload, mail)
            return read(self._provider.read, Asked(self._backend, payload, mail, response))
        except AnymailInvalidAddress as error:
            raise RefusedError(Fault.RECIPIENT, "address", str(error)) from error
        except AnymailAPIError as error:
            trouble = self._trouble(error)
            if self._provider.knows_key and self._provider.knows_key in trouble.words:
                return [Told() for _ in copies]
            raise trouble from error
        except AnymailError as error:
            raise SendersFaultError(str(error)) from error

    def _trouble(self, error: AnymailAPIError) -> RefusedError:
        trouble = troubles.failed(error)
        if not trouble.code:
            # A session that broke is not spoken over again.
            self._backend.close()
            self._backend.open()
        return trouble


def _halves(copies: Sequence[Copy]) -> list[tuple[Copy, ...]]:
    return list(batched(copies, -(-len(copies) // 2)))


def _outcomes(copies: Sequence[Copy], told: list[Told]) -> Iterator[Outcome]:
    """Of whom nothing is said as it is our fault, the others' outcomes come first."""
    trouble = None
    for copy, one in zip(copies, told, strict=True):
        try:
            yield _outcome(copy.message, one)
        except TransportError as error:
            trouble = trouble or error
    if trouble:
        raise trouble


def _outcome(message: Message, told: Told) -> Outcome:
    if not told.code:
        return sent(message.reader, told.provider_id)
    fault = faults.of_http(told.code, told.words)
    return judged(fault, message.reader, told.code, told.words)


def _key(copies: Sequence[Copy]) -> str:
    """The same for this version to these readers, whoever asks; a test mail is always new."""
    messages = [copy.message for copy in copies]
    if not messages[0].reader.subscriber_id:
        return str(uuid.uuid4())
    version = messages[0].mailing.version_id
    readers = [message.reader[:4] for message in messages]
    return str(uuid.uuid5(_KEYS, f"{messages[0].campaign_id} {version} {readers}"))
