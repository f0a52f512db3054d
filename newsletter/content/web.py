"""An article as its page on the web shows it."""

from django.utils.safestring import SafeString

from newsletter.models import Article


def body(article: Article) -> SafeString:
    """The text, sanitised; merge tags read as their fallbacks."""
    raise NotImplementedError


def line(text: str) -> str:
    """A headline or standfirst with its merge tags read as their fallbacks; not escaped."""
    raise NotImplementedError
