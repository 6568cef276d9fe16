"""An image as the API shows it: `ImageDetail`, and the addresses in it."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from starlette.requests import Request

from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.generation import GenerationOutcome, QueuePlace
from pixyproxy.domain.image import Image, parse_guid
from pixyproxy.domain.money.costs import sum_costs
from pixyproxy.entrypoints.http.middleware.forwarded import forwarded_prefix
from pixyproxy.entrypoints.http.representation.json_response import encode_json
from pixyproxy.web_origin import is_own_origin

COST_HEADER = "x-pixyproxy-cost-usd"
"""The cost of a request, in US dollars; only where it is known."""
POLL_AFTER_S = "2"
"""Seconds after which to look again at an image that is being made, as `Retry-After`."""
MAX_LISTED = 64
MAX_LISTED_CHARS = 256
"""Limits on the parameters of an image in a list: their number, and the length of a name and of a value."""
_IMAGE_PATH = re.compile(r"^(.*)/image/([^/]+)(?:/content(?:/[^/]*)?)?/?$")


class Links:
    """Builds addresses from the public URL or, without one, from the request and what a named proxy says about it."""

    def __init__(self, public_url: str | None) -> None:
        """Take the base of absolute URLs, without a trailing slash; None takes it from each request."""
        self._public_url = public_url
        # A service published below a path hands out that path too.
        self._prefix = None if public_url is None else "/".join(["", *public_url.split("/")[3:]])

    def path(self, path: str) -> str:
        """Return a path on this host."""
        return f"{forwarded_prefix.get() if self._prefix is None else self._prefix}{path}"

    def server(self) -> str | None:
        """Return the address of the service for the OpenAPI document: the public URL or a prefix, None without them."""
        return self._public_url or forwarded_prefix.get() or None

    def absolute(self, request: Request, path: str) -> str:
        """Return an absolute URL, or for a request without a host only its path.

        `HostMiddleware` has let no other host pass than one that is trusted, if the operator names any.
        """
        if self._public_url is not None:
            return f"{self._public_url}{path}"
        host = request.headers.get("host")
        # `request.url` would decode the query string, which may not be text.
        return self.path(path) if host is None else f"{request.scope['scheme']}://{host}{self.path(path)}"

    def stored_image(self, request: Request, address: str) -> tuple[str, Mapping[str, str]] | None:
        """Return the GUID in an address of an image or of its content that this service handed out, and the query.

        Absolute addresses are those of the public URL and of the host that the request was sent to. None: no such one.
        """
        try:
            parts = urlsplit(address)
            found = _IMAGE_PATH.search(unquote(parts.path))
            guid = parse_guid(found[2]) if found else ""
        except (ValueError, ImageNotFoundError):
            return None
        origin = f"{parts.scheme or request.url.scheme}://{parts.netloc}"
        own = not parts.scheme and not parts.netloc
        own = own or is_own_origin(origin, request.headers.get("host", ""), self._public_url)
        if found is None or not own or found[1] not in {"", self.path("")}:
            return None
        return guid, dict(parse_qsl(parts.query))

    def next_page(self, request: Request, cursor: str, parameters: dict[str, object]) -> str:
        """Return the Link header (RFC 8288) to the next page of the list at this path with these query parameters."""
        query = urlencode({**parameters, "cursor": cursor}, doseq=True)
        address = self.absolute(request, f"{request.scope['path']}?{query}")
        return f'<{address}>; rel="next"'


def outcome_headers(request: Request, links: Links, outcome: GenerationOutcome) -> dict[str, str]:
    """Return the address of the first image, and that an earlier request had it made if so."""
    headers = {"Location": links.absolute(request, f"/image/{outcome.image.guid}")}
    return {**headers, "Idempotent-Replayed": "true"} if outcome.replayed else headers


def cost_header(outcome: GenerationOutcome) -> dict[str, str]:
    """Return the header with the cost of a request: that of its pictures, and nothing for a repeat."""
    cost = sum_costs(image.cost for image in outcome.images)
    if cost is None:
        return {}
    return {COST_HEADER: f"{Decimal(0) if outcome.replayed else cost:.6f}"}


def content_path(image: Image) -> str:
    """Return the path of an image's bytes; it ends in the file name, for clients that take name and type from it."""
    return f"/image/{image.guid}/content/{quote(image.request.filename, safe='')}"


def present_time(time: datetime) -> str:
    """Return a time in UTC as ISO 8601 with microseconds and `Z`."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def present_image(image: Image, links: Links, place: QueuePlace | None = None) -> dict[str, Any]:
    """Return `ImageDetail`: everything about an image that may leave the service, with its place in the queue."""
    result, picture = image.result, image.result and image.result.picture
    detail = {
        "guid": image.guid,
        "filename": image.request.filename,
        "prompt": image.request.prompt,
        "tags": list(image.request.tags),
        "author": image.request.author,
        "visibility": image.request.visibility.value,
        "status": image.status.value,
        "hidden": image.request.hidden,
        "created_at": present_time(image.request.created_at),
        "updated_at": present_time(image.updated_at),
        "media_type": picture and picture.media_type,
        "width": picture and picture.width,
        "height": picture and picture.height,
        "size_bytes": result and result.size_bytes,
        "sha256": result and result.sha256,
        "generator": image.request.generator,
        "model": image.request.model,
        "parameters": dict(image.request.parameters),
        "revised_prompt": result and result.revised_prompt,
        "usage": None if result is None or result.usage is None else dict(result.usage),
        "cost": None if image.cost is None else image.cost.as_json(),
        "queue": None if place is None else {"position": place.position, "eta_s": place.eta_s},
        "derived_from": list(image.request.derived_from),
        "content_url": links.path(content_path(image)),
        "thumbnail_url": links.path(f"/image/{image.guid}/thumbnail"),
        "placeholder": image.placeholder,
    }
    if image.failure is not None:
        detail["error"] = {"code": image.failure.code, "message": image.failure.message}
    return detail


def present_in_list(image: Image, links: Links, place: QueuePlace | None = None) -> dict[str, Any]:
    """Return `ImageDetail` as a list has it: with `parameters_cut` if it does not show all of the parameters.

    Values above 256 characters are cut to a text of 256. Parameters beyond the first 64, and those with longer names,
    which rows of before may have, are left out.
    """
    detail = present_image(image, links, place)
    shown = {
        name: _cut(value)
        for name, value in islice(detail["parameters"].items(), MAX_LISTED)
        if len(name) <= MAX_LISTED_CHARS
    }
    if shown != detail["parameters"]:
        detail["parameters"] = shown
        detail["parameters_cut"] = True
    return detail


def _cut(value: object) -> object:
    """Return the value, or the beginning of its text or of its JSON."""
    text = value if isinstance(value, str) else encode_json(value).decode()
    return value if len(text) <= MAX_LISTED_CHARS else f"{text[: MAX_LISTED_CHARS - 1]}…"
