"""Whether a signed request is one of today's, or one that somebody kept."""

import time

from django.core.exceptions import SuspiciousOperation

from newsletter.receivers.webhooks.providers import PROVIDERS


def refuse_stale(provider: str, signed_at: float | str) -> None:
    """Raises SuspiciousOperation for what was signed too long ago, or will be (BNC-13)."""
    age = abs(time.time() - float(signed_at))
    # Not "age >", which a signed "nan" would pass.
    if not age <= PROVIDERS[provider].window.total_seconds():
        raise SuspiciousOperation(f"{provider} signed this {age:.0f} s ago")
