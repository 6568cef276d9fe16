"""The image and what goes into the making of one."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

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
class GenerationRequest:
    """What a generator is asked for.

    `model` None leaves the choice to the generator. `options` are passed on as they are (`size`,
    `quality`, `background`, `output_format`, …): which values are good is the generator's to say.
    """

    prompt: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """What a generator made: the bytes as they came and what it reports of them (None: not reported)."""

    data: bytes
    model: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """A caller's claim of an idempotency key for a request.

    `caller` is the username, empty for anonymous callers, who are one caller. `fingerprint` is the sha256
    (hexadecimal) of the canonical request: another request under the same key has another.
    """

    caller: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ImageDraft:
    """All that is known of an image when its generation begins.

    `lease_owner` and `lease_expires_at` say which process works on it and until when nobody else may
    settle it.
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
    error: Failure | None = None


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
