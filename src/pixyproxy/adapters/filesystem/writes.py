"""Who does the writes of a store: threads, or a process while many small pictures come at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

from pixyproxy.adapters.filesystem.mount import Mount
from pixyproxy.adapters.filesystem.reader import submit
from pixyproxy.adapters.filesystem.writer import Writer
from pixyproxy.adapters.filesystem.writer_process import WriterGoneError, WriterProcess

WRITERS = 12
"""Threads that wait for the disk nearly all of their time: the more wait together, the more one flush does for them."""
MANY = 4
"""With so many writes under way at once a process of their own is worth its memory."""
RESTART_S = 60.0
"""How long after its end, or a start that failed, no process is started."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Writes:
    """Runs the writes of each image one after another, those of different images side by side.

    A write that has begun goes on when its caller is cancelled. With `alone` no process is ever started.
    """

    def __init__(self, writer: Writer, mount: Mount, *, alone: bool) -> None:
        self._writer = writer
        self._mount = mount
        self._alone = alone
        self._is_open = False
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        self._process: WriterProcess | None = None
        self._starting: asyncio.Task[None] | None = None
        self._start_from = 0.0

    @property
    def process(self) -> WriterProcess | None:
        """The process that takes pictures now, if there is one."""
        return self._process if self._process is not None and self._process.ready else None

    def open(self) -> None:
        """Take work from now on."""
        self._threads = ThreadPoolExecutor(WRITERS, "blob-write")
        self._is_open = True

    async def close(self) -> None:
        """Wait for work under way and end process and threads."""
        self._is_open = False
        try:
            if self._starting is not None:
                await asyncio.wait([self._starting])
            if self._process is not None:
                await self._process.stop()
            # Last the threads: what a process leaves undone is theirs.
            while self._under_way:
                await asyncio.wait(tuple(self._under_way.values()))
        finally:
            self._process = None
            threads, self._threads = self._threads, None
            if threads is not None:
                await asyncio.to_thread(threads.shutdown)

    async def put(self, guid: str, data: bytes, sidecar: bytes) -> None:
        """Write both files of an image durably; raises OSError or BlobStoreError."""
        if not self._alone and len(self._under_way) >= MANY:
            self._start_process()
        await self._in_turn(guid, partial(self._put, guid, data, sidecar))

    async def run(self, guid: str, function: Callable[..., _T], *args: object) -> _T:
        """The result of blocking work that writes for an image."""
        return await self._in_turn(guid, partial(self._in_thread, function, *args))

    async def _in_turn(self, guid: str, job: Callable[[], Awaitable[_T]]) -> _T:
        """Do it after whatever else is under way for the image.

        Two that interleave could leave the sidecar of one with the bytes of the other.
        """
        if not self._is_open:
            submit(None, job)  # which says so
        task = asyncio.create_task(_after(self._under_way.get(guid), job))
        self._under_way[guid] = task
        task.add_done_callback(partial(self._forget, guid))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(_report, guid))
            raise

    def _forget(self, guid: str, task: "asyncio.Task[Any]") -> None:
        if self._under_way.get(guid) is task:
            del self._under_way[guid]

    async def _put(self, guid: str, data: bytes, sidecar: bytes) -> None:
        if self._process is not None and (answer := self._process.put(guid, data, sidecar)) is not None:
            with suppress(WriterGoneError):
                await answer
                return
        await self._in_thread(self._put_in_thread, guid, data, sidecar)

    async def _in_thread(self, function: Callable[..., _T], *args: object) -> _T:
        return await asyncio.wrap_future(submit(self._threads, function, *args))

    def _put_in_thread(self, guid: str, data: bytes, sidecar: bytes) -> None:
        self._mount.require()
        self._writer.put(guid, data, sidecar)

    def _start_process(self) -> None:
        loop = asyncio.get_running_loop()
        if self._process is None and self._is_open and loop.time() >= self._start_from:
            self._process = WriterProcess(self._mount, threads=WRITERS, on_end=self._process_ended)
            # In no request's name: what it logs later is not about the one that happens to be the fifth.
            self._starting = loop.create_task(self._started(self._process), context=Context())

    async def _started(self, process: WriterProcess) -> None:
        try:
            await process.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, there are threads
            _log.info("Pictures are written by threads, since no process can be started for it: %s", error)
            self._process_ended(by_itself=True)

    def _process_ended(self, by_itself: bool) -> None:
        self._process = None
        if by_itself:
            self._start_from = asyncio.get_running_loop().time() + RESTART_S


async def _after(earlier: "asyncio.Task[Any] | None", job: Callable[[], Awaitable[_T]]) -> _T:
    if earlier is not None:
        await asyncio.wait([earlier])
    return await job()


def _report(guid: str, task: "asyncio.Task[Any]") -> None:
    """Say what nobody waits to hear."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A write for image %s failed after its caller had gone: %s", guid, error)
