"""The image: its request, its status and its result."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.filename import result_filename
from pixyproxy.domain.money.costs import Cost

_GUID = re.compile("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Visibility(StrEnum):
    """The circle of people who may see an image: all readers, or its author only."""

    PUBLIC = "public"
    PRIVATE = "private"


class Status(StrEnum):
    """The state of the generation of an image."""

    QUEUED = "queued"
    """It waits for its turn: nothing was sent to the generator, and nothing is paid."""
    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Interrupted after the upstream call began: it may have been paid for and is never repeated automatically."""

    @classmethod
    def _missing_(cls, value: object) -> "Status | None":
        """Return a member for a status that a newer version wrote, so that its rows can be read and shown."""
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = value.upper(), value
        return member


UNDER_WAY = frozenset({Status.QUEUED, Status.GENERATING})
"""The statuses of a generation that has not ended."""
SETTLED = frozenset({Status.READY, Status.FAILED, Status.UNKNOWN})
"""The statuses of a generation that has ended; one that a newer version wrote may be any."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why there is no image: a stable code and a message for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The properties of a picture's bytes: media type and size in pixels."""

    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """The part of an image that is known when its generation begins.

    The author may change `filename`, `tags` and `visibility` later. A public image that is `hidden` is seen by its
    author and the staff concerned only; being hidden changes nothing while it is private. `model` is the requested
    model (None: the generator's choice) until there is a result, then the model that made the image. `derived_from` are
    the GUIDs of the stored images it is made from. If one call makes several images, all have the GUID of the first as
    `batch`.
    """

    guid: str
    filename: str
    prompt: str
    tags: tuple[str, ...]
    author: str | None
    visibility: Visibility
    generator: str
    model: str | None
    parameters: Mapping[str, Any]
    created_at: datetime
    derived_from: tuple[str, ...] = ()
    batch: str | None = None
    hidden: bool = False

    @property
    def is_public(self) -> bool:
        """True if everybody who may read may see the image."""
        return self.visibility is Visibility.PUBLIC and not self.hidden


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The part of an image that is known once its bytes are durable.

    `reported` holds the options that the generator says it used. `cost` is None for pictures of before prices.
    """

    picture: Picture
    size_bytes: int
    sha256: str
    model: str | None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    reported: Mapping[str, Any] | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class ImageChanges:
    """New values for what an author may change, and staff (`hidden`); None leaves a field as it is."""

    filename: str | None = None
    tags: tuple[str, ...] | None = None
    visibility: Visibility | None = None
    hidden: bool | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the repository knows it; `id` is internal and never leaves the service.

    `placeholder` is a tiny preview as a `data:` URI, None until one was made. `possible_cost` is what may have been
    billed for an image that is `unknown`.
    """

    id: int
    request: ImageRequest
    status: Status
    updated_at: datetime
    result: ImageResult | None = None
    failure: Failure | None = None
    placeholder: str | None = None
    possible_cost: Cost | None = None

    @property
    def cost(self) -> Cost | None:
        """The cost of the picture, or what may have been billed for it; None while nothing is known."""
        return self.possible_cost if self.result is None else self.result.cost

    @property
    def guid(self) -> str:
        """The public name of the image."""
        return self.request.guid

    def finished(self, result: ImageResult, now: datetime) -> "Image":
        """Return this image with a result and status `ready`, or itself if it is ready with exactly this result."""
        if result.cost is None and self.result is not None:
            result = replace(result, cost=self.result.cost)
        if self.status is Status.READY and self.result == result:
            return self
        request = self.request
        filename = result_filename(request.filename, request.prompt, request.guid, result.picture.media_type)
        return replace(
            self,
            request=replace(request, filename=filename, model=result.model),
            status=Status.READY,
            updated_at=now.astimezone(UTC),
            result=result,
            failure=None,
            possible_cost=None,
        )

    def failed(self, status: Status, failure: Failure, now: datetime, possible_cost: Cost | None = None) -> "Image":
        """Return this image with the reason why it was not made, and status `failed` or `unknown`."""
        return replace(
            self, status=status, failure=failure, updated_at=now.astimezone(UTC), possible_cost=possible_cost
        )

    def changed(self, changes: ImageChanges, now: datetime) -> "Image":
        """Return this image with the changes of its author or of staff."""
        given = {name: value for name, value in asdict(changes).items() if value is not None}
        return replace(self, request=replace(self.request, **given), updated_at=now.astimezone(UTC))


def new_guid() -> str:
    """Return a random GUID (RFC 9562, version 4), lower-case with hyphens."""
    return str(uuid.uuid4())


def is_guid(text: str) -> bool:
    """Return whether the text is a GUID in canonical form."""
    return _GUID.fullmatch(text) is not None


def parse_guid(text: str) -> str:
    """Return the canonical form of a GUID given as 8-4-4-4-12 hexadecimal digits of either case.

    Raise ImageNotFoundError for anything else, because no image has such a name.
    """
    guid = text.lower()
    if not is_guid(guid):
        raise ImageNotFoundError("There is no such image.")
    return guid
