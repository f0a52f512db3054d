"""On what it was measured."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests import services

_PACKAGES = ["django", "celery", "psycopg", "uvloop"]


def described() -> dict[str, str | int]:
    return {
        "cpu": _line_of("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count() or 0,
        "memory": f"{int(_line_of('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.1f} GiB",
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """Of what takes part; empty where it is not installed."""
    return {
        "python": platform.python_version(),
        "postgresql": _said_by(_postgres()),
        "redis": _said_by("redis-server"),
        **{package: version(package) for package in _PACKAGES},
    }


def _line_of(path: str, name: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _postgres() -> str:
    try:
        return str(services.postgres_programs() / "postgres")
    except services.MissingProgramError:
        return ""


def _said_by(program: str) -> str:
    if not program or not shutil.which(program):
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+(\.\d+)+", said.stdout)
    return found[0] if found else ""
