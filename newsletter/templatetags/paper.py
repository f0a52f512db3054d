"""What the paper's pages show of an article, and of where they are shown."""

import html

from django import template
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.translation import get_language_bidi, override

from newsletter.content import web
from newsletter.models import Article
from newsletter.web import maildir

register = template.Library()


@register.filter
def body(article: Article) -> SafeString:
    return web.body(article)


@register.filter
def opening(article: Article) -> str:
    """The first paragraph, as plain text."""
    first = web.body(article).partition("</p>")[0]
    return html.unescape(strip_tags(first)).strip()


@register.filter
def line(text: str) -> str:
    """A headline or standfirst as everybody may see it, its merge tags read as their fallbacks."""
    return web.line(text)


@register.filter
def timespan(seconds: int) -> str:
    """Minutes and seconds, as one counts down."""
    return f"{seconds // 60}:{seconds % 60:02}"


@register.filter
def direction(language: str) -> str:
    with override(language):
        return "rtl" if get_language_bidi() else "ltr"


@register.simple_tag
def mailbox_is_here() -> bool:
    """Whether mail stays on this machine, to be opened in the browser."""
    return maildir.is_here()
