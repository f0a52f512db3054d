"""Filters of the plain-text parts: lines as one writes them in a letter."""

from django import template

from newsletter.content import text

register = template.Library()


@register.filter
def wrapped(words: str) -> str:
    """In short lines; the breaks of the template itself are spaces."""
    return text.wrapped(" ".join(words.split()))


@register.filter
def underlined(words: str, sign: str) -> str:
    return text.heading(words, sign)
