"""What somebody's browser sends with the form, as our own page and script would make it."""

import itertools
import time

import altcha

from subscribers import tokens
from subscribers.guards import work
from subscribers.tokens import Purpose

_numbers = itertools.count(1)


def token(age=60):
    """That of a form that was shown so many seconds ago."""
    return tokens.sign(Purpose.FORM, next(_numbers), int(time.time()) - age)


def solution(challenge=None):
    """What our script makes of a challenge; of a new one, unless you have one."""
    challenge = altcha.Challenge.from_dict(challenge or work.challenge())
    return altcha.Payload(challenge, altcha.solve_challenge(challenge)).to_base64()
