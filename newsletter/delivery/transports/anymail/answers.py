"""What providers say became of each reader of a call that they accepted."""

from collections.abc import Callable
from typing import Any, NamedTuple

from anymail.backends.base import AnymailBaseBackend, BasePayload
from django.core.mail import EmailMultiAlternatives

from newsletter.delivery.transports.anymail.troubles import RefusedError, refused
from newsletter.faults import Fault

_REFUSED = {"invalid", "rejected", "failed"}


class Told(NamedTuple):
    """Of one reader, in the order of the call; with a code they were refused."""

    code: str = ""
    words: str = ""
    provider_id: str = ""


class Asked(NamedTuple):
    """A call, as it was made."""

    backend: AnymailBaseBackend
    payload: BasePayload
    mail: EmailMultiAlternatives
    response: Any

    @property
    def json(self) -> Any:
        return self.response.json()

    def of_each(self, told: list[Told]) -> list[Told]:
        """Raises ValueError if it cannot be of each."""
        if len(told) != len(self.mail.to):
            raise ValueError(f"{len(told)} answers for {len(self.mail.to)} readers")
        return told


def read(reading: Callable[[Asked], list[Told]], asked: Asked) -> list[Told]:
    """Raises RefusedError if the call was not accepted after all, or if its answer is none of
    those that we know: then nobody can say."""
    try:
        return reading(asked)
    except (AttributeError, LookupError, TypeError, ValueError):
        words = " ".join(str(getattr(asked.response, "text", asked.response)).split())
        status = getattr(asked.response, "status_code", 200)
        raise RefusedError(Fault.UNKNOWN, str(status), words) from None


def as_anymail_reads_it(asked: Asked) -> list[Told]:
    """Where it is all that there is to read."""
    statuses = asked.backend.parse_recipient_status(asked.response, asked.payload, asked.mail)
    return [_status(statuses[address]) for address in asked.mail.to]


def _status(status: Any) -> Told:
    if status.status in _REFUSED:
        return Told(status.status)
    return Told(provider_id=status.message_id or "")


def postmark(asked: Asked) -> list[Told]:
    """One answer for each; https://postmarkapp.com/developer/api/overview#error-codes."""
    answer = asked.json
    if not isinstance(answer, list):
        raise refused(asked.response)
    return asked.of_each([_postmarks(one) for one in answer])


def _postmarks(one: dict[str, Any]) -> Told:
    # Where delivery may be delayed the code is missing.
    if code := one.get("ErrorCode", 0):
        return Told(f"422 {code}", one.get("Message", ""))
    return Told(provider_id=one.get("MessageID", ""))


def mailjet(asked: Asked) -> list[Told]:
    """One answer for each, also where its status is that of a failure because some were refused."""
    answer = asked.json
    if "Messages" not in answer:
        raise refused(asked.response)
    return asked.of_each([_mailjets(one) for one in answer["Messages"]])


def _mailjets(one: dict[str, Any]) -> Told:
    if one.get("Status") == "success":
        return Told(provider_id=str(one["To"][0]["MessageID"]))
    error = (one.get("Errors") or [{}])[0]
    code = f"{error.get('StatusCode', 400)} {error.get('ErrorCode', '')}".strip()
    return Told(code, error.get("ErrorMessage", ""))


def resend(asked: Asked) -> list[Told]:
    """The ids of those accepted in their order, and who was refused by their place."""
    answer = asked.json
    errors = {error["index"]: error.get("message", "") for error in answer.get("errors") or []}
    ids = iter([one["id"] for one in answer["data"]])
    if len(answer["data"]) + len(errors) != len(asked.mail.to):
        raise ValueError("not of each")
    return [
        Told("422", errors[place]) if place in errors else Told(provider_id=next(ids))
        for place in range(len(asked.mail.to))
    ]


def sparkpost(asked: Asked) -> list[Told]:
    """One id for all, and how many addresses were none, but not which: of some the domain is told.
    Where more readers have such a domain than were refused, all count as handed over: an event
    says of those accepted what became of them."""
    results = asked.json.get("results", {})
    if "total_accepted_recipients" not in results:
        raise refused(asked.response)
    addresses: list[str] = asked.mail.to
    words = " ".join(error.get("description", "") for error in results.get("rcpt_to_errors", []))
    named = {address for address in addresses if _domain(address) in words}
    count = results.get("total_rejected_recipients", 0)
    if count == len(addresses):
        named = set(addresses)
    told = Told(provider_id=results.get("id", ""))
    if count != len(named):
        return [told for _ in addresses]
    return [Told("422", words) if address in named else told for address in addresses]


def _domain(address: str) -> str:
    """As it stands in an error."""
    return f"'{address.rpartition('@')[2]}'"


def amazon(asked: Asked) -> list[Told]:
    """One result for each."""
    return asked.of_each([_amazons(result) for result in asked.response["BulkEmailEntryResults"]])


def _amazons(result: dict[str, Any]) -> Told:
    if result.get("Status") == "SUCCESS":
        return Told(provider_id=result.get("MessageId", ""))
    return Told("400", f"{result.get('Status', '')} {result.get('Error', '')}".strip())
