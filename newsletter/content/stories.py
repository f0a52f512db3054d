"""An article made ready for mail: merge tags opened, addresses absolute, pictures in bounds."""

from dataclasses import dataclass, replace

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language_bidi, override

from newsletter.content import slots, text, tree, urls
from newsletter.content.tree import Element
from newsletter.models import Article

# What the sheet of 600 px leaves between its margins.
_COLUMN = 536


@dataclass(frozen=True)
class Story:
    """What the templates show of an article. All its lines may hold slots."""

    language: str
    direction: str
    kicker: str
    headline: str
    standfirst: str
    byline: str
    url: str
    root: Element
    is_cut: bool = False

    @property
    def body(self) -> SafeString:
        # The sanitiser made the tree, and the tree escapes what it writes.
        return mark_safe(self.root.inner_html())  # noqa: S308

    @property
    def letter(self) -> text.Letter:
        return text.Letter(self.root)

    @property
    def summary(self) -> str:
        """What a mail program shows beside the subject."""
        return self.standfirst or " ".join(" ".join(self.root.texts()).split()[:30])

    @property
    def length(self) -> int:
        return len(self.body.encode())

    def cut(self, longest: int) -> "Story":
        """The story with at most so many bytes of text, ended where a reader can pause."""
        if self.length <= longest:
            return self
        root = Element(self.root.tag)
        _take(self.root, root, longest)
        while root.children and _is_loose_end(root.children[-1]):
            root.children.pop()
        return replace(self, root=root, is_cut=True)


def story(article: Article) -> Story:
    """The article in its own language, as mail shows it."""
    url = urls.page(article.publication, "web:article", article.slug)
    with override(article.effective_language):
        root = tree.read(article.body)
        for element in root.walk():
            _prepare(element, url)
        return Story(
            language=article.effective_language,
            direction="rtl" if get_language_bidi() else "ltr",
            kicker=slots.line(article.kicker),
            headline=slots.opened(slots.line(article.headline)),
            standfirst=slots.opened(slots.line(article.standfirst)),
            byline=slots.line(article.byline),
            url=url,
            root=root,
        )


def _prepare(element: Element, url: str) -> None:
    element.children = [
        slots.opened(child) if isinstance(child, str) else child for child in element.children
    ]
    for name in {"href", "src"} & element.attributes.keys():
        element.attributes[name] = urls.absolute(url, element.attributes[name])
    if element.tag == "img":
        _fit(element.attributes)
    if element.tag == "th":
        element.attributes.setdefault("scope", "col")


def _fit(attributes: dict[str, str]) -> None:
    """Old Outlook takes a picture's own size unless the attributes say another."""
    attributes.setdefault("alt", "")
    width, height = (_number(attributes.pop(name, "")) for name in ("width", "height"))
    shown = min(width or _COLUMN, _COLUMN)
    attributes["width"] = str(shown)
    if width and height:
        attributes["height"] = str(round(height * shown / width) or 1)


def _number(written: str) -> int:
    return int(written) if written.isascii() and written.isdecimal() and len(written) < 6 else 0


def _take(source: Element, target: Element, room: int) -> int:
    """Copy what fits into the room, to the last word of the last paragraph; the room left."""
    for child in source.children:
        size = len(tree.html(child).encode())
        if size <= room:
            target.children.append(child)
            room -= size
            continue
        if isinstance(child, str):
            target.children.append(_beginning(child, room))
        elif child.tag not in tree.VOID:
            part = Element(child.tag, child.attributes)
            _take(child, part, room - len(tree.html(part)))
            target.children.append(part)
        return 0
    return room


def _beginning(words: str, room: int) -> str:
    """As many whole words as fit; escaping may lengthen them a little, a word of margin covers it.

    A marker holds no space, so none is ever cut in two.
    """
    kept: list[str] = []
    for word in words.split(" "):
        room -= len(tree.html(word).encode()) + 1
        if room < 0:
            break
        kept.append(word)
    return " ".join(kept) + "…" if kept else ""


def _is_loose_end(node: Element | str) -> bool:
    """A heading without its text, a rule, a paragraph of which nothing was kept."""
    if isinstance(node, str):
        return not node.strip()
    is_empty = not any(piece.strip() for piece in node.texts())
    holds_picture = any(element.tag == "img" for element in node.walk())
    return node.tag in {"h2", "h3", "hr"} or (is_empty and not holds_picture)
