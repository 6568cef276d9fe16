"""Responses with the bytes of an image or of its thumbnail."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pixyproxy.application.images.content import ImageContent
from pixyproxy.application.images.thumbnails import Thumbnail
from pixyproxy.domain.filename import content_disposition
from pixyproxy.entrypoints.http.middleware.security_fields import PICTURE_POLICY
from pixyproxy.entrypoints.http.representation.conditional import (
    MAX_RANGE_LENGTH,
    Representation,
    UnsatisfiableRange,
    failed_precondition,
    requested_range,
)
from pixyproxy.ports.blob_store import BlobReader

_CONDITIONS = frozenset(
    {b"if-match", b"if-unmodified-since", b"if-none-match", b"if-modified-since", b"range", b"if-range"}
)
_ACCEL_EXPIRES_S = "1"
"""Seconds for which nginx may send a public picture to anonymous callers without asking again.

nginx obeys this instead of Cache-Control, which is for all other caches, and does not pass it on.
"""


class StoredContentResponse(Response):
    """A body that is read from the blob store piece by piece, as fast as the client takes it."""

    def __init__(self, first: bytes, reader: BlobReader, length: int, status: int, headers: dict[str, str]) -> None:
        self._first = first
        self._reader = reader
        super().__init__(None, status, {**headers, "Content-Length": str(length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces; an error among them leaves the body shorter than its Content-Length."""
        async with self._reader as reader:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for piece in reader:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def content_response(request: Request, content: ImageContent, accel_prefix: str | None = None) -> Response:
    """Return the response to GET or HEAD for content that the caller may see.

    With `accel_prefix` nginx sends the bytes, which it finds below that path (`X-Accel-Redirect`). A store that sends
    clients elsewhere gets a redirect.

    Raises:
        HTTPException: 412 for a condition that fails, 416 for a range that lies outside the image or is too long.
    """
    image, result = content.image, content.result
    media_type = result.picture.media_type
    have = Representation(etag=f'"{result.sha256}"', last_modified=image.request.created_at, size=result.size_bytes)
    public = image.request.is_public
    headers = _picture_headers(have, image.request.filename, media_type, public=public)
    conditions = _read_conditions(request)
    if (unchanged := _check_preconditions(conditions, have, headers)) is not None:
        return unchanged
    headers["Accept-Ranges"] = "bytes"
    if request.scope["state"].get("head"):
        # Ranges are defined for GET only (RFC 9110, section 14.2).
        return Response(None, 200, {**headers, "Content-Length": str(have.size)})
    status, start, stop = 200, 0, have.size
    try:
        wanted = requested_range(conditions, have)
    except UnsatisfiableRange:
        raise HTTPException(
            416,
            f"Send one range inside the image, which is {have.size} bytes long, "
            f"in a Range field of at most {MAX_RANGE_LENGTH} characters.",
            {"Content-Range": f"bytes */{have.size}"},
        ) from None
    if accel_prefix is not None and _nginx_agrees(conditions, wanted):
        path = await content.location()
        if path is not None:
            del headers["Accept-Ranges"]  # nginx adds its own
            if public:
                headers["X-Accel-Expires"] = _ACCEL_EXPIRES_S
            return Response(None, 200, {**headers, "X-Accel-Redirect": f"{accel_prefix}/{path}"})
    if (address := await content.address()) is not None:
        # The client repeats its range there. The address opens the picture for anybody, so no cache may keep it.
        return Response(None, 307, {"Location": address, "Cache-Control": "private, no-store"})
    if wanted is not None:
        status, (start, stop) = 206, wanted
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{have.size}"
    reader = await content.read(start, stop)
    try:
        first = await anext(reader, b"")  # an error here still has an error response
    except BaseException:
        await reader.close()
        raise
    if len(first) == stop - start:
        await reader.close()
        return Response(first, status, headers)
    return StoredContentResponse(first, reader, stop - start, status, headers)


async def thumbnail_response(request: Request, thumbnail: Thumbnail) -> Response:
    """Return the response to GET for a thumbnail that the caller may see; raise HTTPException 412."""
    have = Representation(etag=f'"{thumbnail.tag}"', last_modified=thumbnail.image.request.created_at, size=0)
    public = thumbnail.image.request.is_public
    headers = _picture_headers(have, thumbnail.filename, thumbnail.media_type, public=public) | {"Vary": "Accept"}
    unchanged = _check_preconditions(_read_conditions(request), have, headers)
    return unchanged or Response(await thumbnail.read(), 200, headers)


def _picture_headers(have: Representation, filename: str, media_type: str, *, public: bool) -> dict[str, str]:
    """Return the headers of a response with a picture."""
    return {
        "ETag": have.etag,
        "Cache-Control": "public, max-age=3600" if public else "private, no-store",
        "Last-Modified": have.http_date,
        "Content-Security-Policy": PICTURE_POLICY,
        "Content-Disposition": content_disposition(filename),
        "Content-Type": media_type,
    }


def _check_preconditions(
    conditions: Mapping[str, str], have: Representation, headers: Mapping[str, str]
) -> Response | None:
    """Return the 304 response if the client has the picture already, else None; raise HTTPException 412."""
    status = failed_precondition(conditions, have)
    if status == 412:
        raise HTTPException(412, "The stored picture does not meet the conditions of the request.")
    if status == 304:
        # The other headers describe the body, which is not sent (RFC 9110, section 15.4.5). The policy is what a cache
        # has for it: another one in its place would be taken over.
        kept = ("ETag", "Cache-Control", "Vary", "Content-Security-Policy")
        return Response(None, 304, {name: headers[name] for name in kept if name in headers})
    return None


def _read_conditions(request: Request) -> dict[str, str]:
    """Return the conditions and the range; values of a repeated field are joined by commas (RFC 9110, section 5.3)."""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in request.scope["headers"]:
        if name in _CONDITIONS:
            fields.setdefault(name, []).append(value)
    return {name.decode(): b", ".join(values).decode("latin-1") for name, values in fields.items()}


def _nginx_agrees(conditions: Mapping[str, str], wanted: tuple[int, int] | None) -> bool:
    """Return true if nginx, which checks the conditions again by the file's own date, comes to the same result."""
    if "if-match" in conditions or "if-unmodified-since" in conditions:
        return False
    return "range" not in conditions or (wanted is not None and "if-range" not in conditions)
