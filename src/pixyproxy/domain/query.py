"""A search for images, and a page of its results."""

from dataclasses import dataclass
from datetime import datetime

from pixyproxy.domain.access import Viewer
from pixyproxy.domain.image import Image, Status, Visibility


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """The filters of a list of images, newest first; all that are set must hold.

    `viewer` is the caller: private images, and those whose status is not `ready`, are found by their authors only,
    hidden ones by the staff concerned too. `terms` are matched by prefix against the search terms of the prompt,
    `filename` is a folded substring, `model` is the model that made the image, `derived_from` is the GUID of an edit
    source, and the two times and the two ids are exclusive bounds: `before_id` continues after the image with that id.
    """

    viewer: Viewer = None
    limit: int = 50
    before_id: int | None = None
    after_id: int | None = None
    terms: tuple[str, ...] = ()
    filename: str | None = None
    guid: str | None = None
    tags: tuple[str, ...] = ()
    author: str | None = None
    model: str | None = None
    visibility: Visibility | None = None
    status: Status = Status.READY
    derived_from: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of images; the next part continues before the image with `next_before_id`, None at the end."""

    items: tuple[Image, ...]
    next_before_id: int | None = None
