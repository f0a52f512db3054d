"""A disk that becomes full: a small file system if we may mount one, else a limit on files."""

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

_MEGABYTE = 1024 * 1024
_BALLAST = "ballast"


class Disk(Protocol):
    # Where its files are to be kept.
    path: Path

    def fill(self) -> None:
        """No file grows any more."""
        ...

    def make_room(self) -> None: ...


class _Mounted:
    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        with (
            (self.path / _BALLAST).open("wb", buffering=0) as ballast,
            contextlib.suppress(OSError),
        ):
            while True:
                ballast.write(bytes(4096))

    def make_room(self) -> None:
        (self.path / _BALLAST).unlink()


class _Limited:
    """The same without being root: whoever writes here may not write beyond what there is."""

    def __init__(self, path: Path, writers: Callable[[], list[int]]) -> None:
        self.path = path
        self._writers = writers

    def fill(self) -> None:
        sizes = [file.stat().st_size for file in self.path.rglob("*wal")]
        self._limit(max([4096, *sizes]))

    def make_room(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        for pid in self._writers():
            _soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@contextlib.contextmanager
def small_disk(megabytes: int, writers: Callable[[], list[int]]) -> Iterator[Disk]:
    """One with so much room; `writers` tells who writes there."""
    with tempfile.TemporaryDirectory(prefix="broadsheet-disk-") as folder:
        path = Path(folder)
        if os.getuid() != 0:
            yield _Limited(path, writers)
            return
        size = f"size={megabytes * _MEGABYTE},mode=777"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
        try:
            yield _Mounted(path)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
