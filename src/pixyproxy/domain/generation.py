"""The generation: a request to a generator, its pictures, and the claims that make it happen once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pixyproxy.domain.image import Image, ImageRequest, Picture, Status


@dataclass(frozen=True, slots=True)
class EditSource:
    """A picture that another is made from: a seekable file, open for reading, and its properties."""

    file: BinaryIO = field(repr=False, compare=False)
    picture: Picture
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request to a generator: `n` pictures from a prompt, or from a prompt and `images`.

    `model` None leaves the choice to the generator. `options` are passed on unchanged (`size`, `quality`,
    `background`, `output_format`, …): the generator judges their values. `attachments` are further pictures of an
    edit by the names of their parameters (`mask`, …). With `early_views` the caller wants partial images, as many as
    the option `partial_images` says.
    """

    prompt: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    n: int = 1
    images: tuple[EditSource, ...] = ()
    attachments: Mapping[str, EditSource] = field(default_factory=dict)
    early_views: bool = False


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A picture from a generator: its bytes as they came, and what the generator reports of it (None: not reported).

    `usage` is the share of this picture in the usage of the call. `reported` holds the options that were used, such
    as `size`, `quality`, `background` and `output_format`.
    """

    data: bytes
    model: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    reported: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PartialImage:
    """An early view of a picture that is being generated, counted from 0 by `index`."""

    data: bytes
    index: int
    reported: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratorModel:
    """A model that a generator offers.

    `is_default` marks the model that is used if a request names none; `shutdown_date` is as announced.
    """

    id: str
    created_at: datetime | None = None
    owned_by: str | None = None
    shutdown_date: str | None = None
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """A caller's claim to a request, by which a repeat of the request is recognised.

    `caller` is the username; all anonymous callers share the empty one. `fingerprint` is the sha256 (hexadecimal) of
    the canonical request. With a `key` the claim is exclusive; without one the fingerprint is only recorded.
    """

    caller: str
    key: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process, `owner`, to work on a row until `expires_at`."""

    owner: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An image of an earlier identical request, as far as it tells whether that request is uncertain.

    `lease` is that of a `generating` image. `caller_left_at` is the time when its caller left without the answer.
    """

    guid: str
    status: Status
    updated_at: datetime
    batch: str | None
    lease: Lease | None
    caller_left_at: datetime | None


@dataclass(frozen=True, slots=True)
class ImageDraft:
    """An image whose generation is about to begin, with the lease and the claim that are recorded with it."""

    request: ImageRequest
    lease: Lease
    claim: IdempotencyClaim | None = None

    @property
    def guid(self) -> str:
        return self.request.guid

    def recorded(self, image_id: int) -> Image:
        """Return the image that this draft is once it is recorded under an id."""
        created_at = self.request.created_at.astimezone(UTC)
        request = replace(self.request, created_at=created_at)
        return Image(image_id, request, Status.GENERATING, updated_at=created_at)
