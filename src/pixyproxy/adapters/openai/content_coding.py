"""An answer whose body is still to be read, whoever brings it, and the unpacking of one that was packed unasked."""

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from pixyproxy.adapters.openai.error_responses import UnpackingError

Read = Callable[[], Awaitable[bytes]]

MAX_PIECE_BYTES = 1024 * 1024
MAX_CODINGS = 5
"""A body that was packed more often is not unpacked."""

_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP, "deflate": _ZLIB}


@dataclass(slots=True, eq=False)
class Answer:
    """A successful answer.

    `read` gives the next piece of the body, and nothing at its end. `close` gives the connection up and fails
    whoever is reading.
    """

    headers: Mapping[str, str]
    read: Read
    close: Callable[[], Awaitable[None]]

    @property
    def declared_bytes(self) -> int | None:
        """How long the body says it is, or None where it does not."""
        declared = self.headers.get("content-length", "")
        return int(declared) if declared.isdecimal() else None


def unpacking(read: Read, codings: Iterable[str]) -> Read:
    """The same body without its codings (RFC 9110, 8.4), which are told in the order in which they were applied.

    Raises UnpackingError while it is read. What nothing here can unpack is left as it is.
    """
    known = [window for coding in codings if (window := _WINDOWS.get(coding.strip().lower())) is not None]
    if len(known) > MAX_CODINGS:
        return _packed_too_often
    for window in reversed(known):
        read = _Unpacked(read, window).read
    return read


async def _packed_too_often() -> bytes:
    raise UnpackingError(f"packed more than {MAX_CODINGS} times")


class _Unpacked:
    """Unpacks in pieces of at most MAX_PIECE_BYTES, since a few bytes may unpack to any number of them."""

    def __init__(self, read: Read, window: int) -> None:
        self._read = read
        self._window = window
        self._inflater = zlib.decompressobj(window)
        self._is_begun = False

    async def read(self) -> bytes:
        piece = self._unpack(self._inflater.unconsumed_tail) if self._is_begun else b""
        while not piece and not self._inflater.eof:
            packed = await self._read()
            if not packed:
                return self._inflater.flush()
            piece = self._unpack(packed)
        return piece

    def _unpack(self, packed: bytes) -> bytes:
        is_first, self._is_begun = not self._is_begun, True
        try:
            return self._inflater.decompress(packed, MAX_PIECE_BYTES)
        except zlib.error as error:
            if is_first and self._window == _ZLIB:  # `deflate` without its frame is not unheard of
                self._inflater = zlib.decompressobj(_RAW)
                return self._unpack(packed)
            raise UnpackingError(str(error)) from error
