"""The few transactional messages: please confirm, welcome, already subscribed."""

from subscribers.models import Letter


def send(letter: Letter) -> None:
    """Hand one letter over, and write down what became of it."""
    raise NotImplementedError
