"""Runs the driver on the event loop: where it would wait for the server, the loop does something else.

A thread that waits for a server gives the interpreter's lock away at every send and receive and has to wait until it
gets it back: with short queries that takes longer than the queries. A greenlet can be left in the middle of a call
without a thread, and so without changing the driver (https://greenlet.readthedocs.io/en/latest/).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from greenlet import getcurrent, greenlet

from pixyproxy.adapters.mysql.sockets import CONNECT_SECONDS, TLSCapable, unreachable
from pixyproxy.adapters.sql.connection_pool import L, Work
from pixyproxy.domain.errors import DBConnectionError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")


async def run_on_loop(job: Callable[[], T]) -> T:
    """The result of a job whose sockets are LoopStreams: it is left while they wait, and gone on with afterwards."""
    worker = greenlet(job)
    step: Any = worker.switch()
    while not worker.dead:
        try:
            value = await step
        except BaseException as error:  # noqa: BLE001 - also a cancellation is for the job to tidy up after
            step = worker.throw(error)
        else:
            step = worker.switch(value)
    result: T = step
    return result


def _leave(awaitable: Awaitable[T]) -> T:
    """The result of something awaitable, for a job in `run_on_loop`."""
    parent = getcurrent().parent
    if parent is None:
        raise RuntimeError("a LoopStream can wait within run_on_loop only")
    result: T = parent.switch(awaitable)
    return result


class LoopStream(TLSCapable, asyncio.Protocol):
    """What the driver takes for a socket: the loop sends and receives for it, `patience` seconds at most each time.

    A socket of Python's own gives the interpreter's lock away at each call, and where threads want it too has to wait
    for it; and it would find out only by trying that there is nothing yet.
    """

    patience = 0.0

    def __init__(self) -> None:
        self._received = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._is_full = self._is_at_end = False
        self._failure: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As the base does."""
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """As the base does."""
        self._received += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """As the base does."""
        self._is_at_end, self._failure, self._is_full = True, exc, False
        self._wake()

    def pause_writing(self) -> None:
        """As the base does."""
        self._is_full = True

    def resume_writing(self) -> None:
        """As the base does."""
        self._is_full = False
        self._wake()

    def settimeout(self, value: float | None) -> None:
        """Nothing: `patience` is the time limit."""

    def close(self) -> None:
        """Close, without waiting for what is not sent yet if nobody takes it."""
        if self._transport is not None:
            if self._is_full:
                self._transport.abort()
            else:
                self._transport.close()

    def makefile(self, mode: str) -> "LoopStream":
        """Itself: the driver reads from a file of its socket, and closes both at once."""
        return self

    def receive(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """As the base does."""
        while not self._received:
            if self._is_at_end:
                if self._failure is not None:
                    raise self._failure
                return 0
            self._wait()
        target = memoryview(buffer)
        count = min(nbytes or len(target), len(self._received))
        target[:count] = self._received[:count]
        del self._received[:count]
        return count

    def read(self, nbytes: int) -> bytes:
        """So many bytes, fewer at the end of the connection."""
        received = self._received
        if self._tls is None:
            while len(received) < nbytes and not self._is_at_end:
                self._wait()
            if len(received) >= nbytes:
                data = bytes(received[:nbytes])
                del received[:nbytes]
                return data
        buffer, have = bytearray(nbytes), 0
        while have < nbytes and (count := self.recv_into(memoryview(buffer)[have:])):
            have += count
        return bytes(buffer[:have])

    def transmit(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """As the base does."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise BrokenPipeError("the connection is closed")
        transport.write(data)  # type: ignore[arg-type]  # whatever the driver sends is bytes
        while self._is_full:
            self._wait()

    def _wait(self) -> None:
        """Until something happens; raises TimeoutError if nothing does."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        timer = loop.call_later(self.patience, self._wake, TimeoutError("timed out"))
        try:
            _leave(waiting)
        finally:
            timer.cancel()
            self._waiting = None

    def _wake(self, failure: Exception | None = None) -> None:
        if self._waiting is None or self._waiting.done():
            return
        if failure is None:
            self._waiting.set_result(None)
        else:
            self._waiting.set_exception(failure)


def connect_on_loop(host: str, port: int, answer_seconds: float) -> LoopStream:
    """Connect within CONNECT_SECONDS for each address, for a job in `run_on_loop`.

    Raises pymysql.OperationalError as the driver would.
    """
    try:
        opened = _leave(_open(host, port))
    except OSError as error:
        raise unreachable(error) from error
    opened.patience = answer_seconds
    return opened


async def _open(host: str, port: int) -> LoopStream:
    loop = asyncio.get_running_loop()
    failure = OSError("it has no address")
    for family, _, _, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, opened = await loop.create_connection(LoopStream, str(address[0]), int(address[1]), family=family)
                return opened
        except OSError as error:
            failure = error
    raise failure


class ConnectionOnLoop(Generic[L]):
    """One link for work that is done on the event loop, one piece after the other."""

    def __init__(self, make_link: Callable[[], L]) -> None:
        self._make_link = make_link
        self._link: L | None = None
        self._turn: asyncio.Lock | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take work from now on; the link is made when the first needs it."""
        self._turn = asyncio.Lock()

    async def stop(self) -> None:
        """Let what runs come to its end, fail what waits, and close the link."""
        self._turn = None
        if self._tasks:
            await asyncio.wait(self._tasks)
        link, self._link = self._link, None
        if link is not None:
            await run_on_loop(link.close)

    def put(self, work: Work[L]) -> None:
        """Have work done in its turn; raises DBConnectionError if this was not started."""
        if self._turn is None:
            raise DBConnectionError("The database is not open.")
        task = asyncio.get_running_loop().create_task(self._do(work, self._turn))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, work: Work[L], turn: asyncio.Lock) -> None:
        result, failure = None, None
        async with turn:
            if self._turn is not turn:
                work.fail("The database was closed meanwhile.")
                return
            try:
                if work.is_wanted():
                    link = self._link = self._link or self._make_link()
                    result = await run_on_loop(lambda: work.run(link))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                failure = error
        work.settle(result, failure)
