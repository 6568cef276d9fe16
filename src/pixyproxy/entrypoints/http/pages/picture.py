"""A picture as the templates show it."""

import math
from collections.abc import Iterable
from typing import Any

from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.access import Viewer, is_author
from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.generation import QueuePlace
from pixyproxy.domain.image import UNDER_WAY, Image, Status
from pixyproxy.entrypoints.http.pages.texts import cost_text, place_text
from pixyproxy.entrypoints.http.representation.image_detail import Links, present_image

_RATIO_STEPS = 25
"""Classes of the aspect ratio for each doubling of it: each is off by 1.4 % at most."""
_WIDEST = 2 * _RATIO_STEPS
THUMBNAIL_SIZES = (256, 512, 1024)
"""Pixels of the longer side."""
_ALT_CHARS = 300


def present_picture(image: Image, links: Links, viewer: Viewer, place: QueuePlace | None = None) -> dict[str, Any]:
    """Return `ImageDetail` with what only a page needs."""
    detail = present_image(image, links, place)
    width, height = detail["width"] or 1, detail["height"] or 1
    return {
        **detail,
        "ratio": ratio_class(width, height),
        "alt": shortened(detail["prompt"], _ALT_CHARS),
        "view_url": links.path(f"/view/{detail['guid']}"),
        "srcset": ", ".join(f"{detail['thumbnail_url']}?size={size} {w}w" for size, w in _thumbnails(width, height)),
        "is_under_way": image.status in UNDER_WAY,
        "place_text": place_text(place),
        "cost_text": cost_text(image.cost),
        "is_own": is_author(image, viewer),
        "created": f"{image.request.created_at:%-d %b %Y, %H:%M} UTC",
        "size_text": _size_text(detail["size_bytes"]),
        "format": (detail["media_type"] or "").partition("/")[2].partition("+")[0].upper(),
    }


async def find_visible(images: ImageService, viewer: Viewer, guid: str) -> Image | None:
    """Return an image, None if there is none that the viewer may see."""
    try:
        return await images.get(viewer, guid)
    except ImageNotFoundError:
        return None


async def find_ready(images: ImageService, viewer: Viewer, guid: str) -> Image | None:
    """Return an image that is ready, None if there is none that the viewer may see."""
    image = await find_visible(images, viewer, guid)
    return image if image is not None and image.status is Status.READY else None


async def find_all_ready(images: ImageService, viewer: Viewer, guids: Iterable[str]) -> list[Image]:
    """Return those of these images that are ready and that the viewer may see, in this order."""
    found = [await find_ready(images, viewer, guid) for guid in guids]
    return [image for image in found if image is not None]


def ratio_class(width: int, height: int) -> str:
    """Return the class of `ratios.css` for an aspect ratio, from four times as high as wide to the contrary.

    The content policy forbids styles in a page.
    """
    step = round(math.log2(width / height) * _RATIO_STEPS)
    step = max(-_WIDEST, min(_WIDEST, step))
    return f"r{step}" if step >= 0 else f"r_{-step}"


def shortened(text: str, length: int) -> str:
    """Return a text of at most this length, which ends in `…` if it was longer."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _thumbnails(width: int, height: int) -> list[tuple[int, int]]:
    """Return sizes of thumbnails and their widths, none larger than the first that shows the whole picture."""
    longer = max(width, height)
    enough = next((size for size in THUMBNAIL_SIZES if size >= longer), THUMBNAIL_SIZES[-1])
    return [(size, max(1, round(width * min(1, size / longer)))) for size in THUMBNAIL_SIZES if size <= enough]


def _size_text(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
