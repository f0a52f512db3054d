"""A newsroom in processes of its own, started as `bin/start` starts it, and somebody to look."""

import os
import queue
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import services

ROOT = Path(__file__).resolve().parent.parent.parent
_ANSWERED_BY_US = {"DATABASE_URL", "REDIS_URL", "EMAIL_URL", "EMAIL_PROVIDER", "SITE_URL", "DATA"}
# What bin/start runs in the end; the environment that it makes is the one we run in.
_START = [sys.executable, "-P", "-m", "config.start"]


@dataclass
class Paper:
    """What `bin/start` says on its first page of output, read as a person would."""

    url: str
    user: str
    password: str


class Newsroom:
    """The process of `bin/start` with its children."""

    def __init__(self, data, **variables):
        self.port = services.free_port()
        kept = {name: value for name, value in os.environ.items() if name not in _ANSWERED_BY_US}
        self.process = subprocess.Popen(
            [*_START, "--port", str(self.port), "--data", str(data)],
            env=kept | variables | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            cwd=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = []
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, words, seconds=60):
        """Wait until it says this."""
        deadline = time.monotonic() + seconds
        while not any(words in line for line in self.output):
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                pytest.fail(f"bin/start did not say {words!r}:\n{''.join(self.output)}")
            self.output.append(line)

    def stop(self):
        """Ask it to end, as Ctrl-C does; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout=40)
        self._reader.join(timeout=10)
        self.process.stdout.close()
        return code

    def paper(self):
        said = "".join(self.output)
        user, password = re.search(r"Sign in as:\s+(\S+), password: (.+)", said).groups()
        return Paper(re.search(r"The paper:\s+(\S+?)/?\s", said)[1], user, password)

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)


@pytest.fixture
def start(tmp_path):
    """Start a newsroom with these variables in its environment; stopped at the end."""
    started = []

    def start(**variables):
        newsroom = Newsroom(tmp_path, **variables)
        started.append(newsroom)
        return newsroom

    yield start
    for newsroom in started:
        newsroom.stop()


@pytest.fixture
def embedded(start):
    """SQLite, the worker's own broker, the local mailbox."""
    return start()


@pytest.fixture
def on_services(start, postgres_url, redis_url):
    """PostgreSQL, and Redis with one worker process for each queue."""
    return start(DATABASE_URL=postgres_url, REDIS_URL=redis_url)


@dataclass
class Reader:
    """Somebody with a browser without JavaScript, who never signs in anywhere."""

    context: object
    page: object
    paper: Paper
    address: str
    requests: list = field(default_factory=list)

    def mail(self, subject, seconds=30):
        """Open the newest mail to the reader with this subject; None if none comes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.page.goto(f"{self.paper.url}/mailbox/?to={self.address}")
            found = self.page.get_by_role("link", name=subject)
            if found.count():
                found.first.click()
                return self.page
            time.sleep(0.3)
        return None

    def letter_links(self):
        """Every link in the mail that is open, HTML and text."""
        html = self.page.frame_locator("iframe").get_by_role("link")
        links = [link.get_attribute("href") for link in html.all()]
        self.page.get_by_role("link", name="As plain text").click()
        links += re.findall(r"https?://\S+", self.page.locator("pre").inner_text())
        self.page.go_back()
        return links


@pytest.fixture
def reader(browser):
    """Make a reader of this paper; afterwards: no cookie was set, nothing was loaded elsewhere."""
    readers = []

    def reader(paper, address):
        context = browser.new_context(java_script_enabled=False, locale="en-GB")
        somebody = Reader(context, context.new_page(), paper, address)
        somebody.page.on("request", lambda request: somebody.requests.append(request.url))
        readers.append(somebody)
        return somebody

    yield reader
    for somebody in readers:
        somebody.context.close()


@pytest.fixture
def desk(browser):
    """Sign an editor in at this paper: a page of the newsroom, with JavaScript."""
    contexts = []

    def desk(paper):
        context = browser.new_context(locale="en-GB")
        contexts.append(context)
        page = context.new_page()
        # Shown where a test fails: what the page complained of, and what it could not load.
        page.on("console", lambda message: print("console:", message.text))
        page.on("pageerror", lambda error: print("error:", error))
        page.on("requestfailed", lambda request: print("failed:", request.url, request.failure))
        page.goto(f"{paper.url}/newsroom/")
        page.get_by_label("User name").or_(page.get_by_label("Username")).fill(paper.user)
        page.get_by_label("Password").fill(paper.password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Campaigns").wait_for()
        return page

    yield desk
    for context in contexts:
        context.close()


def scan(links, base):
    """What link scanners do: fetch every address with GET and with HEAD, cookies thrown away."""
    for link in links:
        if link.startswith(base):
            for method in ["GET", "HEAD"]:
                request = urllib.request.Request(link, method=method)
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert "Set-Cookie" not in answer.headers
