"""Private PostgreSQL and Redis servers, started from installed programs and thrown away.

`python -m tests.services COMMAND...` runs a command with DATABASE_URL and REDIS_URL of its own.
"""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import redis

# What Debian calls the package that a program comes from.
PACKAGES = {
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "chromium": "chromium",
    "cc": "gcc libc6-dev",
    "smtp-sink": "postfix",
}
_CHROMIUMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
_SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
_SECONDS_TO_START = 30
# For tests: thrown away afterwards, so nothing needs to survive a power cut.
_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB")


class MissingProgramError(Exception):
    """A program that a test needs is not installed; the message says how to get it."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed: apt-get install {PACKAGES[program]}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def chromium() -> str:
    for name in _CHROMIUMS:
        if path := shutil.which(name):
            return path
    raise MissingProgramError("chromium")


def compiler() -> str:
    """Of C."""
    if path := shutil.which("cc") or shutil.which("gcc"):
        return path
    raise MissingProgramError("cc")


def smtp_sink() -> str:
    """Postfix's, or another that the variable SMTP_SINK names."""
    if path := os.environ.get("SMTP_SINK") or shutil.which("smtp-sink", path=_SBIN):
        return path
    raise MissingProgramError("smtp-sink")


class Server:
    """A server of ours, which may be ended and started again with what it has kept."""

    def __init__(
        self,
        url: str,
        command: list[object],
        log: Path,
        probe: Callable[[], object],
        ending: signal.Signals,
    ) -> None:
        self.url = url
        self._words = [str(word) for word in command]
        self._log = log
        self._probe = probe
        self._ending = ending
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._words,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        _wait_until_ready(self._process, self._log, self._probe)

    def stop(self, ending: signal.Signals | None = None) -> None:
        """As it is meant to be ended, or by another signal."""
        if self._process:
            self._process.send_signal(ending or self._ending)
            self._process.wait(timeout=30)

    @property
    def processes(self) -> list[int]:
        pid = self._process.pid if self._process else 0
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None


@contextlib.contextmanager
def postgres(settings: Sequence[str] = _FORGETFUL) -> Iterator[str]:
    """The URL of an empty database on a server that nobody else knows.

    Its settings are PostgreSQL's own, but for these.
    """
    with postgres_server(settings) as server:
        yield server.url


@contextlib.contextmanager
def postgres_server(
    settings: Sequence[str] = _FORGETFUL, inside: Path | None = None
) -> Iterator[Server]:
    """The server itself; everything it keeps is in a folder of its own, inside this one."""
    programs = postgres_programs()
    user = _unprivileged_user()
    with _folder(user, inside) as folder:
        _run_as(user, [programs / "initdb", "-D", folder / "data", *_INITDB])
        port = free_port()
        place = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        options = [word for setting in [*place, *settings] for word in ("-c", setting)]
        command = _as(user, [programs / "postgres", "-D", folder / "data", *options])
        url = f"postgres://postgres@127.0.0.1:{port}/postgres"
        probe = functools.partial(_connect, url)
        with _running(Server(url, command, folder / "log", probe, signal.SIGINT)) as server:
            yield server


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """The URL of an empty Redis that nobody else knows, set as production should be."""
    with forgetful_redis() as server:
        yield server.url


@contextlib.contextmanager
def forgetful_redis() -> Iterator[Server]:
    """The server itself, which is empty again when it starts again."""
    program = shutil.which("redis-server")
    if not program:
        raise MissingProgramError("redis-server")
    with _folder(None) as folder:
        port = free_port()
        options = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        url = f"redis://127.0.0.1:{port}/0"
        command: list[object] = [program, *options, "--maxmemory-policy", "noeviction"]
        probe = functools.partial(_ping, url)
        with _running(Server(url, command, folder / "log", probe, signal.SIGTERM)) as server:
            yield server


@contextlib.contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """The URL of a fresh database on this server, or a copy of one there; dropped afterwards."""
    name = f"fresh_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


_INITDB = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]


def postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if found:
        return found[-1].parent
    if path := shutil.which("postgres"):
        return Path(path).resolve().parent
    raise MissingProgramError("postgres")


def _version(program: Path) -> float:
    return float(program.parts[-3])


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root, so root lends it somebody else."""
    if os.getuid() != 0:
        return None
    known = Path("/etc/passwd").read_text()
    return "postgres" if "\npostgres:" in known else "nobody"


def _as(user: str | None, command: list[object]) -> list[object]:
    if not user:
        return command
    return ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups", "--", *command]


def _run_as(user: str | None, command: list[object]) -> None:
    words = [str(word) for word in _as(user, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def _folder(user: str | None, inside: Path | None = None) -> Iterator[Path]:
    # Sockets live here, and their paths may have 107 bytes: not under pytest's deep folders.
    folder = Path(tempfile.mkdtemp(prefix="broadsheet-", dir=inside))
    try:
        if user:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        if not server.has_ended:
            server.stop()


def _wait_until_ready(
    process: subprocess.Popen[bytes], log: Path, probe: Callable[[], object]
) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError, redis.RedisError):
            probe()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} did not start:\n{log.read_text()}")


def _connect(url: str) -> None:
    psycopg.connect(url).close()


def _ping(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.ping()


def _main(command: list[str]) -> int:
    with postgres() as database_url, redis_server() as redis_url:
        environment = os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
