"""What is said to a provider, what it answers, and what its readers get."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from tests.providers.forms import form


@dataclass
class Call:
    """One request. `readers` and `status` are known once it was answered."""

    number: int
    method: str
    path: str
    # Names in lower case.
    headers: dict[str, str]
    body: bytes
    readers: int = 0
    # 0: no answer ever left.
    status: int = 0

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    @cached_property
    def form(self) -> dict[str, list[str]]:
        """Each field of a form with all its values, multipart or urlencoded."""
        return form(self.body, self.headers.get("content-type", ""))


@dataclass(frozen=True)
class Received:
    """One message as its reader would see it, after the provider's own substitution.

    `headers` hold From, To and Reply-To as they arrive, beside all others; `metadata` is what
    the provider's events will tell of this message.
    """

    address: str
    subject: str
    text: str
    html: str
    headers: dict[str, str]
    metadata: dict[str, str]
    call: int

    def header(self, name: str) -> str:
        """The field of this name, in whatever case it arrived; blank if it did not."""
        fields = {field.lower(): value for field, value in self.headers.items()}
        return fields.get(name.lower(), "")


class Answer(NamedTuple):
    status: int
    # A str goes out as it is, all else as JSON.
    body: Any
    headers: dict[str, str] = {}

    @property
    def raw(self) -> bytes:
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class Taken(NamedTuple):
    """A call that was accepted: its answer, for how many readers, and their messages.

    The messages are written only when somebody looks at them.
    """

    answer: Answer
    readers: int
    messages: Callable[[], Iterable[Received]] = tuple


class RefusedError(Exception):
    """The call is refused as a whole, and nothing is sent."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


class Keys:
    """Idempotency keys, with what came in under each and what was answered."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[bytes, Answer]] = {}

    def known(self, key: str) -> tuple[bytes, Answer] | None:
        return self._answers.get(key)

    def remember(self, key: str, body: bytes, answer: Answer) -> None:
        self._answers[key] = (body, answer)


class Accounts(NamedTuple):
    """What the provider knows about addresses: bounced earlier, or none at all."""

    inactive: set[str]
    invalid: set[str]

    def is_address(self, address: str) -> bool:
        local, _at, domain = address.rpartition("@")
        return bool(local) and "." in domain and address not in self.invalid


class Api(Protocol):
    """One provider."""

    # Anymail's name for its backend.
    backend: str

    def options(self, url: str) -> dict[str, Any]:
        """OPTIONS of a mailer that sends to this address."""
        ...

    def take(self, call: Call, accounts: Accounts) -> Taken:
        """Accept the call as this provider does. Raises RefusedError."""
        ...

    def count(self, call: Call) -> Taken:
        """The same answer with as little work as possible: nothing is checked or written."""
        ...

    def trouble(self, status: int) -> Answer:
        """Its words when it cannot or will not answer: 401, 429, 500, 503."""
        ...


class Status(NamedTuple):
    """Nothing is accepted; this is answered."""

    status: int
    # Seconds.
    retry_after: int | None = None


class Lost(NamedTuple):
    """The call is accepted, and its answer never comes."""

    name: str


# The connection stays open for as long as the provider lives; or it is cut.
SILENCE = Lost("silence")
HANG_UP = Lost("hang up")

Step = Status | Lost | None
