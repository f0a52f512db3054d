"""Whether the database has answered without a break: who was cut off must not judge the others.

After an outage every lease has run out, and no worker is dead: whoever takes over at once would
take readers out of living hands. So that is for those who saw the database answer throughout.
"""

import mmap
import struct
import time

# Longer silence between two answers is no proof that the database answered in between.
_LONGEST_GAP = 6.0
_MOMENTS = struct.Struct("dd")
# Shared with the children that Celery forks: the heartbeat beats in their parent alone.
_page = mmap.mmap(-1, _MOMENTS.size)


def answered() -> None:
    """The database has just answered."""
    since, last = _MOMENTS.unpack_from(_page)
    now = time.monotonic()
    _MOMENTS.pack_into(_page, 0, since if now - last <= _LONGEST_GAP else now, now)


def failed() -> None:
    """It has just not answered."""
    _MOMENTS.pack_into(_page, 0, 0.0, 0.0)


def seconds_without_one() -> float:
    """For how long it has answered until now; 0.0 if nobody has asked lately."""
    since, last = _MOMENTS.unpack_from(_page)
    now = time.monotonic()
    return now - since if now - last <= _LONGEST_GAP else 0.0
