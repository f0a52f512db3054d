"""A provider's API through Anymail."""

from collections.abc import Callable

from anymail.backends.base import AnymailBaseBackend

from newsletter.delivery.outcomes import Outbox
from newsletter.delivery.transports.anymail.batches import Batches
from newsletter.delivery.transports.anymail.one_by_one import OneByOne
from newsletter.delivery.transports.anymail.providers import PROVIDERS
from newsletter.delivery.transports.crew import Crew

# Calls at once: where one may be a thousand readers, no more than a crash may leave uncertain.
_BATCHES, _ONE_BY_ONE = 2, 8


def anymail_transport(
    backend: AnymailBaseBackend, another: Callable[[], AnymailBaseBackend], outbox: Outbox
) -> Crew:
    """`another` gives a backend like this one, as each thread needs one of its own."""
    provider = PROVIDERS.get(backend.esp_name)
    if provider is None:
        backends = [backend, *(another() for _ in range(_ONE_BY_ONE - 1))]
        return Crew([OneByOne(backend) for backend in backends], 1, outbox)
    backends = [backend, *(another() for _ in range(_BATCHES - 1))]
    return Crew([Batches(backend, provider) for backend in backends], provider.readers, outbox)
