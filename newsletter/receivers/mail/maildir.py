"""A Maildir in which mail comes back: what is unread is looked at, what we take in marked read."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from newsletter.receivers.mail.parts import LARGEST

logger = logging.getLogger(__name__)

# Flags stand behind it, in the order of the alphabet (cr.yp.to/proto/maildir.html); S: seen.
_FLAGS = ":2,"


class Maildir:
    """Other programs may use it at the same time; what is gone meanwhile is no longer ours."""

    def __init__(self, folder: Path) -> None:
        """Raises NotADirectoryError if there is no Maildir."""
        self._folder = folder
        for name in ["new", "cur"]:
            if not (folder / name).is_dir():
                raise NotADirectoryError(f"{folder} is no Maildir: it has no folder {name!r}.")

    def messages(self) -> Iterator[tuple[Path, bytes]]:
        """What nobody has read yet: where it is, and its beginning. One at a time is in memory."""
        for path in self._unread():
            raw = _beginning(path)
            if raw is not None:
                yield path, raw

    def mark_read(self, paths: list[Path]) -> None:
        for path in paths:
            name, _mark, flags = path.name.partition(_FLAGS)
            seen = f"{name}{_FLAGS}{''.join(sorted({*flags, 'S'}))}"
            with suppress(FileNotFoundError):
                path.rename(self._folder / "cur" / seen)

    def close(self) -> None:
        """Nothing is kept open."""

    def _unread(self) -> Iterator[Path]:
        # First what may be there for long: what is marked read meanwhile comes in there.
        for name in ["cur", "new"]:
            with os.scandir(self._folder / name) as entries:
                for entry in entries:
                    if entry.is_file() and "S" not in entry.name.partition(_FLAGS)[2]:
                        yield Path(entry.path)


def _beginning(path: Path) -> bytes | None:
    """None if it is not there any more, or cannot be read: those behind it are."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("A mail cannot be read, and stays where it is: %s", error)
        return None
