"""`bin/start`: one newsroom on this machine, web and Celery workers, stopped together."""

import argparse
import importlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

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
    welcome = _welcome()
    parts = list(_parts(options.port))
    try:
        return _attend(parts, stopping, options.port, welcome)
    finally:
        _stop(parts, stopping)


class _Part:
    """A process of our own making, in a session of its own: Ctrl-C reaches us, we end it."""

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        self.name = name
        # A fork, so that the imports are done once for all: a start takes half as long.
        self._pid = os.fork()
        self._exit_code: int | None = None
        if self._pid == 0:
            self._become(run)

    def exit_code(self) -> int | None:
        """None while it runs."""
        if self._exit_code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._exit_code = os.waitstatus_to_exitcode(status) if pid else None
        return self._exit_code

    def ask_to_end(self) -> None:
        if self.exit_code() is None:
            os.kill(self._pid, signal.SIGTERM)

    def kill(self) -> None:
        """With all its children, whether it is still there or not."""
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        if self._exit_code is None:
            os.waitpid(self._pid, 0)

    def _become(self, run: Callable[[], object]) -> NoReturn:
        os.setsid()
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        try:
            run()
        except SystemExit as error:
            os._exit(error.code if isinstance(error.code, int) else bool(error.code))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


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
    from django.db import OperationalError

    try:
        django.setup()
        _refuse_silent_redis()
        _fill()
        # Loads all that serves pages, and refuses what the system checks call an error.
        importlib.import_module("config.wsgi")
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None
    except OperationalError as error:
        raise SystemExit(f"The database cannot be used: {error}") from None


def _refuse_silent_redis() -> None:
    from django.conf import settings

    if settings.EMBEDDED:
        return
    import redis

    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5) as client:
            client.ping()
    except redis.RedisError as error:
        raise SystemExit(f"Redis cannot be reached: {error}") from None


def _fill() -> None:
    from django.core.management import call_command

    from subscribers.models import Publication

    call_command("migrate", verbosity=0, skip_checks=True)
    if not Publication.objects.exists():
        print("Writing a paper for the first run ...", flush=True)
        call_command("create_demo", verbosity=0)


def _parts(port: int) -> Iterator[_Part]:
    from django.conf import settings

    yield _Part("web server", partial(_serve, f"127.0.0.1:{port}"))
    if settings.EMBEDDED:
        yield _Part("worker", partial(_work, "-Q", "urgent,bulk", "-P", "threads", "-c", "4"))
    else:
        yield _Part("urgent worker", partial(_work, "-Q", "urgent", "-c", "2", "-n", "urgent@%h"))
        yield _Part("bulk worker", partial(_work, "-Q", "bulk", "-c", "2", "-n", "bulk@%h"))


def _serve(address: str) -> None:
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "-c", "python:config.gunicorn", "-b", address]
    run()


def _work(*options: str) -> None:
    from celery.exceptions import SecurityWarning
    from celery.signals import worker_shutting_down
    from django.conf import settings

    from config import celery_app

    # It warns root of pickled tasks; ours are JSON.
    warnings.simplefilter("ignore", SecurityWarning)
    if settings.EMBEDDED:
        worker_shutting_down.connect(_leave_when_idle)
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", settings.LOG_LEVEL]
    celery_app.worker_main(["--quiet", "worker", *quiet, *options])


def _leave_when_idle(**_: object) -> None:
    """Celery would look up from a broker in memory only every two seconds, and twice."""
    threading.Thread(target=_wait_and_leave, daemon=True).start()


def _wait_and_leave() -> None:
    from celery.worker import state

    while state.active_requests:
        time.sleep(0.02)
    # Nothing is lost: what is due stands in the tables.
    os._exit(0)


def _attend(parts: list[_Part], stopping: threading.Event, port: int, welcome: str) -> int:
    """Wait until somebody wants an end of it (0), or one of the parts dies (1)."""
    is_told = False
    while not stopping.wait(0.02 if not is_told else 0.2):
        for part in parts:
            if (code := part.exit_code()) is not None:
                print(f"The {part.name} has ended ({code}), so everything is stopped.", flush=True)
                return 1
        if not is_told and _answers(port):
            is_told = True
            print(welcome, flush=True)
    return 0


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _welcome() -> str:
    """Where to look, and how to sign in."""
    from django.conf import settings
    from django.db import connection

    from newsletter.demo import paper
    from subscribers.models import Publication

    lines = {
        "The paper": f"{settings.SITE_URL}/",
        "The newsroom": f"{settings.SITE_URL}/newsroom/",
        "Its mail": f"{settings.SITE_URL}/mailbox/",
        "Sign in as": f"{paper.EDITOR}, password: {paper.LAPTOP_PASSWORD}",
        "Stop with": "Ctrl-C",
    }
    if settings.EMAIL_URL or settings.EMAIL_PROVIDER:
        del lines["Its mail"]
    if Publication.objects.current().name != paper.PUBLICATION["name"]:
        del lines["Sign in as"]
    # A connection must not be shared with the processes to come.
    connection.close()
    return "\n".join(f"{name + ':':14}{value}" for name, value in lines.items())


def _stop(parts: list[_Part], stopping: threading.Event) -> None:
    """Ask all to finish what they have in hand; a second Ctrl-C does not wait for it."""
    stopping.clear()
    for part in parts:
        part.ask_to_end()
    deadline = time.monotonic() + SECONDS_TO_STOP
    while any(part.exit_code() is None for part in parts) and time.monotonic() < deadline:
        if stopping.wait(0.05):
            break
    for part in parts:
        part.kill()


if __name__ == "__main__":
    sys.exit(main())
