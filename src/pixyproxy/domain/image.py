"""The image and what goes into the making of one."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, BinaryIO

from pixyproxy.domain.errors import ImageNotFoundError


class Visibility(StrEnum):
    """Who may see an image: everybody who may read, or its author only."""

    PUBLIC = "public"
    PRIVATE = "private"


class Status(StrEnum):
    """How far the generation of an image has come."""

    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Interrupted after the upstream call began: it may have been paid for and is never repeated by itself."""

    @classmethod
    def _missing_(cls, value: object) -> "Status | None":
        """Return a member for a status that a newer version wrote, so that its rows can be read and shown."""
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = value.upper(), value
        return member


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image is not there: a stable code and the words for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What the bytes of a picture say of themselves: media type and size in pixels."""

    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class EditSource:
    """A picture that another is made from: a seekable file, open for reading, and what its bytes are."""

    file: BinaryIO = field(repr=False, compare=False)
    picture: Picture
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a generator is asked for: `n` pictures from a prompt, or an edit of `images` where there are any.

    `model` None leaves the choice to the generator. `options` are passed on as they are (`size`,
    `quality`, `background`, `output_format`, …): which values are good is the generator's to say.
    `attachments` are further pictures of an edit by the names of their parameters (`mask`, …).
    """

    prompt: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    n: int = 1
    images: tuple[EditSource, ...] = ()
    attachments: Mapping[str, EditSource] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """What a generator made: the bytes as they came and what it reports of them (None: not reported).

    `usage` is the share of this picture in what the call used. `reported` holds the options that were really
    used, such as `size`, `quality`, `background` and `output_format`.
    """

    data: bytes
    model: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    reported: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PartialImage:
    """An early view of a picture that is being made; `index` counts them from 0, `reported` is as in GeneratedImage."""

    data: bytes
    index: int
    reported: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratorModel:
    """A model that a generator offers.

    `is_default` marks the one that is used where a request names none; `shutdown_date` is as announced.
    """

    id: str
    created_at: datetime | None = None
    owned_by: str | None = None
    shutdown_date: str | None = None
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """A caller's claim of an idempotency key for a request.

    `caller` is the username, empty for anonymous callers, who are one caller. `fingerprint` is the sha256
    (hexadecimal) of the canonical request: another request under the same key has another. Without a key
    (None) nothing is claimed, and the request can be found again by its fingerprint only.
    """

    caller: str
    key: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ImageDraft:
    """All that is known of an image when its generation begins.

    `lease_owner` and `lease_expires_at` say which process works on it and until when nobody else may
    settle it. `derived_from` are the GUIDs of the stored images it is made from. Where one call makes several
    images, `batch` is the GUID of the first of them, in all of them.
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
    lease_owner: str
    lease_expires_at: datetime
    claim: IdempotencyClaim | None = None
    derived_from: tuple[str, ...] = ()
    batch: str | None = None

    def recorded(self, image_id: int) -> "Image":
        """The image that this draft becomes once it is recorded under an id."""
        return Image(
            id=image_id,
            guid=self.guid,
            filename=self.filename,
            prompt=self.prompt,
            tags=self.tags,
            author=self.author,
            visibility=self.visibility,
            status=Status.GENERATING,
            created_at=self.created_at.astimezone(UTC),
            updated_at=self.created_at.astimezone(UTC),
            generator=self.generator,
            model=self.model,
            parameters=_copied(self.parameters),
            derived_from=self.derived_from,
            batch=self.batch,
        )


@dataclass(frozen=True, slots=True)
class ImageResult:
    """All that is known of an image once its bytes are durable."""

    filename: str
    picture: Picture
    size_bytes: int
    sha256: str
    model: str | None
    revised_prompt: str | None
    usage: Mapping[str, Any] | None
    reported: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ImageChanges:
    """What an author may change later; None leaves a field as it is."""

    filename: str | None = None
    tags: tuple[str, ...] | None = None
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the repository knows it; `id` is internal and never leaves the service."""

    id: int
    guid: str
    filename: str
    prompt: str
    tags: tuple[str, ...]
    author: str | None
    visibility: Visibility
    status: Status
    created_at: datetime
    updated_at: datetime
    generator: str
    model: str | None
    parameters: Mapping[str, Any]
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    reported: Mapping[str, Any] | None = None
    error: Failure | None = None
    derived_from: tuple[str, ...] = ()
    batch: str | None = None
    placeholder: str | None = None
    """A tiny likeness as a data: URI, None until one was made."""

    def finished(self, result: ImageResult, now: datetime) -> "Image":
        """The image that this one becomes with a result, or itself if it has exactly this result already.

        Then the file name counts for nothing, since its author may have changed it.
        """
        ready = replace(
            self,
            status=Status.READY,
            media_type=result.picture.media_type,
            width=result.picture.width,
            height=result.picture.height,
            size_bytes=result.size_bytes,
            sha256=result.sha256,
            model=result.model,
            revised_prompt=result.revised_prompt,
            usage=None if result.usage is None else _copied(result.usage),
            reported=None if result.reported is None else _copied(result.reported),
            error=None,
        )
        return self if ready == self else replace(ready, filename=result.filename, updated_at=now.astimezone(UTC))


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as JSON has it: what a caller does to its own later must not reach what is kept."""
    copy: dict[str, Any] = json.loads(json.dumps(dict(value)))
    return copy


def new_guid() -> str:
    """A fresh random GUID (RFC 9562, version 4), lower-case with hyphens."""
    return str(uuid.uuid4())


def parse_guid(text: str) -> str:
    """The canonical form of a GUID given as 8-4-4-4-12 hexadecimal digits of either case.

    Raises ImageNotFoundError: what is no GUID names no image.
    """
    try:
        guid = str(uuid.UUID(text))
    except ValueError:
        guid = None
    if guid is None or guid != text.lower():
        raise ImageNotFoundError("There is no such image.")
    return guid
