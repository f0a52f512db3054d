"""An article's text as one writes it in a letter: no tags, short lines, links at the end."""

import re
from collections.abc import Iterable, Iterator

from newsletter.content import slots
from newsletter.content.tree import Element

WIDTH = 72
_BLOCKS = {
    "p", "h2", "h3", "ul", "ol", "li", "blockquote", "figure", "figcaption", "hr",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
# No-break spaces are the author's and stay.
_SPACES = re.compile(r"[ \t\n]+")


class Letter:
    """Writes a tree as plain text, and remembers where its links lead."""

    def __init__(self, root: Element) -> None:
        self._links: list[str] = []
        self.text = "\n\n".join(self._blocks(root.children, WIDTH))

    @property
    def links(self) -> list[tuple[int, str]]:
        """What the numbers in brackets stand for."""
        return list(enumerate(self._links, 1))

    def _blocks(self, nodes: Iterable[Element | str], width: int) -> Iterator[str]:
        line: list[Element | str] = []
        for node in nodes:
            if isinstance(node, str) or node.tag not in _BLOCKS:
                line.append(node)
                continue
            yield from self._paragraph(line, width)
            line = []
            yield from filter(None, [self._block(node, width)])
        yield from self._paragraph(line, width)

    def _paragraph(self, nodes: Iterable[Element | str], width: int) -> Iterator[str]:
        if text := self._line(nodes):
            yield wrapped(text, width)

    def _block(self, element: Element, width: int) -> str:
        match element.tag:
            case "h2":
                return heading(self._line(element.children), "~", width)
            case "ul" | "ol":
                return "\n".join(self._items(element, width))
            case "blockquote":
                return _indented("\n\n".join(self._blocks(element.children, width - 2)), "> ", "> ")
            case "hr":
                return "* * *"
            case "figure":
                return "\n".join(self._blocks(element.children, width))
            case "table":
                return "\n".join(self._rows(element, width))
            case _:
                return "\n\n".join(self._blocks(element.children, width))

    def _items(self, element: Element, width: int) -> Iterator[str]:
        number = int(start) if (start := element.attributes.get("start", "")).isdecimal() else 1
        for item in element.children:
            if isinstance(item, Element):
                bullet = f"{number}. " if element.tag == "ol" else "* "
                text = "\n".join(self._blocks(item.children, max(20, width - len(bullet))))
                yield _indented(text, bullet, " " * len(bullet))
                number += 1

    def _rows(self, element: Element, width: int) -> Iterator[str]:
        for row in element.walk():
            if row.tag == "tr":
                cells = [cell for cell in row.children if isinstance(cell, Element)]
                yield wrapped(" | ".join(self._line(cell.children) for cell in cells), width)

    def _line(self, nodes: Iterable[Element | str]) -> str:
        """The text of inline nodes; a line break in it is one that the author made."""
        text = "".join(self._inline(node) for node in nodes)
        return "\n".join(part.strip(" ") for part in text.split("\n")).strip("\n")

    def _inline(self, node: Element | str) -> str:
        if isinstance(node, str):
            return _SPACES.sub(" ", node)
        match node.tag:
            case "br":
                return "\n"
            case "img":
                alt = _SPACES.sub(" ", node.attributes.get("alt", "")).strip()
                return f"[{alt}]" if alt else ""
            case "a":
                return self._link(node)
            case tag if tag in _BLOCKS:
                return f" {self._line(node.children)} "
            case _:
                return "".join(map(self._inline, node.children))

    def _link(self, node: Element) -> str:
        text = "".join(map(self._inline, node.children))
        address = node.attributes.get("href", "").removeprefix("mailto:")
        if not address or address in text:
            return text
        if address not in self._links:
            self._links.append(address)
        return f"{text} [{self._links.index(address) + 1}]"


def heading(text: str, underline: str, width: int = WIDTH) -> str:
    lines = wrapped(text, width).split("\n")
    longest = max(len(slots.stand_in(line)) for line in lines)
    return "\n".join([*lines, underline * longest]) if longest else ""


def wrapped(text: str, width: int = WIDTH) -> str:
    return "\n".join(line for part in text.split("\n") for line in _wrap(part, width))


def _wrap(text: str, width: int) -> Iterator[str]:
    """Lines no longer than this, but for addresses, which stay whole."""
    line, room = "", width
    for word in _words(text, width):
        length = len(slots.stand_in(word))
        if line and length + 1 > room:
            yield line
            line, room = word, width - length
        else:
            line, room = (f"{line} {word}", room - length - 1) if line else (word, width - length)
    yield line


def _words(text: str, width: int) -> Iterator[str]:
    """Split where the author put spaces; what is longer than a line is cut (CJK has no spaces)."""
    for word in text.split(" "):
        if len(word) <= width or "://" in word or len(slots.split(word)) > 1:
            yield word
        else:
            yield from (word[start : start + width] for start in range(0, len(word), width))


def _indented(text: str, first: str, others: str) -> str:
    lines = text.split("\n")
    return "\n".join(
        f"{first if number == 0 else others}{line}".rstrip(" ") for number, line in enumerate(lines)
    )
