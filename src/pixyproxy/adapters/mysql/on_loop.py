"""Runs the driver on the event loop: where it would wait for the server, the loop does something else.

A thread that waits for a server gives the interpreter's lock away at every send and receive and has to wait until it
gets it back: with short queries that takes longer than the queries. A greenlet can be left in the middle of a call
without a thread, and so without changing the driver (https://greenlet.readthedocs.io/en/latest/).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

from pixyproxy.adapters._sql.threads import L, Work
from pixyproxy.adapters.mysql.sockets import CONNECT_SECONDS, TLSCapableSocket, unreachable
from pixyproxy.domain.errors import DBConnectionError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")


async def run_on_loop(job: Callable[[], T]) -> T:
    """The result of a job whose sockets are LoopSockets: it is left while they wait, and gone on with afterwards."""
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
        raise RuntimeError("a LoopSocket can wait within run_on_loop only")
    result: T = parent.switch(awaitable)
    return result


def _await(happened: "asyncio.Future[None]", patience: float) -> None:
    """Wait for what is to happen; raises TimeoutError if it does not."""
    timer = happened.get_loop().call_later(patience, _give_up, happened)
    try:
        _leave(happened)
    finally:
        timer.cancel()


class LoopSocket(TLSCapableSocket):
    """A socket that the event loop waits for, `patience` seconds at most each time.

    The loop goes on watching for what comes, since to begin and to end that takes as long as a short read; it ends
    where something comes that nobody waits for, which is the end of the connection.
    """

    patience = 0.0
    _happened: "asyncio.Future[None] | None" = None
    _is_watched = False
    _has_asked = False

    def settimeout(self, value: float | None) -> None:
        """Nothing: it never blocks, and `patience` is its time limit."""

    def close(self) -> None:
        """As the base does."""
        if self._is_watched:
            self._watch_no_more()
        super().close()

    def receive(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """As the base does; raises TimeoutError if nothing comes."""
        while True:
            if self._has_asked:  # of which the answer cannot be there yet
                self._until_readable()
            try:
                return super().receive(buffer, nbytes, flags)
            except BlockingIOError:
                self._has_asked = True

    def transmit(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """As the base does; raises TimeoutError if nothing of the rest can be sent."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.send(rest, flags) :]
            except BlockingIOError:
                self._until_writable()
        self._has_asked = True

    def _until_readable(self) -> None:
        self._has_asked = False
        loop = asyncio.get_running_loop()
        self._happened = loop.create_future()
        if not self._is_watched:
            self._is_watched = True
            loop.add_reader(self.fileno(), self._readable)
        try:
            _await(self._happened, self.patience)
        finally:
            self._happened = None

    def _readable(self) -> None:
        if self._happened is None:
            self._watch_no_more()
        else:
            _happen(self._happened)

    def _watch_no_more(self) -> None:
        self._is_watched = False
        with suppress(RuntimeError):  # the loop is closed, and watches nothing
            asyncio.get_running_loop().remove_reader(self.fileno())

    def _until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        happened = loop.create_future()
        loop.add_writer(self.fileno(), _happen, happened)
        try:
            _await(happened, self.patience)
        finally:
            loop.remove_writer(self.fileno())


def connect_on_loop(host: str, port: int, answer_seconds: float) -> LoopSocket:
    """Connect within CONNECT_SECONDS for each address, for a job in `run_on_loop`.

    Raises pymysql.OperationalError as the driver would.
    """
    try:
        opened = _leave(_open(host, port))
    except OSError as error:
        raise unreachable(error) from error
    opened.patience = answer_seconds
    return opened


async def _open(host: str, port: int) -> LoopSocket:
    loop = asyncio.get_running_loop()
    failure = OSError("it has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        opened = LoopSocket(family, kind, protocol)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(opened, address)
        except OSError as error:
            opened.close()
            failure = error
        except BaseException:
            opened.close()
            raise
        else:
            return opened
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


def _happen(happened: "asyncio.Future[None]") -> None:
    if not happened.done():
        happened.set_result(None)


def _give_up(happened: "asyncio.Future[None]") -> None:
    if not happened.done():
        happened.set_exception(TimeoutError("timed out"))
