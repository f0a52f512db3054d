"""Whether this worker has been told to stop: whoever works in windows looks before each."""

import mmap

# Celery's children are forked and get no signal of their own: the page is shared with them.
# Neither reading nor writing it takes a lock, so a signal's handler may write.
_page = mmap.mmap(-1, 1)


def stop() -> None:
    _page[0] = 1


def go_on() -> None:
    _page[0] = 0


def is_stopping() -> bool:
    return bool(_page[0])
