"""A stretch of network between the workers and PostgreSQL that can be cut and frozen."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import cast

# Which way a piece of the conversation goes.
QUESTION, ANSWER = "question", "answer"


class Proxy:
    """Listens on `port`. Everything may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self._loop = loop
        self._target = target
        self._ends: set[_End] = set()
        self._is_cut = self._is_frozen = False
        self._cuts: Iterator[tuple[str, int]] = iter(())
        self._next: tuple[str, int] | None = None
        # Pieces since the last cut, by the way they went.
        self._passed = {QUESTION: 0, ANSWER: 0}
        self.port = 0

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self._is_cut = True
        self._do(self._break_all)

    def freeze(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._is_frozen = True

    def restore(self) -> None:
        self._is_cut = self._is_frozen = False
        self._do(self._thaw)

    def cut_in_turn(self, places: Iterator[tuple[str, int]]) -> None:
        """Break all connections at the n-th piece that goes this way, instead of passing it on;
        then so at the next place, counted anew."""
        self._cuts = places
        self._do(self._aim)

    @property
    def is_through(self) -> bool:
        """All places have been cut at."""
        return self._next is None

    async def listen(self) -> None:
        self._listener = await self._loop.create_server(
            lambda: _End(self, None, QUESTION), "127.0.0.1", self.port
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._listener.close()
        self._break_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    def lets_in(self) -> bool:
        return not self._is_cut

    def lets_pass(self, way: str) -> bool:
        """False if it stays where it is."""
        self._passed[way] += 1
        if self._next == (way, self._passed[way]):
            self._break_all()
            self._aim()
            return False
        return not self._is_frozen

    async def reach(self, end: "_End") -> None:
        with contextlib.suppress(OSError):
            await self._loop.create_connection(
                lambda: _End(self, end, ANSWER), "127.0.0.1", self._target
            )
            return
        end.break_()

    def met(self, end: "_End") -> None:
        self._ends.add(end)

    def lost(self, end: "_End") -> None:
        self._ends.discard(end)

    def _aim(self) -> None:
        self._next = next(self._cuts, None)
        self._passed = {QUESTION: 0, ANSWER: 0}

    def _break_all(self) -> None:
        for end in list(self._ends):
            end.break_()

    def _thaw(self) -> None:
        for end in list(self._ends):
            end.go_on()

    def _do(self, step: Callable[[], None]) -> None:
        asyncio.run_coroutine_threadsafe(_call(step), self._loop).result(timeout=10)


class _End(asyncio.Protocol):
    """One end of a connection that goes through: ours with the worker, or with PostgreSQL."""

    def __init__(self, proxy: Proxy, other: "_End | None", way: str) -> None:
        self._proxy = proxy
        self._other = other
        self._way = way
        self._kept: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._proxy.met(self)
        if self._other:
            self._other.meet(self)
        elif self._proxy.lets_in():
            self._reaching = asyncio.ensure_future(self._proxy.reach(self))
        else:
            self.break_()

    def meet(self, other: "_End") -> None:
        self._other = other
        self.go_on()

    def data_received(self, piece: bytes) -> None:
        if not self._proxy.lets_pass(self._way) or self._other is None:
            self._kept.append(piece)
        else:
            self._other.write(piece)

    def go_on(self) -> None:
        if self._other:
            kept, self._kept = self._kept, []
            for piece in kept:
                self._other.write(piece)

    def write(self, piece: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(piece)

    def break_(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._proxy.lost(self)
        if self._other:
            self._other.break_()


async def _call(step: Callable[[], None]) -> None:
    step()


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A way to this port of this machine, until the block is left."""
    loop = asyncio.new_event_loop()
    way = Proxy(loop, target)
    loop.run_until_complete(way.listen())
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    try:
        yield way
    finally:
        asyncio.run_coroutine_threadsafe(way.close(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()
