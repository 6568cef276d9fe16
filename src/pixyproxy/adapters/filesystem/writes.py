"""Who does the writes of a store: threads, or a process while many small pictures come at once."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: dict[str, asyncio.Future[Any]] = {}
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

    async def close(self) -> None:
        """Wait for work under way and end threads and process."""
        threads, self._threads = self._threads, None
        if self._starting is not None:
            await self._starting
        process, self._process = self._process, None
        if process is not None:
            await process.stop()
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)

    async def put(self, guid: str, data: bytes, sidecar: bytes) -> None:
        """Write both files of an image durably; raises OSError or BlobStoreError."""
        await self._turn(guid)
        if not self._alone and len(self._under_way) >= MANY:
            self._start_process()
        if self._process is not None and (answer := self._process.put(guid, data, sidecar)) is not None:
            with suppress(WriterGoneError):
                await self._until_done(guid, answer)
                return
        await self.run(guid, self._put, guid, data, sidecar)

    async def run(self, guid: str, function: Callable[..., _T], *args: object) -> _T:
        """The result of blocking work that writes for an image."""
        await self._turn(guid)
        return await self._until_done(guid, asyncio.wrap_future(submit(self._threads, function, *args)))

    async def _turn(self, guid: str) -> None:
        """Wait for what is under way for the image: two that interleave could leave one's sidecar with other bytes."""
        while (earlier := self._under_way.get(guid)) is not None:
            await asyncio.wait([earlier])

    async def _until_done(self, guid: str, work: "asyncio.Future[_T]") -> _T:
        self._under_way[guid] = work
        work.add_done_callback(partial(self._forget, guid))
        return await asyncio.shield(work)

    def _forget(self, guid: str, work: "asyncio.Future[Any]") -> None:
        del self._under_way[guid]

    def _put(self, guid: str, data: bytes, sidecar: bytes) -> None:
        self._mount.require()
        self._writer.put(guid, data, sidecar)

    def _start_process(self) -> None:
        loop = asyncio.get_running_loop()
        if self._process is None and self._threads is not None and loop.time() >= self._start_from:
            self._process = WriterProcess(self._mount, threads=WRITERS, on_end=self._process_ended)
            self._starting = loop.create_task(self._started(self._process))

    async def _started(self, process: WriterProcess) -> None:
        try:
            await process.start()
        except OSError as error:
            _log.info("Pictures are written by threads, since no process can be started for it: %s", error)
            self._process_ended(by_itself=True)

    def _process_ended(self, by_itself: bool) -> None:
        self._process = None
        if by_itself:
            self._start_from = asyncio.get_running_loop().time() + RESTART_S
