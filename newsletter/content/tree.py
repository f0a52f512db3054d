"""An article's text as a tree: read from sanitised HTML, changed, written as HTML again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

from newsletter import prose
from newsletter.content import slots

VOID = {"br", "hr", "img"}
# Deeper quotations of quotations become one level: whoever walks the tree recurses.
_DEEPEST = 50


@dataclass(slots=True)
class Element:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: "list[Element | str]" = field(default_factory=list)

    def walk(self) -> "Iterator[Element]":
        """This element and all beneath it, in the order of the text."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child.texts()

    def inner_html(self) -> str:
        return "".join(map(html, self.children))


def html(node: Element | str) -> str:
    if isinstance(node, str):
        return escape(node, quote=False)
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in node.attributes.items())
    if node.tag in VOID:
        return f"<{node.tag}{attributes}>"
    return f"<{node.tag}{attributes}>{node.inner_html()}</{node.tag}>"


def read(body: str) -> Element:
    """The tree of a text: sanitised again, whatever the database held (SEC-05)."""
    reader = _Reader()
    reader.feed(prose.sanitised(body))
    reader.close()
    return reader.root


class _Reader(HTMLParser):
    """Builds the tree of HTML that the sanitiser wrote: every element in it is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("article")
        self._open = [self.root]
        self._too_deep = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len(self._open) > _DEEPEST and tag not in VOID:
            self._too_deep += 1
            return
        element = Element(tag, {name: slots.cleaned(value or "") for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if self._too_deep:
            self._too_deep -= 1
        elif tag not in VOID and len(self._open) > 1:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if text := slots.cleaned(data):
            self._open[-1].children.append(text)
