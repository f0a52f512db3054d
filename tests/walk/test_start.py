"""`bin/start`: its parts begin and end together, and it says what it needs."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.walk.conftest import ROOT


def children(pid):
    """Of the process and of its children."""
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    direct = [int(word) for word in words]
    return direct + [pid for child in direct for pid in children(child)]


def are_gone(pids, seconds=5):
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("kind", ["embedded", "on_services"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_all_parts_end_together(kind, number, request):
    newsroom = request.getfixturevalue(kind)
    newsroom.wait_for("Stop with")
    parts = children(newsroom.process.pid)

    newsroom.process.send_signal(number)

    assert newsroom.stop() == 0
    assert len(parts) >= 2
    assert are_gone(parts)


@pytest.mark.parametrize("part", [0, 1], ids=["web", "worker"])
def test_when_one_part_dies_the_other_is_stopped(embedded, part):
    embedded.wait_for("Stop with")
    parts = children(embedded.process.pid)
    direct = [pid for pid in parts if os.getpgid(pid) == pid]

    os.kill(direct[part], signal.SIGKILL)

    embedded.wait_for("has ended (-9), so everything is stopped")
    assert embedded.process.wait(timeout=40) == 1
    assert are_gone(parts)


def test_a_second_start_keeps_what_the_first_wrote(start):
    first = start()
    first.wait_for("Stop with")
    first.stop()
    second = start()
    second.wait_for("Stop with")

    assert "Writing a paper" in "".join(first.output)
    assert "Writing a paper" not in "".join(second.output)


def test_a_taken_port_is_said_plainly(start, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr("tests.services.free_port", lambda: port)
        newsroom = start()

        newsroom.wait_for(f"Port {port} cannot be used")

        assert newsroom.process.wait(timeout=40) == 1
    assert f"--port {port + 1}" in newsroom.output[0]
    assert len(newsroom.output) == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}, "The database cannot be used"),
        ({"DATABASE_URL": "mysql://u@h/db"}, "DATABASE_URL must begin with"),
        ({"EMAIL_PROVIDER": "mailgun"}, "Set ANYMAIL_MAILGUN_API_KEY"),
        ({"EMAIL_URL": "relay.example"}, "EMAIL_URL must begin with"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis cannot be reached"),
    ],
)
def test_what_is_wrong_with_the_environment_is_said_plainly(start, variables, words):
    newsroom = start(**variables)

    newsroom.wait_for(words)

    assert newsroom.process.wait(timeout=40) == 1
    assert "Traceback" not in "".join(newsroom.output)


def test_without_any_python_it_says_how_to_get_one(tmp_path):
    """A checkout without .venv, on a machine with a shell and nothing else."""
    checkout, programs = tmp_path / "checkout", tmp_path / "programs"
    (checkout / "bin").mkdir(parents=True)
    programs.mkdir()
    for name in ["start", "venv.sh"]:
        (checkout / "bin" / name).write_text((ROOT / "bin" / name).read_text())
    for name in ["sh", "dirname", "rm", "cmp"]:
        (programs / name).symlink_to(f"/usr/bin/{name}")

    done = subprocess.run(
        ["/bin/sh", checkout / "bin" / "start"],
        env={"PATH": str(programs), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "needs Python 3.12 or newer, or uv" in done.stderr
