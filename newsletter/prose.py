"""What an article's text may consist of: the editor's buttons, and what is let through."""

import re

import nh3

# The buttons of the editor. What the sanitiser lets in, the editor must be able to hold: it drops
# what it does not know, and an article would lose its pictures by being opened.
EXTENSIONS = {
    "Bold": True,
    "Italic": True,
    "Heading": {"levels": [2, 3]},
    "BulletList": True,
    "OrderedList": {"enableListAttributes": False},
    "ListItem": True,
    "Blockquote": True,
    "HorizontalRule": True,
    "HardBreak": True,
    "Link": {"enableTarget": False, "protocols": ["http", "https", "mailto"]},
    "Figure": True,
    "Caption": True,
    "Image": True,
    "Table": True,
    "TableRow": True,
    "TableHeader": True,
    "TableCell": True,
    "History": True,
    # It is a newsroom: the browser's spelling checker stays on.
    "NoSpellCheck": False,
}

_ALLOWED = nh3.Cleaner(
    tags={
        "p",
        "br",
        "hr",
        "h2",
        "h3",
        "ul",
        "ol",
        "li",
        "blockquote",
        "strong",
        "em",
        "a",
        "figure",
        "figcaption",
        "img",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    },
    attributes={
        "a": {"href", "title"},
        "img": {"src", "alt", "width", "height"},
        "ol": {"start"},
        "th": {"scope", "colspan", "rowspan"},
        "td": {"colspan", "rowspan"},
        "*": {"lang", "dir"},
    },
    url_schemes={"http", "https", "mailto"},
    link_rel=None,
    clean_content_tags={"script", "style", "template", "title", "textarea", "noscript"},
)
_TAG = re.compile(r"<[^>]+>")


def sanitised(html: str) -> str:
    """The text with only what an article may hold (SEC-05); asked on save and on output."""
    return _ALLOWED.clean(html)


def words(html: str) -> list[str]:
    return _TAG.sub(" ", html).split()
