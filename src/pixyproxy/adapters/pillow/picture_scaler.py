"""Scaling of pictures with Pillow in a thread pool."""

import asyncio
import base64
import io
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pixyproxy.adapters.pillow import decoding
from pixyproxy.adapters.pillow.picture_inspector import inspect_header
from pixyproxy.domain.errors import CapacityExceededError, DataValidationError
from pixyproxy.domain.image import Picture
from pixyproxy.ports.pictures.picture_scaler import MAX_PIXELS, MAX_PLACEHOLDER, PictureScaler

_FORMATS = {"image/webp": "WEBP", "image/jpeg": "JPEG"}
_PLACEHOLDERS = ((16, 40), (16, 10), (12, 10), (8, 10), (4, 0))
"""Longest side and quality of a placeholder, tried in turn until one is short enough."""
_MAX_PROFILE = 8 * 1024

_T = TypeVar("_T")


class PillowPictureScaler(PictureScaler):
    """Scaler of `threads` pictures at a time, for at most `timeout_s` seconds each; `max_waiting` more may wait.

    Pillow releases the GIL while it decodes, scales and encodes. A thread cannot be stopped: one that takes too long
    keeps its permit until it is done, while its caller gets an error.
    """

    def __init__(self, *, threads: int = 2, max_waiting: int = 64, timeout_s: float = 10) -> None:
        self._threads = threads
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._executor: ThreadPoolExecutor | None = None
        self._permits = asyncio.Semaphore(threads)
        self._waiting = 0

    async def open(self) -> None:
        """Create the thread pool."""
        if self._executor is None:
            self._permits = asyncio.Semaphore(self._threads)
            self._executor = ThreadPoolExecutor(self._threads, "picture-scale")

    async def close(self) -> None:
        """Finish running work and end the threads."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown)

    async def scale(self, data: bytes, longest_side: int, media_type: str) -> bytes:
        """Scale, keeping a colour profile of ordinary length."""
        if media_type not in _FORMATS or longest_side < 1:
            raise ValueError("unsupported media type or size")
        return await self._run(_scale, data, longest_side, media_type)

    async def placeholder(self, data: bytes) -> str:
        """Return a WebP of at most 16 pixels a side."""
        return await self._run(_placeholder, data)

    async def _run(self, function: Callable[..., _T], *args: object) -> _T:
        """Run a function, whose first argument is its deadline, as soon as there is a permit."""
        if self._permits.locked() and self._waiting >= self._max_waiting:
            raise CapacityExceededError("Too many thumbnails are being made; try again in a moment.", retry_after_s=2)
        self._waiting += 1
        try:
            await self._permits.acquire()
        finally:
            self._waiting -= 1
        loop, permits = asyncio.get_running_loop(), self._permits

        def release(_: Future[_T]) -> None:
            loop.call_soon_threadsafe(permits.release)

        try:
            if self._executor is None:
                raise CapacityExceededError("Thumbnails are not being made: the service is starting or stopping.")
            future = self._executor.submit(function, time.monotonic() + self._timeout_s, *args)
        except BaseException:
            permits.release()
            raise
        # Released when the work ends, not when its caller stops waiting.
        future.add_done_callback(release)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DataValidationError(decoding.TOO_LONG) from None


def _inspect(data: bytes) -> Picture:
    picture = inspect_header(data)
    if picture.media_type not in decoding.READERS:
        raise DataValidationError(f"There is no thumbnail of {picture.media_type}.")
    if picture.width * picture.height > MAX_PIXELS:
        raise DataValidationError(
            f"The picture says it is {picture.width} x {picture.height} pixels; "
            f"one of more than {MAX_PIXELS} is not decoded."
        )
    return picture


def _scale(deadline: float, data: bytes, longest_side: int, media_type: str) -> bytes:
    image = decoding.decode(data, _inspect(data), longest_side, deadline)
    if media_type == "image/jpeg":
        image = decoding.on_white(image)
    profile = image.info.get("icc_profile")
    # Drops comments, places and other metadata.
    image.info = {}
    keep = isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE and image.mode in {"RGB", "RGBA"}
    out = io.BytesIO()
    image.save(out, _FORMATS[media_type], quality=80, icc_profile=profile if keep else None)
    return out.getvalue()


def _placeholder(deadline: float, data: bytes) -> str:
    image = decoding.decode(data, _inspect(data), _PLACEHOLDERS[0][0], deadline)
    image.info = {}
    text = ""
    for side, quality in _PLACEHOLDERS:
        small, out = image.copy(), io.BytesIO()
        small.thumbnail((side, side))
        small.save(out, "WEBP", quality=quality, alpha_quality=quality, method=6)
        text = f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
        if len(text) < MAX_PLACEHOLDER:
            break
    return text
