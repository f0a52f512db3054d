"""What every page of the newsroom says while sign-ups wait."""

from typing import Any

from django import template

from subscribers.models import Attack, SignUp

register = template.Library()


@register.inclusion_tag("newsroom/_attack.html", takes_context=True)
def attack_band(context: dict[str, Any]) -> dict[str, Any]:
    """Nothing, unless there is an attack; nothing to somebody who is not signed in."""
    user = context.get("user")
    attack = Attack.objects.current() if user and user.is_authenticated else None
    return {"attack": attack, "queued": SignUp.objects.queued().count() if attack else 0}
