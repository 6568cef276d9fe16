"""Threads for the writes of a store, in order for each image."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from pixyproxy.adapters.filesystem.reader import submit

WRITERS = 12
"""Threads that wait for the disk most of the time: flushes that wait together share one write of the disk's journal."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Writes:
    """Runs the writes of one image one after another, and those of different images side by side.

    A write goes on when its caller is cancelled.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: dict[str, asyncio.Task[Any]] = {}

    def open(self) -> None:
        """Start the threads."""
        self._threads = ThreadPoolExecutor(WRITERS, "blob-write")
        self._is_open = True

    async def close(self) -> None:
        """Wait for the writes under way and end the threads."""
        self._is_open = False
        while self._under_way:
            await asyncio.wait(tuple(self._under_way.values()))
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)

    async def run(self, guid: str, function: Callable[..., _T], *args: object) -> _T:
        """Run a blocking write of an image after the earlier ones and return its result.

        Two that interleave could leave the sidecar of one with the bytes of the other.
        Raises BlobStoreError if the store is not open, and whatever the function raises.
        """
        if not self._is_open:
            submit(None, function)
        task = asyncio.create_task(self._run_after(self._under_way.get(guid), function, *args))
        self._under_way[guid] = task
        task.add_done_callback(partial(self._forget, guid))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(_log_failure, guid))
            raise

    async def _run_after(self, earlier: "asyncio.Task[Any] | None", function: Callable[..., _T], *args: object) -> _T:
        if earlier is not None:
            await asyncio.wait([earlier])
        return await asyncio.wrap_future(submit(self._threads, function, *args))

    def _forget(self, guid: str, task: "asyncio.Task[Any]") -> None:
        if self._under_way.get(guid) is task:
            del self._under_way[guid]


def _log_failure(guid: str, task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A write for image %s failed after its caller had gone: %s", guid, error)
