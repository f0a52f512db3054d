"""An article as its page on the web shows it."""

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import override

from newsletter.content import slots, tree
from newsletter.models import Article


def body(article: Article) -> SafeString:
    """The text, sanitised; merge tags read as their fallbacks."""
    root = tree.read(article.body)
    with override(article.effective_language):
        for element in root.walk():
            element.children = [
                slots.without_tags(child) if isinstance(child, str) else child
                for child in element.children
            ]
    # The sanitiser made the tree, and the tree escapes what it writes.
    return mark_safe(root.inner_html())  # noqa: S308


def line(text: str) -> str:
    """A headline or standfirst with its merge tags read as their fallbacks; not escaped."""
    return slots.without_tags(slots.line(text))
