"""What every form carries: when it was shown, signed, and good for one sign-up (ABU-05)."""

import secrets
import time
from dataclasses import dataclass

from django.utils.crypto import salted_hmac

from subscribers import tokens
from subscribers.tokens import Purpose

# Seconds. Nobody reads and fills in a form faster; our script waits for it.
SHORTEST = 2
# Without our script a robot has nothing to compute, so it shall at least wait.
SHORTEST_WITHOUT_WORK = 5
# A form that somebody fills in is kept waiting for no less than 20 hours (WCAG 2.2.1).
LONGEST = 24 * 60 * 60


@dataclass(frozen=True)
class FormToken:
    number: int
    # Seconds since the epoch.
    shown_at: int

    @property
    def key(self) -> str:
        """What it is ticked off under."""
        return f"form:{self.number:x}"

    @property
    def age(self) -> float:
        return time.time() - self.shown_at

    @property
    def is_fresh(self) -> bool:
        return self.age <= LONGEST


def fresh(like: FormToken | None = None) -> str:
    """A new one; like an earlier one, who shows a form again need not wait again."""
    shown_at = int(time.time())
    if like and like.is_fresh:
        shown_at = max(like.shown_at, shown_at - SHORTEST_WITHOUT_WORK - 1)
    return tokens.sign(Purpose.FORM, secrets.randbits(64), shown_at)


def mark(email: str) -> str:
    """What tells, once a token was used, whether it is sent for the same address again."""
    hashed = salted_hmac("subscribers.guards", email.strip().lower(), algorithm="sha256")
    return hashed.hexdigest()[:32]


def read(token: str) -> FormToken | None:
    """None: it is none of ours, or there is none, as in a form on another site."""
    try:
        number, shown_at = tokens.read(Purpose.FORM, token)
    except (tokens.BadTokenError, ValueError):
        return None
    return FormToken(number, shown_at)
