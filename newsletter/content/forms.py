"""Content cut at its slots, to be filled for one reader after the other, here or by a provider."""

from collections.abc import Callable
from copy import copy
from html import escape
from typing import NamedTuple

from newsletter.content import slots
from newsletter.content.slots import Marker, Place, Slot

# What fills the slots for one reader, in the order of Slot.
type Values = tuple[str, ...]
type Write = Callable[[str], str]

_PLACE_OF = {slot: index for index, slot in enumerate(Slot)}


class Opening(NamedTuple):
    """What is written once for each reader, however often it stands there."""

    write: Write
    # Its place among the values.
    value: int
    fallback: str

    def filled(self, values: Values) -> str:
        return self.write(values[self.value] or self.fallback)

    def tamed(self, tame: Write) -> "Opening":
        write = self.write
        return self._replace(write=lambda value: tame(write(value)))


class Form:
    """Filling is joining: what is filled in is not looked at again."""

    def __init__(self, content: str, writers: dict[Place, Write]) -> None:
        pieces = slots.split(content)
        self._pieces = [piece if isinstance(piece, str) else "" for piece in pieces]
        places: dict[Marker, list[int]] = {}
        for index, piece in enumerate(pieces):
            if isinstance(piece, Marker):
                places.setdefault(piece, []).append(index)
        # A slot that stands in several places alike is written once.
        self._open = [
            (Opening(writers[marker.place], _PLACE_OF[marker.slot], marker.fallback), indexes)
            for marker, indexes in places.items()
        ]

    @property
    def is_alike(self) -> bool:
        """Whether everybody gets the same."""
        return not self._open

    def filled(self, values: Values) -> str:
        pieces = self._pieces.copy()
        for (write, value, fallback), indexes in self._open:
            written = write(values[value] or fallback)
            for index in indexes:
                pieces[index] = written
        return "".join(pieces)

    def tamed(self, tame: Write) -> "Form":
        """The same, with this done to what stands there and to what is filled in."""
        form = copy(self)
        form._pieces = [tame(piece) for piece in self._pieces]
        form._open = [(opening.tamed(tame), indexes) for opening, indexes in self._open]
        return form

    def rewritten(self, literal: Write, field: Callable[[Opening], str]) -> str:
        """Left open in somebody else's way: what stands there, and what is to be filled in."""
        pieces = [literal(piece) for piece in self._pieces]
        for opening, indexes in self._open:
            for index in indexes:
                pieces[index] = field(opening)
        return "".join(pieces)


def as_it_is(value: str) -> str:
    return value


# For whoever builds the MIME himself, and so encodes as well.
AS_TEXT: dict[Place, Write] = dict.fromkeys(Place, as_it_is)
AS_HTML: dict[Place, Write] = dict.fromkeys(Place, escape)
