"""The publication's accent on light and on dark, readable on both (WCAG 1.4.3)."""

from typing import NamedTuple

_LIGHT_PAPER = (0xFB, 0xFA, 0xF7)
_DARK_SHEET = (0x1E, 0x1D, 0x1A)
_READABLE = 5.0
_WHITE = "#ffffff"
_INK = "#1a0506"


class Accent(NamedTuple):
    colour: str
    ink: str
    dark: str
    dark_ink: str


def accent(colour: str) -> Accent:
    """The colour, what is written on it, and both again for dark mode."""
    light = _readable(_rgb(colour), _LIGHT_PAPER, -8)
    dark = _readable(_rgb(colour), _DARK_SHEET, 8)
    return Accent(_hex(light), _ink_on(light), _hex(dark), _ink_on(dark))


def _readable(colour: tuple[int, ...], ground: tuple[int, ...], step: int) -> tuple[int, ...]:
    """The colour, made darker or lighter until it can be read on this ground."""
    while _contrast(colour, ground) < _READABLE:
        colour = tuple(min(255, max(0, value + step)) for value in colour)
    return colour


def _ink_on(colour: tuple[int, ...]) -> str:
    return max(_WHITE, _INK, key=lambda ink: _contrast(_rgb(ink), colour))


def _contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    dark, light = sorted([_luminance(one), _luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, ...]) -> float:
    red, green, blue = (
        value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4
        for value in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _hex(colour: tuple[int, ...]) -> str:
    return f"#{bytes(colour).hex()}"
