"""A small IMAP server (RFC 3501) on a real socket, with one mailbox and what it keeps of it."""

import contextlib
import re
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Kept:
    """One message, and its flags."""

    raw: bytes
    flags: set[str] = field(default_factory=set)

    @property
    def is_seen(self) -> bool:
        return "\\Seen" in self.flags


@dataclass
class ImapServer:
    """`messages` by their numbers; `commands` as they were given, without tags and passwords."""

    tls: ssl.SSLContext
    begins_with_tls: bool = True
    user: str = "bounces"
    password: str = "p/ss:w@rd"
    mailbox: str = "INBOX"
    messages: dict[int, Kept] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    # Before this command the connection is cut.
    dies_at: str = ""
    port: int = 0

    def add(self, *raws: bytes) -> None:
        for raw in raws:
            self.messages[len(self.messages) + 1] = Kept(raw.replace(b"\n", b"\r\n"))

    @property
    def url(self) -> str:
        scheme = "imaps" if self.begins_with_tls else "imap"
        return f"{scheme}://{self.user}@localhost:{self.port}/{self.mailbox}"

    def seen(self) -> list[int]:
        return [number for number, kept in self.messages.items() if kept.is_seen]


@contextlib.contextmanager
def serving(server: ImapServer) -> Iterator[ImapServer]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            # Who gives up on us in the middle is part of what is tested.
            with contextlib.suppress(OSError):
                _Conversation(self.request, server).hold()

    listener = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


class _Conversation:
    def __init__(self, connection, server: ImapServer) -> None:
        self._server = server
        self._connection = connection
        if server.begins_with_tls:
            self._begin_tls()
        self._lines = self._connection.makefile("rb")

    def hold(self) -> None:
        self._say("* OK ready")
        while line := self._lines.readline():
            tag, command = line.decode().rstrip("\r\n").split(" ", 1)
            name = command.upper()
            shown = command if not name.startswith("LOGIN") else "LOGIN"
            self._server.commands.append(shown)
            if self._server.dies_at and self._server.dies_at in name:
                break
            answer = self._answer(command, name)
            self._say(f"{tag} {answer}")
            if name == "STARTTLS":
                self._begin_tls()
                self._lines = self._connection.makefile("rb")
            if name == "LOGOUT":
                break
        self._lines.close()
        self._connection.close()

    def _answer(self, command: str, name: str) -> str:
        match name.split()[0]:
            case "CAPABILITY":
                starttls = "" if self._server.begins_with_tls else " STARTTLS"
                self._say(f"* CAPABILITY IMAP4rev1{starttls}")
            case "LOGIN" if not command.endswith(f' "{self._server.password}"'):
                return "NO [AUTHENTICATIONFAILED] wrong"
            case "SELECT" if command.split(" ", 1)[1].strip('"') != self._server.mailbox:
                return "NO [NONEXISTENT] There is no such mailbox."
            case "SELECT":
                self._say(f"* {len(self._server.messages)} EXISTS")
            case "UID":
                self._uid(*command.split(" ", 3)[1:])
            case "LOGOUT":
                self._say("* BYE")
        return "OK done"

    def _uid(self, command: str, numbers: str, rest: str = "") -> None:
        match command.upper():
            case "SEARCH":
                first, last = numbers.removeprefix("(").split(":")
                span = range(
                    int(first), len(self._server.messages) + 1 if last == "*" else int(last) + 1
                )
                messages = list(self._server.messages.items())
                found = [messages[place - 1] for place in span]
                unseen = [str(number) for number, kept in found if not kept.is_seen]
                self._say(" ".join(["* SEARCH", *unseen]))
            case "FETCH":
                for number in map(int, numbers.split(",")):
                    self._fetch(number, rest)
            case "STORE":
                for number in map(int, numbers.split(",")):
                    self._server.messages[number].flags |= set(re.findall(r"\\\w+", rest))

    def _fetch(self, number: int, what: str) -> None:
        kept = self._server.messages.get(number)
        if kept is None:
            return
        if ".PEEK" not in what.upper():
            kept.flags.add("\\Seen")
        largest = int(re.search(r"<0\.(\d+)>", what)[1])
        raw = kept.raw[:largest]
        self._connection.sendall(
            b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%b)\r\n" % (number, number, len(raw), raw)
        )

    def _begin_tls(self) -> None:
        self._connection = self._server.tls.wrap_socket(self._connection, server_side=True)

    def _say(self, line: str) -> None:
        self._connection.sendall(f"{line}\r\n".encode())
