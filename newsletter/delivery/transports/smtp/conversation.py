"""One connection's talk with a server: letter after letter, two of them at a time."""

import asyncio
import time
from collections import deque
from typing import Protocol, cast

from django.utils.translation import gettext as _

from newsletter import faults
from newsletter.delivery.outcomes import Fate, Outcome, sent, unwritable
from newsletter.delivery.transports.smtp.letters import Letter
from newsletter.delivery.transports.smtp.login import Offers
from newsletter.delivery.transports.smtp.replies import BrokenReplyError, Replies, Reply
from newsletter.faults import Fault

# Seconds that we wait for the answer to a final dot: many servers look for viruses first.
FINAL_DOT = 120
# And once this worker is told to stop.
FINAL_DOT_AT_STOP = 20
# Unused for so long, a connection is given back.
IDLE = 60


class Desk(Protocol):
    """Where letters come from, and where their outcomes go."""

    def next(self, conversation: "Conversation", *, is_first: bool) -> Letter | None: ...

    def settle(self, outcome: Outcome) -> None: ...

    def judge(self, letter: Letter, fault: Fault, code: str, words: str) -> None: ...

    def disown(self, letter: Letter) -> None: ...

    def take_back(self, letter: Letter) -> None: ...

    def say_again(self, letter: Letter) -> None: ...

    def makes_do_without(self, conversation: "Conversation") -> bool: ...

    def rest(self, conversation: "Conversation") -> None: ...

    def leave(self, conversation: "Conversation") -> None: ...

    def forget(self, conversation: "Conversation") -> None: ...


class Conversation(asyncio.Protocol):
    """With PIPELINING the next envelope travels with this body, so that a letter costs one round
    trip; without, each command waits for its answer."""

    def __init__(self, desk: Desk, offers: Offers, timeout: float) -> None:
        self._desk = desk
        self._offers = offers
        self._timeout = timeout
        self._replies = Replies()
        # What was said and is not answered, and what is to be said once that is.
        self._awaited: deque[str] = deque()
        self._unsaid: deque[tuple[str, str]] = deque()
        # The letter whose final dot is out, and the one whose envelope is.
        self._dotted: Letter | None = None
        self._ahead: Letter | None = None
        self._is_first = True
        # Whoever hangs up on a fresh connection means the letter; later, the connection.
        self._is_fresh = True
        self._is_spoilt = False
        self._is_gone = False
        self._since = time.monotonic()

    # The loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, chunk: bytes) -> None:
        try:
            for reply in self._replies.read(chunk):
                if self._is_gone:
                    return
                self._hear(reply)
        except BrokenReplyError as error:
            self.lose(str(error))

    def eof_received(self) -> None:
        self.lose("Connection unexpectedly closed")

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(str(error or "Connection unexpectedly closed"))
        self._desk.forget(self)

    # The desk's side.

    def go_on(self) -> None:
        """With the next letter, if there is one. Only where no envelope is out."""
        if commands := self._next_envelope():
            self._since = time.monotonic()
            self._transport.write(commands)

    def look_at_clock(self, now: float, stopping_since: float | None) -> None:
        """Waiting and idleness have an end."""
        if now < self._deadline(stopping_since):
            return
        if self._awaited:
            self.lose("timed out")
        else:
            self.quit()

    def quit(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
            self._desk.leave(self)

    def lose(self, words: str) -> None:
        """The connection is of no more use. After its final dot, who knows about a letter."""
        if self._is_gone:
            return
        self._hang_up()
        if self._dotted:
            self._desk.settle(Outcome(self._dotted.reader, Fate.UNCERTAIN, "", words))
            self._give_back(self._ahead)
        elif self._ahead:
            self._lost_over(self._ahead, Fault.PROVIDER, "", words)
        self._desk.leave(self)

    # What is heard.

    def _hear(self, reply: Reply) -> None:
        self._since = time.monotonic()
        step = self._awaited.popleft() if self._awaited else ""
        if reply.code == b"421" or not step:
            self._turned_out(step, reply)
        elif step == "dot":
            self._heard_dot(reply)
        elif step == "data":
            self._heard_data(reply)
        elif step == "lone dot":
            self.go_on()
        elif step != "rset" and reply.kind != b"2":
            self._refused(step, reply)
        elif self._unsaid:
            self._transport.write(self._said())

    def _heard_dot(self, reply: Reply) -> None:
        letter, self._dotted = cast(Letter, self._dotted), None
        self._is_fresh = False
        code, words = reply.answer()
        if reply.kind == b"2":
            self._desk.settle(sent(letter.reader, words))
        elif reply.kind == b"3":
            self._dotted = letter
            self.lose(f"{code} {words}")
            return
        else:
            self._judge(letter, "data", code, words)
        if not self._awaited:
            self.go_on()

    def _heard_data(self, reply: Reply) -> None:
        if reply.kind != b"3":
            self._refused("data", reply)
        elif self._ahead:
            self._hand_in(self._ahead)
        else:
            # RFC 2920, 3.1: it refused the recipient and wants a message all the same.
            self._transport.write(b".\r\n")
            self._awaited.append("lone dot")

    def _hand_in(self, letter: Letter) -> None:
        self._ahead, self._dotted = None, letter
        self._awaited.append("dot")
        following = self._next_envelope() if self._offers.pipelining else b""
        if not letter.is_ours():
            self._hang_up()
            self._give_back(self._ahead)
            self._desk.disown(letter)
            self._desk.leave(self)
            return
        self._transport.writelines((letter.body, following))

    def _refused(self, step: str, reply: Reply) -> None:
        """What is left of the envelope means nothing any more, nor do its answers."""
        letter, self._ahead = self._ahead, None
        self._is_spoilt, self._is_fresh = True, False
        self._unsaid.clear()
        if letter:
            self._judge(letter, step, *reply.answer())
        if not self._awaited:
            self.go_on()

    def _turned_out(self, step: str, reply: Reply) -> None:
        """421, or words without a question: the server is going away."""
        code, words = reply.answer()
        self._hang_up()
        answered, behind = (self._dotted, self._ahead) if self._dotted else (self._ahead, None)
        self._give_back(behind)
        if answered and self._is_fresh and self._desk.makes_do_without(self):
            self._give_back(answered)
        elif answered:
            fault = self._fault(answered, _STEPS.get(step, step), code, words)
            self._lost_over(answered, fault, code, words)
        self._desk.leave(self)

    # What is said.

    def _next_envelope(self) -> bytes:
        while letter := self._desk.next(self, is_first=self._is_first):
            if self._is_filled(letter):
                self._ahead, self._is_first = letter, False
                self._unsaid.extend(self._envelope(letter))
                return self._said()
        self._is_first = self._is_fresh = False
        self._desk.rest(self)
        return b""

    def _is_filled(self, letter: Letter) -> bool:
        """If not, it has its outcome."""
        try:
            letter.fill()
        except Exception as error:  # One bad row must not stop those behind it.
            self._desk.settle(unwritable(letter.reader, error))
            return False
        if self._offers.largest and len(letter.body) > self._offers.largest:
            words = _("The message is larger than the mail server takes.")
            self._desk.judge(letter, Fault.SENDER, "552 5.3.4", words)
            return False
        if not letter.reader.address.isascii() and not self._offers.smtputf8:
            words = _("The mail server takes no addresses with special letters (SMTPUTF8).")
            self._desk.judge(letter, Fault.RECIPIENT, "553 5.6.7", words)
            return False
        return True

    def _envelope(self, letter: Letter) -> list[tuple[str, str]]:
        address = letter.reader.address
        size = "" if self._offers.largest is None else f" SIZE={len(letter.body)}"
        utf8 = "" if address.isascii() else " SMTPUTF8"
        envelope = [
            ("mail", f"MAIL FROM:<{letter.sender}>{size}{utf8}\r\n"),
            ("rcpt", f"RCPT TO:<{address}>\r\n"),
            ("data", "DATA\r\n"),
        ]
        if self._is_spoilt:
            # The next letter must not meet what is left of the last one.
            envelope.insert(0, ("rset", "RSET\r\n"))
            self._is_spoilt = False
        return envelope

    def _said(self) -> bytes:
        """As much as may be said at once."""
        count = len(self._unsaid) if self._offers.pipelining else 1
        said = [self._unsaid.popleft() for _command in range(count)]
        self._awaited.extend(step for step, _command in said)
        return "".join([command for _step, command in said]).encode()

    # How it ends.

    def _hang_up(self) -> None:
        self._is_gone = True
        self._transport.abort()

    def _give_back(self, letter: Letter | None) -> None:
        if letter:
            self._desk.take_back(letter)

    def _lost_over(self, letter: Letter, fault: Fault, code: str, words: str) -> None:
        """It is said once more, unless it was the first over this connection, or was before."""
        if self._is_fresh or letter.is_said_again:
            self._desk.judge(letter, fault, code, words)
        else:
            letter.is_said_again = True
            self._desk.say_again(letter)

    def _judge(self, letter: Letter, step: str, code: str, words: str) -> None:
        self._desk.judge(letter, self._fault(letter, step, code, words), code, words)

    def _fault(self, letter: Letter, step: str, code: str, words: str) -> Fault:
        return faults.of_smtp(step, code, words, letter.reader.mailbox_provider)

    def _deadline(self, stopping_since: float | None) -> float:
        if not self._awaited:
            return self._since + IDLE
        if not self._dotted:
            return self._since + self._timeout
        if stopping_since is None:
            return self._since + FINAL_DOT
        told = max(self._since, stopping_since)
        return min(self._since + FINAL_DOT, told + FINAL_DOT_AT_STOP)


# As the rules of faults call them.
_STEPS = {"dot": "data", "rset": "mail", "lone dot": "data"}
