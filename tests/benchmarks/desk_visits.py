"""An editor who looks at pages of the newsroom, and how long each takes."""

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from tests.benchmarks.processes import FailedError

# What desk.found made.
NAME, PASSWORD = "editor", "harbour lights"
_PAGES = ["/newsroom/", "/newsroom/articles/", "/newsroom/readers/", "/newsroom/sign-ups/"]


class Editor:
    """Signed in at the web server on this port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.milliseconds: list[float] = []
        self._error: Exception | None = None

    @contextmanager
    def visiting(self, pause: float) -> Iterator["Editor"]:
        """One page after the other with so many seconds between, until the block is left."""
        cookies = self._signed_in()
        stopping = threading.Event()
        thread = threading.Thread(target=self._visit, args=(cookies, pause, stopping), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stopping.set()
            thread.join()
        if self._error:
            raise self._error

    def _visit(self, cookies: dict[str, str], pause: float, stopping: threading.Event) -> None:
        try:
            while not stopping.wait(pause):
                path = _PAGES[len(self.milliseconds) % len(_PAGES)]
                began = time.monotonic()
                self._look(path, cookies)
                self.milliseconds.append((time.monotonic() - began) * 1000)
        except (FailedError, OSError, http.client.HTTPException) as error:
            self._error = error

    def _look(self, path: str, cookies: dict[str, str]) -> None:
        answer = self._ask("GET", path, cookies)
        if answer.status != http.HTTPStatus.OK:
            raise FailedError(f"{path} was answered with {answer.status}.")

    def _signed_in(self) -> dict[str, str]:
        page = self._ask("GET", "/newsroom/sign-in/", {})
        cookies = _cookies(page)
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.body)
        assert token
        told = {"csrfmiddlewaretoken": token[1], "username": NAME, "password": PASSWORD}
        return cookies | _cookies(self._ask("POST", "/newsroom/sign-in/", cookies, urlencode(told)))

    def _ask(
        self, method: str, path: str, cookies: dict[str, str], body: str | None = None
    ) -> "_Page":
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            written = "; ".join(f"{name}={value}" for name, value in cookies.items())
            headers = {"Cookie": written, "Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return _Page(answer, answer.read().decode())
        finally:
            connection.close()


class _Page:
    def __init__(self, answer: http.client.HTTPResponse, body: str) -> None:
        self.status, self.body = answer.status, body
        self.set_cookies = answer.headers.get_all("Set-Cookie") or []


def _cookies(page: _Page) -> dict[str, str]:
    pairs = [cookie.partition(";")[0].partition("=") for cookie in page.set_cookies]
    return {name: value for name, _sign, value in pairs}
