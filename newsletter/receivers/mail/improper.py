"""Bounces that are no delivery status notifications: flufl.bounce knows how servers write them."""

import logging
import re
from email.message import Message
from email.parser import BytesParser

from flufl.bounce import all_failures

from newsletter.receivers.mail.parts import Part

logger = logging.getLogger(__name__)

# It reads every line some fifty times; servers come to the point at once.
_LARGEST = 48 * 1024
# More levels than these have no reason, and Python's parser calls itself for each.
_MOST_LEVELS = 20
_LEVEL = re.compile(rb"^content-type:\s*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_SERVERS = re.compile(
    r"mailer.?daemon|postmaster|mail.?(delivery|system|server|router)|maildelivery|mdaemon"
    r"|delivery.?(subsystem|system)|system.?administrator|undeliver|bounce|double.?bounce",
    re.IGNORECASE,
)


def is_of_a_server(part: Part) -> bool:
    """Whether a mail server wrote it, or somebody who wants no answer either."""
    paths = part.fields("Return-Path")
    return (
        "X-Failed-Recipients" in part.header
        or _SERVERS.search(part.field("From")) is not None
        or any(path.strip() == "<>" for path in paths)
    )


def failures(raw: bytes) -> tuple[set[str], set[str]]:
    """Whom it says to be late, and whom it says to have failed."""
    if len(_LEVEL.findall(raw)) > _MOST_LEVELS:
        return set(), set()
    message = BytesParser().parsebytes(raw[:_LARGEST])
    temporary, permanent = _scanned(message)
    return _written(temporary), _written(permanent)


def _scanned(message: Message) -> tuple[frozenset[bytes], frozenset[bytes]]:
    try:
        return all_failures(message)
    # It stumbles over messages in as many ways as there are broken ones: charsets that are none,
    # headers that are no text. Those are no bounces that it knows.
    except Exception as error:
        logger.info("flufl.bounce could not read a message: %s", type(error).__name__)
        return frozenset(), frozenset()


def _written(addresses: frozenset[bytes]) -> set[str]:
    return {address.decode("ascii", "replace").lower() for address in addresses}
