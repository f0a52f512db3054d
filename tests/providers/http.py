"""HTTP/1.1 with connections that are kept, in as few lines and cycles as will do."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from io import BufferedIOBase
from typing import NamedTuple

from tests.providers.conversation import SILENCE, Answer, Lost

Answering = Callable[[str, str, dict[str, str], bytes], Answer | Lost]


class _Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answering) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answering = answer
        self.is_over = threading.Event()
        self.open: set[socket.socket] = set()

    def hang_up(self) -> None:
        """On everybody, so that no thread waits for another request."""
        self.is_over.set()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        raise


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self.server.open.add(self.connection)
        # Who gives up waiting for an answer resets the connection.
        with contextlib.suppress(ConnectionError):
            while request := _read(self.rfile):
                answer = self.server.answering(*request)
                if isinstance(answer, Lost):
                    self._lose(answer)
                    return
                self.wfile.write(_raw(answer))

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def _lose(self, answer: Lost) -> None:
        if answer is SILENCE:
            self.server.is_over.wait()


def _read(stream: BufferedIOBase) -> _Request | None:
    """None: the other side has hung up."""
    method, _space, rest = stream.readline().decode("latin-1").partition(" ")
    if not rest:
        return None
    headers = {}
    while line := stream.readline().decode("latin-1").rstrip("\r\n"):
        name, _colon, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return _Request(method, rest.partition(" ")[0], headers, body)


def _raw(answer: Answer) -> bytes:
    body = answer.raw
    kind = "text/plain" if isinstance(answer.body, str) else "application/json"
    headers = {"Content-Type": kind, "Content-Length": str(len(body)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@contextlib.contextmanager
def serving(answer: Answering) -> Iterator[str]:
    """The address at which these answers are given, until the block is left."""
    with _Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.hang_up()
            thread.join()
