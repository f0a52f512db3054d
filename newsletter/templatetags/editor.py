"""The scripts and styles of the rich text editor, with the page's nonce on them."""

from django import forms, template
from django.template import Context
from django.utils.safestring import SafeString
from js_asset import Media

register = template.Library()


@register.simple_tag(takes_context=True)
def editor_media(context: Context, form: forms.BaseForm) -> SafeString:
    """An import map is an inline script, which our policy only lets run with the nonce."""
    media = Media.from_media(form.media, nonce=context["csp_nonce"])
    return SafeString(media.render())
