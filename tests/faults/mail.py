"""The mail server as a scenario sees it: started, scolded, and read."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.processes import Program, running, wait_until
from tests.faults.server import Temper


@dataclass(frozen=True)
class Taken:
    """One message, at a moment of the machine's monotonic clock."""

    at: float
    recipient: str
    # The connection broke before the answer: nobody but us can know that it was taken.
    is_dropped: bool


class MailServer:
    """A running one."""

    def __init__(self, program: Program, port: int, record: Path) -> None:
        self._program = program
        self._record = record
        self._told = 0
        self.port = port

    @property
    def url(self) -> str:
        """What EMAIL_URL is set to in order to send here."""
        return f"smtp://127.0.0.1:{self.port}"

    def be(self, **temper: Any) -> None:
        """Behave like this from now on, and as usual in all that is not said; see Temper."""
        self._told += 1
        self._program.tell(Temper(**temper).as_line())
        done = "done\n" * self._told
        wait_until(lambda: done in self._program.said(), 10, "the mail server has changed")

    @contextlib.contextmanager
    def being(self, **temper: Any) -> Iterator[None]:
        self.be(**temper)
        yield
        self.be()

    def count(self) -> int:
        """How many it took, but for the last hundredth of a second."""
        return self._record.read_bytes().count(b"\n")

    def taken(self) -> list[Taken]:
        """The same, in their order."""
        lines = self._record.read_text().rpartition("\n")[0].splitlines()
        rows = (line.split(" ", 2) for line in lines)
        return [Taken(int(at) / 1e9, who, what == "dropped") for at, what, who in rows]

    def all_taken(self) -> list[Taken]:
        """Once nothing is on its way any more."""
        time.sleep(0.1)
        return self.taken()


@contextlib.contextmanager
def mail_server() -> Iterator[MailServer]:
    with tempfile.TemporaryDirectory(prefix="broadsheet-record-") as folder:
        record = Path(folder) / "record"
        record.touch()
        with running([sys.executable, "-m", "tests.faults.server", str(record)]) as program:
            port = int(program.wait_until_it_says("\n").split()[0])
            yield MailServer(program, port, record)
