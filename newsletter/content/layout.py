"""The templates of a campaign's mail, rendered once per version with the slots left open."""

from collections.abc import Mapping

import css_inline
from django.template.loader import render_to_string

_FOLDER = "email/campaign"


def subject(context: Mapping[str, object]) -> str:
    return render_to_string(f"{_FOLDER}/subject.txt", dict(context)).strip()


def text(context: Mapping[str, object]) -> str:
    lines = render_to_string(f"{_FOLDER}/body.txt", dict(context)).strip().split("\n")
    return "\n".join(line.rstrip(" ") for line in lines) + "\n"


def html(context: Mapping[str, object]) -> str:
    """The page with its styles on every element; the block for dark mode stays in the head."""
    page = render_to_string(f"{_FOLDER}/body.html", dict(context))
    styles = render_to_string(f"{_FOLDER}/inlined.css", dict(context))
    inliner = css_inline.CSSInliner(
        inline_style_tags=False,
        keep_style_tags=True,
        load_remote_stylesheets=False,
        extra_css=styles,
    )
    return inliner.inline(page) + "\n"
