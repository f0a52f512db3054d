"""`bin/start`: one newsroom on this machine, web and Celery workers, stopped together."""

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
# Longer than a graceful end of either takes; who is not gone by then is ended.
SECONDS_TO_STOP = 20
_ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def main() -> int:
    options = _options()
    _refuse_taken(options.port)
    _set_environment(options)
    stopping = _watch_signals()
    _prepare()
    parts = [_Part(name, command) for name, command in _commands(options.port)]
    try:
        return _attend(parts, stopping, options.port)
    finally:
        _stop(parts, stopping)


class _Part:
    """One of the processes, in a session of its own: Ctrl-C reaches us alone, and we end them."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)

    def exit_code(self) -> int | None:
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """To the process; it tells its children."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """With all its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/start", description="Start a newsroom on this machine."
    )
    parser.add_argument("--port", type=int, default=8000, help="where it is served (8000)")
    parser.add_argument(
        "--data", type=Path, default=ROOT / "var", help="where everything is kept (var/)"
    )
    return parser.parse_args()


def _refuse_taken(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise SystemExit(
                f"Port {port} cannot be used ({error.strerror}). "
                f"Choose another: bin/start --port {port + 1}"
            ) from None


def _set_environment(options: argparse.Namespace) -> None:
    data = options.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    defaults = {
        "SITE_URL": f"http://localhost:{options.port}",
        "LOG_LEVEL": "WARNING",
        "SECRET_KEY": os.environ.get("SECRET_KEY") or _kept_secret(data / "secret-key"),
    }
    os.environ.update(defaults | os.environ | {"ENVIRONMENT": "laptop", "DATA": str(data)})
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"


def _kept_secret(path: Path) -> str:
    """The key of this data folder, made on the first run, readable by its owner only."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()


def _watch_signals() -> threading.Event:
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in _ENDING:
        signal.signal(number, stop)
    return stopping


def _prepare() -> None:
    """Bring the tables up to date and, on the first run, write a paper worth looking at."""
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import call_command
    from django.db import OperationalError, connection

    try:
        django.setup()
        call_command("migrate", verbosity=0)
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None
    except OperationalError as error:
        raise SystemExit(f"The database cannot be used: {error}") from None
    from subscribers.models import Publication

    if not Publication.objects.exists():
        call_command("create_demo", verbosity=0)
    connection.close()


def _commands(port: int) -> Iterator[tuple[str, list[str]]]:
    from django.conf import settings

    run = [sys.executable, "-m"]
    address = f"127.0.0.1:{port}"
    yield "web server", [*run, "gunicorn", "-c", "python:config.gunicorn", "-b", address]
    worker = [*run, "celery", "-A", "config", "-q", "worker", "--loglevel", settings.LOG_LEVEL]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    if settings.EMBEDDED:
        yield "worker", [*worker, "-Q", "urgent,bulk", "-P", "threads", "-c", "4"]
    else:
        yield "urgent worker", [*worker, "-Q", "urgent", "-c", "2", "-n", "urgent@%h"]
        yield "bulk worker", [*worker, "-Q", "bulk", "-c", "2", "-n", "bulk@%h"]


def _attend(parts: list[_Part], stopping: threading.Event, port: int) -> int:
    """Wait until somebody wants an end of it (0), or one of the parts dies (1)."""
    is_told = False
    while not stopping.wait(0.02 if not is_told else 0.2):
        for part in parts:
            if (code := part.exit_code()) is not None:
                print(f"The {part.name} has ended ({code}), so everything is stopped.", flush=True)
                return 1
        if not is_told and _answers(port):
            is_told = True
            _tell_where_to_look()
    return 0


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _tell_where_to_look() -> None:
    from django.conf import settings

    lines = {"The paper": "/", "The newsroom": "/newsroom/"}
    if not (settings.EMAIL_URL or settings.EMAIL_PROVIDER):
        lines["Its mail"] = "/mailbox/"
    for name, path in lines.items():
        print(f"{name + ':':14}{settings.SITE_URL}{path}")
    print("Sign in as    editor, password: harbour lights")
    print("Stop with     Ctrl-C", flush=True)


def _stop(parts: list[_Part], stopping: threading.Event) -> None:
    """Ask all to finish what they have in hand; a second Ctrl-C does not wait for it."""
    stopping.clear()
    for part in parts:
        part.signal(signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_STOP
    while any(part.exit_code() is None for part in parts) and time.monotonic() < deadline:
        if stopping.wait(0.05):
            break
    for part in parts:
        part.kill()


if __name__ == "__main__":
    sys.exit(main())
