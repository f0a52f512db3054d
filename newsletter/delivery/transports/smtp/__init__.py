"""A relay: compiled bytes over kept connections, each a pipelined conversation of our own."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop
from django.conf import settings
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from newsletter.delivery.outcomes import Message, Outbox
from newsletter.delivery.transports.smtp.backend import EmailBackend
from newsletter.delivery.transports.smtp.connections import Connections
from newsletter.delivery.transports.smtp.login import Server

__all__ = ["EmailBackend", "SmtpTransport"]

logger = logging.getLogger(__name__)

# Readers for each connection: one whose dot is out, one whose envelope is, and as many on their
# way to and from the worker's thread.
_EACH = 4
# Threads that sign with RSA, if anything is to be. OpenSSL works beside Python, so that the loop
# goes on talking, on another core if there is one.
_SIGNERS = min(4, os.cpu_count() or 1)


class SmtpTransport:
    """Its connections live on one loop, in a thread of its own."""

    call = 1

    def __init__(self, backend: SmtpBackend, outbox: Outbox) -> None:
        self.in_hand = _EACH * settings.SMTP_CONNECTIONS
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._crashed)
        self._signers = ThreadPoolExecutor(_SIGNERS, thread_name_prefix="dkim")
        self._connections = Connections(
            self._loop, Server(backend), outbox, settings.SMTP_CONNECTIONS, self._signers
        )
        self._thread = threading.Thread(target=self._run, name="smtp", daemon=True)
        self._thread.start()

    def take(self, messages: list[Message], is_ours: Callable[[], bool]) -> None:
        self._loop.call_soon_threadsafe(self._connections.take, messages, is_ours)

    def close(self) -> None:
        self._signers.shutdown()
        self._loop.call_soon_threadsafe(self._connections.close)
        self._thread.join()

    def _run(self) -> None:
        self._loop.call_soon(self._connections.watch)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _crashed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A connection's trouble reaches its conversation; all else is the worker's to die of."""
        crash = context.get("exception") or RuntimeError(context["message"])
        if isinstance(crash, OSError):
            logger.warning("%s: %s", context["message"], crash)
        else:
            self._connections.break_off(crash)
