"""Proof of work: a sign-up costs the reader's machine a moment, and a robot's just as much.

ALTCHA's challenges, version 2. All of a challenge is signed, its end included (CVE-2025-68113);
that a solution works once is for us to see to (ABU-06).
"""

import base64
import binascii
import json
import secrets
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

import altcha
from django.conf import settings

ALGORITHM = "PBKDF2/SHA-256"
# Iterations of each try, and how many tries it takes: a tenth of a second on a desk, one on an old
# phone. A number that we draw, so that nobody has bad luck.
COST = 2000
FEWEST_TRIES, MOST_TRIES = 100, 200
# Seconds (ABU-06). Our script solves another one before it is over.
LIFE = 600
_LONGEST_SOLUTION = 2000


class State(Enum):
    MISSING = "missing"  # or too late: as if our script had not run
    SOLVED = "solved"
    FORGED = "forged"


@dataclass(frozen=True)
class Work:
    state: State
    # What a solution is ticked off under.
    key: str = ""


def challenge() -> dict[str, Any]:
    """One to be solved by our script; nothing is kept of it."""
    tries = FEWEST_TRIES + secrets.randbelow(MOST_TRIES - FEWEST_TRIES + 1)
    made = altcha.create_challenge(
        ALGORITHM,
        COST,
        counter=tries,
        expires_at=int(time.time()) + LIFE,
        hmac_secret=_secret(settings.LINK_KEYS[0], "challenge"),
        hmac_key_secret=_secret(settings.LINK_KEYS[0], "key"),
    )
    return made.to_dict()


def check(solution: str) -> Work:
    """What a form brings along; whether it was used before is another question."""
    if not solution:
        return Work(State.MISSING)
    payload = _payload(solution)
    if payload is None:
        return Work(State.FORGED)
    for key in settings.LINK_KEYS:
        found = altcha.verify_solution(
            payload, _secret(key, "challenge"), hmac_key_secret=_secret(key, "key")
        )
        if found.expired:
            return Work(State.MISSING)
        if found.verified:
            return Work(State.SOLVED, f"work:{payload.challenge.parameters.nonce}")
    return Work(State.FORGED)


def _payload(solution: str) -> "altcha.Payload | None":
    if len(solution) > _LONGEST_SOLUTION:
        return None
    try:
        return altcha.Payload.from_dict(json.loads(base64.b64decode(solution, validate=True)))
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _secret(key: str, purpose: str) -> str:
    return f"broadsheet:work:{purpose}:{key}"
