"""Stand-ins behind the ports for the unit tests of the core."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from pixyproxy.application.generation.admission import ByteBudget
from pixyproxy.application.generation.edit_sources import EditSourceReader
from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.generation.submission import Submitter
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.errors import BlobStoreError, DataValidationError
from pixyproxy.domain.image import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage, Picture
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator, MakeRoom, OnPartial
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.password_hasher import PasswordHasher
from pixyproxy.ports.picture_inspector import PictureInspector

PNG = b"\x89PNG a picture"


class SteppingClock(Clock):
    """A clock that moves on by a second whenever it is read, and by hand."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 21, 10, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def advance(self, delta: timedelta) -> None:
        self._now += delta


class ScriptedGenerator(ImageGenerator):
    """Answers every request with `outcome`, after `gate` opens if there is one; keeps the requests.

    One picture as outcome is made as often as it is asked for. The `partials` are handed out before the gate.
    """

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self.outcome: GeneratedImage | tuple[GeneratedImage, ...] | Exception = GeneratedImage(
            PNG, model="scripted-1", usage={"total_tokens": 3}
        )
        self.partials: tuple[PartialImage, ...] = ()
        self.offered: tuple[GeneratorModel, ...] = (GeneratorModel("scripted-1", is_default=True),)
        self.edits = True
        self.gate: asyncio.Event | None = None
        self.on_call: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return "scripted"

    @property
    def can_edit(self) -> bool:
        return self.edits

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def generate(
        self, request: GenerationRequest, on_partial: OnPartial | None = None, make_room: MakeRoom | None = None
    ) -> tuple[GeneratedImage, ...]:
        self.requests.append(request)
        self.on_call()
        if on_partial is not None:
            for partial in self.partials:
                on_partial(partial)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome if isinstance(self.outcome, tuple) else (self.outcome,) * request.n

    async def models(self) -> tuple[GeneratorModel, ...]:
        return self.offered

    async def check(self) -> str:
        return "scripted"


class MagicInspector(PictureInspector):
    """Takes whatever begins like a PNG or a drawing for one."""

    async def inspect(self, data: bytes) -> Picture:
        if data.startswith(b"<svg"):
            return Picture("image/svg+xml", 640, 480)
        if not data.startswith(b"\x89PNG"):
            raise DataValidationError("The bytes are no picture.")
        return Picture("image/png", 640, 480)


class PlainHasher(PasswordHasher):
    """Hashes that can be read, and a count of the checks."""

    def __init__(self) -> None:
        self.checks: list[str] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, password_hash: str, password: str) -> bool:
        self.checks.append(password_hash)
        return password_hash == f"hash of {password}"


class FailingBlobStore(MemoryBlobStore):
    """A memory store whose next calls of some methods fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, BlobStoreError] = {}
        self.aside: list[tuple[str, bytes, Mapping[str, Any]]] = []

    async def check_writable(self) -> None:
        self._fail("check_writable")
        await super().check_writable()

    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        self._fail("put")
        await super().put(guid, data, sidecar)

    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        self._fail("rescue")
        self.aside.append((guid, data, sidecar))
        return await super().rescue(guid, data, sidecar)

    async def delete(self, guid: str) -> None:
        self._fail("delete")
        await super().delete(guid)

    def _fail(self, method: str) -> None:
        if method in self.failures:
            raise self.failures[method]


def image_service_on(
    images: ImageRepository,
    recovery: MaintenanceRepository,
    blobs: BlobStore,
    generator: ImageGenerator,
    clock: Clock,
    *,
    owner: str = "test",
    max_in_flight: int = 100,
    timeout_s: float = 3600,
    lease_s: float = 60,
    landings: ByteBudget | None = None,
) -> tuple[ImageService, GenerationRunner]:
    """An image service on these parts, wired as the container does it, and the generations it begins."""
    inspector = MagicInspector()
    generations = GenerationRunner(
        OutcomeRecorder(images, blobs, inspector, clock),
        recovery,
        generator,
        clock,
        owner=owner,
        max_in_flight=max_in_flight,
        timeout_s=timeout_s,
        lease_s=lease_s,
        landings=landings,
    )
    orders = Submitter(images, generations, clock)
    return ImageService(images, blobs, orders, EditSourceReader(images, blobs, inspector), clock), generations
