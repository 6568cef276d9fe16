"""Presenting images and links as the API has them."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from pixyproxy.domain.image import Image


class Links:
    """Makes the addresses that are handed out, from the public URL or else from the request."""

    def __init__(self, public_url: str | None) -> None:
        """`public_url` is the base of absolute URLs, without a trailing slash; None takes it from the request."""
        self._public_url = public_url
        # A service published under a path hands out that path too: the rest of the address stays relative.
        self._prefix = "" if public_url is None else "/".join(["", *public_url.split("/")[3:]])

    def path(self, path: str) -> str:
        """A path on this host."""
        return f"{self._prefix}{path}"

    def absolute(self, request: Request, path: str) -> str:
        """An absolute URL."""
        if self._public_url is not None:
            return f"{self._public_url}{path}"
        # Without the query string, which may hold what is no text.
        url = request.base_url
        return f"{url.scheme}://{url.netloc}{path}"

    def next_page(self, request: Request, cursor: str, parameters: dict[str, object]) -> str:
        """The Link header (RFC 8288) to the next page of a list with these query parameters."""
        query = urlencode({**parameters, "cursor": cursor}, doseq=True)
        return f'<{self.absolute(request, f"/image?{query}")}>; rel="next"'


def present_time(time: datetime) -> str:
    """UTC in ISO 8601 with microseconds and `Z`."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def present_image(image: Image, links: Links) -> dict[str, Any]:
    """`ImageDetail`: all of an image that may leave the service."""
    detail = {
        "guid": image.guid,
        "filename": image.filename,
        "prompt": image.prompt,
        "tags": list(image.tags),
        "author": image.author,
        "visibility": image.visibility.value,
        "status": image.status.value,
        "created_at": present_time(image.created_at),
        "updated_at": present_time(image.updated_at),
        "media_type": image.media_type,
        "width": image.width,
        "height": image.height,
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "generator": image.generator,
        "model": image.model,
        "parameters": dict(image.parameters),
        "revised_prompt": image.revised_prompt,
        "usage": None if image.usage is None else dict(image.usage),
        "derived_from": list(image.derived_from),
        "content_url": links.path(f"/image/{image.guid}/content"),
        "thumbnail_url": links.path(f"/image/{image.guid}/thumbnail"),
        "placeholder": image.placeholder,
    }
    if image.error is not None:
        detail["error"] = {"code": image.error.code, "message": image.error.message}
    return detail


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer that no cache keeps: what it shows may change or be private."""
    body = _encode_json(content).encode(errors="backslashreplace")
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type="application/json")


def present_images(images: Iterable[Image], links: Links) -> list[dict[str, Any]]:
    """A bare list of `ImageDetail`."""
    return [present_image(image, links) for image in images]
