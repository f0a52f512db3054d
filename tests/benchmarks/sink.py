"""Where all the mail goes: an SMTP server that is never the bottleneck, and what it has seen."""

import contextlib
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tests import services
from tests.benchmarks.processes import FailedError, Program, running, wait_until

_SOURCE = Path(__file__).with_name("sink.c")
_SHOWN = 3
# Gone with us.
_folder = tempfile.TemporaryDirectory(prefix="broadsheet-sink-")


@dataclass(frozen=True)
class Arrived:
    """What the sink accepted, each at a moment of the machine's monotonic clock."""

    moments: list[int]
    sizes: list[int]
    recipients: list[str]

    @property
    def first(self) -> float:
        return self.moments[0] / 1e9

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return (self.moments[-1] - self.moments[0]) / 1e9

    @property
    def per_second(self) -> float:
        return (len(self.moments) - 1) / self.seconds

    @cached_property
    def at(self) -> dict[str, float]:
        """When whose message came."""
        pairs = zip(self.recipients, self.moments, strict=True)
        return {recipient: moment / 1e9 for recipient, moment in pairs}

    def to(self, beginning: str) -> "Arrived":
        """What came for those whose address begins so."""
        rows = zip(self.moments, self.sizes, self.recipients, strict=True)
        return _arrived(row for row in rows if row[2].startswith(beginning))

    def check(self, readers: int) -> None:
        """Raises FailedError unless so many readers got one message each."""
        twice = [who for who, times in Counter(self.recipients).items() if times > 1]
        if twice:
            raise FailedError(f"{len(twice)} got it more than once, like {twice[:_SHOWN]}")
        if len(self.recipients) != readers:
            raise FailedError(f"{len(self.recipients)} of {readers} readers got it")


class Sink:
    """A running one."""

    def __init__(self, program: Program, port: int, log: Path) -> None:
        self._program = program
        self._log = log
        self.port = port

    @property
    def url(self) -> str:
        """What EMAIL_URL is set to in order to send here."""
        return f"smtp://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        return self._program.cpu_seconds()

    def is_reached(self) -> bool:
        """A message has come, a tenth of a second ago at most."""
        return self._log.stat().st_size > 0

    def arrived(self) -> Arrived:
        """What came, but for the last tenth of a second."""
        lines = (line.split(" ", 2) for line in self._log.read_text().splitlines())
        return _arrived((int(moment), int(size), recipient) for moment, size, recipient in lines)

    def finish(self) -> Arrived:
        """End it; all that came."""
        self._program.stop()
        return self.arrived()


class PostfixSink:
    """Postfix's smtp-sink: four times as dear as ours, and it remembers nothing of what came.

    Bare senders keep it busy: what they reach here is what one such server takes.
    """

    def __init__(self, program: Program, port: int) -> None:
        self._program = program
        self.port = port

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        return self._program.cpu_seconds()


@contextlib.contextmanager
def postfix_sink() -> Iterator[PostfixSink]:
    """A fresh one until the block is left."""
    port = services.free_port()
    words = [services.smtp_sink(), "-u", "nobody", f"127.0.0.1:{port}", "500"]
    with running(words) as program:
        wait_until(lambda: _listens(port), 10, "smtp-sink listens")
        yield PostfixSink(program, port)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def sink(delay: float = 0) -> Iterator[Sink]:
    """A fresh one until the block is left, answering each final dot after so many milliseconds."""
    with tempfile.TemporaryDirectory(prefix="broadsheet-sink-") as folder:
        log = Path(folder) / "arrived"
        log.touch()
        with running([str(_compiled()), str(log), str(delay)]) as program:
            port = int(program.wait_until_it_says("\n"))
            yield Sink(program, port, log)


def _arrived(rows: Iterable[tuple[int, int, str]]) -> Arrived:
    columns = list(zip(*rows, strict=True))
    if not columns:
        raise FailedError("No message arrived.")
    return Arrived(*map(list, columns))


@cache
def _compiled() -> Path:
    program = Path(_folder.name) / "sink"
    subprocess.run([services.compiler(), "-O2", "-o", str(program), str(_SOURCE)], check=True)
    return program
