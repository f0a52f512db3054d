"""What a sign-up form carries that was shown a minute ago, its work done: as many as are wanted."""

import secrets
import time

import altcha
from django.conf import settings

# Of the newsrooms that are measured; see tests.benchmarks.newsroom.
LINK_KEY = "what-is-measured-signs-with-this"

if not settings.configured:
    settings.configure(LINK_KEYS=[LINK_KEY])

from subscribers import tokens  # noqa: E402
from subscribers.guards import work  # noqa: E402
from subscribers.tokens import Purpose  # noqa: E402

_SHOWN_BEFORE = 60
# A reader's machine works for a tenth of a second. The server, which looks at the end of it only,
# cannot tell; ours shall not be busy with it while something is measured.
work.COST = 1
work.FEWEST_TRIES = work.MOST_TRIES = 0


def worked() -> dict[str, str]:
    """The fields of a form that our script has worked for: good once, for ten minutes."""
    challenge = altcha.Challenge.from_dict(work.challenge())
    solved = altcha.solve_challenge(challenge)
    assert solved
    return unworked() | {"work": altcha.Payload(challenge, solved).to_base64()}


def unworked() -> dict[str, str]:
    shown_at = int(time.time()) - _SHOWN_BEFORE
    return {"token": tokens.sign(Purpose.FORM, secrets.randbits(64), shown_at), "work": ""}
