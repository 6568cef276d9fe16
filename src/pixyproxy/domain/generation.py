"""The generation: a request to a generator, its pictures, and the claims that make it happen once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pixyproxy.domain.image import Image, ImageRequest, Picture, Status
from pixyproxy.domain.money.charges import Charge, Reservation
from pixyproxy.domain.money.prices import PricedRequest
from pixyproxy.domain.usage import CallUsage

PERSONAL_OPTIONS = frozenset({"user", "safety_identifier"})
"""Options that name a person to the generator: passed on, but not recorded with an image that may be public."""


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

    @property
    def priced(self) -> PricedRequest:
        """The parts that decide the price."""
        sources = (*self.images, *self.attachments.values())
        pictures = tuple(source.picture for source in sources)
        return PricedRequest(self.model, self.prompt, self.options, self.n, pictures)


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A picture from a generator: its bytes as they came, and what the generator reports of it (None: not reported).

    `usage` is the share of this picture in the usage of the call, `call_usage` all of it. `reported` holds the options
    that were used, such as `size`, `quality`, `background` and `output_format`.
    """

    data: bytes
    model: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    reported: Mapping[str, Any] | None = None
    call_usage: CallUsage | None = None


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
    the canonical request. With a `key` the claim is exclusive; without one the fingerprint is only recorded. `holder`
    tells apart the anonymous callers who use the same key: the sha256 of the key and the caller's address, if known.
    """

    caller: str
    key: str | None
    fingerprint: str
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process, `owner`, to work on a row until `expires_at`."""

    owner: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A copy of an edit source in the blob store, under a GUID of its own."""

    guid: str
    picture: Picture
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class QueuedCall:
    """The part of a call that waits for its turn which the rows of its images do not hold.

    `party` is the caller in whose name it gets its turn. `personal` holds the options that are passed on and not
    recorded. `images` and `attachments` are copies of the edit sources.
    """

    party: str
    personal: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[StoredSource, ...] = ()
    attachments: Mapping[str, StoredSource] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[StoredSource, ...]:
        """All copies of edit sources."""
        return (*self.images, *self.attachments.values())

    def as_json(self) -> dict[str, Any]:
        """Return the call as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "QueuedCall":
        """Return the call that `as_json` described."""

        def source(one: Mapping[str, Any]) -> StoredSource:
            return StoredSource(**{**one, "picture": Picture(**one["picture"])})

        attachments = {name: source(one) for name, one in values["attachments"].items()}
        return cls(values["party"], values["personal"], tuple(map(source, values["images"])), attachments)


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """The place of a call in the queue, from 1 for the next, and the seconds until its turn (None: not known)."""

    position: int
    eta_s: int | None


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An image of an earlier identical request, as far as it tells whether that request is uncertain.

    `lease` is that of the process at work on it or, if it is `ready`, of the one that owes its caller the answer.
    `caller_left_at` is the time when its caller left without the answer.
    """

    guid: str
    status: Status
    updated_at: datetime
    batch: str | None
    lease: Lease | None
    caller_left_at: datetime | None


@dataclass(frozen=True, slots=True)
class ImageDraft:
    """An image whose generation is about to begin, or waits for its turn, with what is recorded with it.

    `reservation` is the highest price of the picture, which its charge in the ledger holds until the outcome is known;
    None: nothing is charged. `queued_call` is that of a call that waits, with the first of its images.
    """

    request: ImageRequest
    lease: Lease
    claim: IdempotencyClaim | None = None
    reservation: Reservation | None = None
    status: Status = Status.GENERATING
    queued_call: QueuedCall | None = None

    @property
    def guid(self) -> str:
        return self.request.guid

    def charge(self, class_key: str | None) -> Charge | None:
        """Return the charge of this draft, whose caller is in this class; None without a reservation."""
        if self.reservation is None:
            return None
        request, reservation = self.request, self.reservation
        reserved_at = request.created_at.astimezone(UTC)
        return Charge(
            request.guid, request.author, class_key, request.model, reserved_at, reservation.usd, reservation.source
        )

    def recorded(self, image_id: int) -> Image:
        """Return the image that this draft is once it is recorded under an id."""
        created_at = self.request.created_at.astimezone(UTC)
        request = replace(self.request, created_at=created_at)
        return Image(image_id, request, self.status, updated_at=created_at)


@dataclass(frozen=True, slots=True)
class GenerationOutcome:
    """The images of a generation, at least one; `replayed` if an earlier submission had them generated."""

    images: tuple[Image, ...]
    replayed: bool = False

    @property
    def image(self) -> Image:
        """The first image, which is the only one unless several were requested."""
        return self.images[0]
