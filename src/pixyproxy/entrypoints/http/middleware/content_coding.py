"""Middleware that unpacks request bodies (Content-Encoding; RFC 9110, section 8.4)."""

import zlib

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PIECE_BYTES = 256 * 1024
"""Bytes that are unpacked at once; whoever reads the body stops at its own limit, however small the body was packed."""
_MAX_FILES = 1000
"""Empty ones cost much time for few bytes."""
_ACCEPTED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""The codings and zlib's `wbits` of each."""
_NAMES = "gzip, deflate"
_RAW_DEFLATE = -15
_IDENTITY = frozenset({"", "identity"})


class ContentCodingMiddleware:
    """Hands on bodies in gzip or deflate as they were before; another coding is 415 where the body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"content-encoding"]
            codings = [name for part in ",".join(fields).split(",") if (name := part.strip().lower()) not in _IDENTITY]
            if codings:
                dropped = {b"content-encoding", b"content-length"}
                scope = dict(scope, headers=[pair for pair in scope["headers"] if pair[0] not in dropped])
                receive = _UnpackedBody(receive, codings)
        await self._app(scope, receive, send)


class _UnpackedBody:
    """A `receive` of ASGI whose body is unpacked."""

    def __init__(self, receive: Receive, codings: list[str]) -> None:
        self._receive = receive
        self._codings = codings
        self._unpacker: _Unpacker | None = None
        self._received_all = self._sent_all = False

    async def __call__(self) -> Message:
        if self._unpacker is None:
            if len(self._codings) > 1 or self._codings[0] not in _ACCEPTED:
                shown = ", ".join(self._codings)[:100]
                raise HTTPException(
                    415,
                    f"The Content-Encoding {shown!r} is not accepted: send the body in gzip or deflate, or as it is.",
                    {"Accept-Encoding": _NAMES},
                )
            self._unpacker = _Unpacker(self._codings[0])
        while not self._sent_all:
            if piece := self._unpacker.next_piece():
                return {"type": "http.request", "body": piece, "more_body": True}
            if self._received_all:
                self._unpacker.require_end()
                self._sent_all = True
                return {"type": "http.request", "body": b"", "more_body": False}
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._unpacker.feed(message.get("body", b""))
            self._received_all = not message.get("more_body", False)
        return await self._receive()


class _Unpacker:
    """Unpacks a body piece by piece, without ever holding more than a piece of it."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._packed = b""
        self._decoder: zlib._Decompress | None = None
        self._files = 0

    def feed(self, packed: bytes) -> None:
        """Take the next bytes as they were sent."""
        self._packed += packed

    def next_piece(self) -> bytes:
        """Return the next bytes, none if more have to be fed first.

        Raises:
            HTTPException: 400 if the body is not in its coding.
        """
        piece = b""
        while not piece:
            if self._decoder is None:
                if len(self._packed) < 2:
                    break
                self._decoder = zlib.decompressobj(self._wbits())
            before = len(self._packed)
            try:
                piece = self._decoder.decompress(self._packed, _PIECE_BYTES)
            except zlib.error:
                raise self._malformed("is not in this coding") from None
            self._packed = self._decoder.unconsumed_tail
            if self._decoder.eof:
                self._packed = self._decoder.unused_data.lstrip(b"\0")
                if not self._packed:
                    break
                if self._coding == "deflate":
                    raise self._malformed("goes on after its end")
                self._decoder = None  # A gzip body may be several files in a row (RFC 1952, section 2.2).
                self._files += 1
                if self._files == _MAX_FILES:
                    raise self._malformed(f"consists of more than {_MAX_FILES} files")
            elif len(self._packed) == before or not self._packed:
                break
        return piece

    def require_end(self) -> None:
        """Raise HTTPException 400 unless the body was whole; an empty one is."""
        if self._packed or (self._decoder is not None and not self._decoder.eof):
            raise self._malformed("ends too early")

    def _wbits(self) -> int:
        # Many clients send bare deflate data (RFC 1951) without the frame (RFC 1950) that the name stands for.
        has_frame = self._packed[0] & 0x0F == 8 and int.from_bytes(self._packed[:2], "big") % 31 == 0
        return _ACCEPTED[self._coding] if self._coding != "deflate" or has_frame else _RAW_DEFLATE

    def _malformed(self, problem: str) -> HTTPException:
        return HTTPException(400, f"The body has the Content-Encoding {self._coding}, but {problem}.")
