"""Programs in processes of their own: started, asked to end by their id, and what they cost."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS_TO_STOP = 40


class FailedError(RuntimeError):
    """A figure could not be measured; the message says what went wrong."""


def say(words: str) -> None:
    """Progress, for whoever watches."""
    print(words, file=sys.stderr, flush=True)


class Program:
    """A running program with its children; what it says is in its log."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = Path(words[0]).name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                words,
                env=environment,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_until_it_says(self, words: str, within: float = 60) -> str:
        """The log, as soon as these words stand in it."""
        wait_until(lambda: words in self.said(), within, f"{self.name} says {words!r}")
        return self.said()

    def said(self) -> str:
        """All it wrote so far. Raises FailedError if it has died."""
        text = self.log.read_text(errors="replace")
        if self._process.poll() not in {None, 0}:
            raise FailedError(f"{self.name} has ended ({self._process.returncode}):\n{text}")
        return text

    def tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def result(self, within: float) -> str:
        """What it has said when it is done."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise FailedError(
                f"{self.name} took longer than {within:.0f} s:\n{self.said()}"
            ) from None
        return self.said()

    def stop(self) -> None:
        """Ask it to finish; who does not is ended with all that it started."""
        if self._process.poll() is None:
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_STOP)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def cpu_seconds(self) -> float:
        """User and system time, of its children as well, those that have ended included."""
        return sum(_cpu_ticks(pid) for pid in self._tree()) / _TICKS

    def peak_megabytes(self) -> float:
        """The most memory that any of its processes ever had."""
        return max(_peak_kilobytes(pid) for pid in self._tree()) / 1024

    def _tree(self) -> list[int]:
        return [self.pid, *_descendants(self.pid)]


@contextlib.contextmanager
def running(
    words: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """The program until the block is left."""
    with tempfile.TemporaryDirectory(prefix="broadsheet-bench-") as folder:
        program = Program(words, environment or os.environ, Path(folder) / "log")
        try:
            yield program
        finally:
            program.stop()


def output(words: Sequence[str], environment: Mapping[str, str], within: float = 120) -> str:
    """What a program prints that is over soon. Raises FailedError with what it complained of."""
    try:
        done = subprocess.run(
            words,
            env=environment,
            cwd=ROOT,
            timeout=within,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"{' '.join(words[-3:])} took longer than {within:.0f} s") from None
    if done.returncode:
        raise FailedError(f"{' '.join(words[-3:])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(holds: Callable[[], bool], within: float, what: str, pause: float = 0.05) -> None:
    """Ask again and again. Raises FailedError if it does not come true within these seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise FailedError(f"Waited {within:.0f} s in vain until {what}")
        time.sleep(pause)


def _descendants(pid: int) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [one for word in words for one in (int(word), *_descendants(int(word)))]


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except FileNotFoundError:
        return 0
    # proc(5): utime, stime, cutime, cstime are the fields 14 to 17; the first here is the third.
    return sum(map(int, fields[11:15]))


def _peak_kilobytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line), 0)
