"""Thumbnails: made once for concurrent requests, stored, and deleted with their image; and placeholders."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.thumbnail_store import MemoryThumbnailStore
from pixyproxy.application.images import placeholders as placeholders_module
from pixyproxy.application.images import thumbnails as thumbnails_module
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.placeholders import MAX_QUEUED, Placeholders
from pixyproxy.application.images.thumbnails import Thumbnails
from pixyproxy.domain import errors
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Image
from tests.fixtures.core import PNG, FailingBlobStore, ScriptedGenerator, SteppingClock, image_service_on
from tests.fixtures.images import alter
from tests.fixtures.scaler import ScriptedScaler


class Blobs(FailingBlobStore):
    """A blob store that counts the reads of originals."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None):  # type: ignore[no-untyped-def]
        self.reads += 1
        return await super().read(guid, size=size, start=start, stop=stop)


class Store(MemoryThumbnailStore):
    """A thumbnail store whose `put` fails if the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: errors.BlobStoreError | None = None

    async def put(self, guid: str, name: str, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        await super().put(guid, name, data)


@dataclass
class House:
    images: MemoryImageRepository
    service: ImageService
    generator: ScriptedGenerator
    blobs: Blobs
    store: Store
    scaler: ScriptedScaler
    placeholders: Placeholders
    thumbnails: Thumbnails

    async def image(self, **fields: object) -> Image:
        return (await self.service.create("alice", {"prompt": "a duck"} | fields)).image

    async def thumbnail(self, guid: str, size: int = 256, media_type: str = "image/webp") -> bytes:
        return await (await self.thumbnails.open("alice", guid, {"size": size}, media_type)).read()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    storage, generator, blobs, scaler = MemoryStorage(), ScriptedGenerator(), Blobs(), ScriptedScaler()
    store = Store()
    images = MemoryImageRepository(storage)
    service, _ = image_service_on(
        images, MemoryMaintenanceRepository(storage), blobs, generator, SteppingClock(), thumbnails=store
    )
    placeholders = Placeholders(images, blobs, scaler)
    thumbnails = Thumbnails(service, store, scaler, placeholders)
    yield House(images, service, generator, blobs, store, scaler, placeholders, thumbnails)
    await thumbnails.close()


async def test_a_thumbnail_is_made_once_and_kept(house: House) -> None:
    image = await house.image()
    for _ in range(3):
        assert await house.thumbnail(image.guid) == b"256 image/webp"
    assert house.scaler.scaled == [(PNG, 256, "image/webp")]
    assert house.blobs.reads == 1


async def test_each_size_and_format_is_another(house: House) -> None:
    image, requested = await house.image(), [(128, "image/webp"), (128, "image/jpeg"), (1024, "image/webp")]
    opened = [await house.thumbnails.open("alice", image.guid, {"size": size}, kind) for size, kind in requested]
    assert [await thumbnail.read() for thumbnail in opened] == [b"%d %s" % (s, kind.encode()) for s, kind in requested]
    assert len({thumbnail.tag for thumbnail in opened}) == 3
    assert [thumbnail.filename.rpartition(".")[2] for thumbnail in opened] == ["webp", "jpg", "webp"]
    assert opened[0].filename.rpartition(".")[0] == image.request.filename.rpartition(".")[0]


@pytest.mark.parametrize(
    ("filename", "expected"), [("duck", "duck.webp"), (".png", ".png.webp"), ("a.b.png", "a.b.webp")]
)
async def test_the_file_name(house: House, filename: str, expected: str) -> None:
    image = await house.image(filename=filename)
    assert (await house.thumbnails.open("alice", image.guid, {}, "image/webp")).filename == expected


async def test_concurrent_requests_make_a_thumbnail_once(house: House) -> None:
    image = await house.image()
    house.scaler.gate = asyncio.Event()
    asking = [asyncio.create_task(house.thumbnail(image.guid)) for _ in range(100)]
    other = asyncio.create_task(house.thumbnail(image.guid, 128))
    await asyncio.sleep(0.01)
    house.scaler.gate.set()
    assert set(await asyncio.gather(*asking)) == {b"256 image/webp"}
    assert await other == b"128 image/webp"
    assert sorted(size for _, size, _ in house.scaler.scaled) == [128, 256]


async def test_a_cancelled_request_does_not_affect_others(house: House) -> None:
    image = await house.image()
    house.scaler.gate = asyncio.Event()
    asking = [asyncio.create_task(house.thumbnail(image.guid)) for _ in range(3)]
    await asyncio.sleep(0.01)
    asking[0].cancel()
    await asyncio.sleep(0)
    house.scaler.gate.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [b"256 image/webp"] * 2
    assert len(house.scaler.scaled) == 1


async def test_a_failure_reaches_every_request_and_is_not_cached(house: House) -> None:
    image = await house.image()
    house.scaler.failure = errors.DataValidationError("damaged")
    requested = (house.thumbnail(image.guid) for _ in range(3))
    assert [str(outcome) for outcome in await asyncio.gather(*requested, return_exceptions=True)] == ["damaged"] * 3
    assert len(house.scaler.scaled) == 1
    house.scaler.failure = None
    assert await house.thumbnail(image.guid) == b"256 image/webp"


async def test_too_many_at_once_are_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails_module, "MAX_PENDING", 1)
    one, two = await house.image(), await house.image()
    house.scaler.gate = asyncio.Event()
    asking = [asyncio.create_task(house.thumbnail(one.guid)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(errors.CapacityExceededError):
        await house.thumbnail(two.guid)
    house.scaler.gate.set()
    await asyncio.gather(*asking)
    assert await house.thumbnail(two.guid)


async def test_at_most_four_originals_are_in_memory(house: House) -> None:
    images = [await house.image() for _ in range(10)]
    house.scaler.gate = asyncio.Event()
    asking = [asyncio.create_task(house.thumbnail(image.guid)) for image in images]
    await asyncio.sleep(0.01)
    assert (house.blobs.reads, len(house.scaler.scaled)) == (4, 4)
    house.scaler.gate.set()
    await asyncio.gather(*asking)
    assert house.blobs.reads == 10


async def test_closing_cancels_thumbnails_being_made(house: House) -> None:
    image = await house.image()
    house.scaler.gate = asyncio.Event()
    asking = asyncio.create_task(house.thumbnail(image.guid))
    await asyncio.sleep(0.01)
    await house.thumbnails.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_full_store_does_not_keep_a_thumbnail_from_being_returned(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    image = await house.image()
    house.store.failure = errors.BlobStoreFullError("full")
    for _ in range(2):
        assert await house.thumbnail(image.guid) == b"256 image/webp"
    assert len(house.scaler.scaled) == 2
    assert f"thumbnail of image {image.guid} is not stored: full" in caplog.text


async def test_other_bytes_of_the_same_image_have_another_thumbnail(house: House) -> None:
    """As after a picture was restored by hand."""
    image = await house.image()
    first = await house.thumbnails.open("alice", image.guid, {}, "image/webp")
    house.images._storage.images[image.guid] = alter(image, sha256="0" * 64)
    assert (await house.thumbnails.open("alice", image.guid, {}, "image/webp")).tag != first.tag


async def test_a_damaged_original_is_not_scaled(house: House) -> None:
    image = await house.image()
    house.blobs._storage[image.guid] = (b"x" * len(PNG), "{}")
    with pytest.raises(errors.BlobCorruptError):
        await house.thumbnail(image.guid)
    assert house.scaler.scaled == []


async def test_a_thumbnail_is_deleted_with_its_image(house: House) -> None:
    image = await house.image()
    await house.thumbnail(image.guid)
    assert house.store._storage
    await house.service.delete("alice", image.guid)
    assert (house.blobs._storage, house.store._storage) == ({}, {})
    with pytest.raises(errors.ImageNotFoundError):
        await house.thumbnail(image.guid)


async def test_access_is_that_of_the_content(house: House) -> None:
    image = await house.image(visibility="private")
    for viewer in ("bob", None):
        with pytest.raises(errors.ImageNotFoundError):
            await house.thumbnails.open(viewer, image.guid, {}, "image/webp")
    await house.thumbnails.open("alice", image.guid, {}, "image/webp")
    await house.thumbnails.open(None, image.guid, {}, "image/webp", by_link=True)
    house.generator.outcome = errors.PromptRejectedError("no")
    with pytest.raises(errors.PromptRejectedError):
        await house.image(visibility="public")
    [failed] = [one for one in house.images._storage.images.values() if one.guid != image.guid]
    with pytest.raises(errors.ImageNotReadyError):
        await house.thumbnails.open("alice", failed.guid, {}, "image/webp")


@pytest.mark.parametrize("size", [0, 255, 257, -128, 2048, "256", True, None])
async def test_no_other_size(house: House, size: object) -> None:
    image = await house.image()
    with pytest.raises(errors.DataValidationError) as caught:
        await house.thumbnails.open("alice", image.guid, {"size": size}, "image/webp")
    assert caught.value.errors[0].loc == ("size",)


# Placeholders


async def test_the_first_thumbnail_makes_the_placeholder(house: House) -> None:
    image = await house.image()
    assert image.placeholder is None
    await house.thumbnail(image.guid)
    assert (await house.images.get(image.guid)).placeholder == "data:,1"
    await house.thumbnail(image.guid, 128)
    assert house.scaler.likened == [b"256 image/webp"]


async def test_a_placeholder_that_cannot_be_recorded_does_not_affect_the_thumbnail(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def set_placeholder(guid: str, placeholder: str) -> None:
        raise errors.DBConnectionError("away")

    image = await house.image()
    with monkeypatch.context() as patched:
        patched.setattr(house.images, "set_placeholder", set_placeholder)
        assert await house.thumbnail(image.guid) == b"256 image/webp"
    assert (await house.images.get(image.guid)).placeholder is None
    assert await house.thumbnail(image.guid) == b"256 image/webp"
    assert (await house.images.get(image.guid)).placeholder is not None
    assert len(house.scaler.scaled) == 1


async def made(house: House, images: list[Image]) -> list[str]:
    """Wait until no work is left, and return the guids of the images that have a placeholder."""
    worker = asyncio.create_task(house.placeholders.run())
    for _ in range(1000):
        await asyncio.sleep(0)
    worker.cancel()
    await asyncio.wait([worker])
    return [image.guid for image in images if (await house.images.get(image.guid)).placeholder]


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placeholders_module, "REST", 0)


async def test_an_offered_image_gets_its_placeholder_in_the_background(house: House, restless: None) -> None:
    images = [await house.image() for _ in range(3)]
    for image in images:
        house.placeholders.offer(image)
    assert house.blobs.reads == 0
    assert await made(house, images) == [image.guid for image in images]
    assert house.scaler.likened == [PNG] * 3


async def test_they_are_made_one_at_a_time_and_more_than_a_few_are_skipped(house: House, restless: None) -> None:
    images = [await house.image() for _ in range(MAX_QUEUED + 5)]
    for image in images:
        house.placeholders.offer(image)
    house.scaler.gate = asyncio.Event()
    assert await made(house, images) == []
    assert (house.blobs.reads, len(house.scaler.likened)) == (1, 1)
    house.scaler.gate.set()
    assert await made(house, images) == [image.guid for image in images[1:MAX_QUEUED]]


async def test_there_is_a_pause_after_each_placeholder(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: asyncio.Queue[float] = asyncio.Queue()
    sleep = asyncio.sleep

    async def placeholder(data: bytes) -> str:
        await sleep(0.02)
        return "data:,"

    async def rest(seconds: float) -> None:
        await slept.put(seconds)
        await asyncio.Event().wait()

    monkeypatch.setattr(house.scaler, "placeholder", placeholder)
    monkeypatch.setattr(placeholders_module.asyncio, "sleep", rest)
    house.placeholders.offer(await house.image())
    worker = asyncio.create_task(house.placeholders.run())
    assert await slept.get() >= placeholders_module.REST * 0.02
    worker.cancel()
    await asyncio.wait([worker])


@pytest.mark.parametrize("failure", [errors.DataValidationError("an SVG"), RuntimeError("a fault")])
async def test_a_failed_placeholder_does_not_stop_the_others(
    house: House, restless: None, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await house.image(), await house.image()
    house.scaler.failure = failure
    house.placeholders.offer(one)
    assert await made(house, [one]) == []
    assert one.guid in caplog.text or isinstance(failure, errors.DataValidationError)
    house.scaler.failure = None
    house.placeholders.offer(two)
    assert await made(house, [one, two]) == [two.guid]


async def test_an_image_deleted_meanwhile_is_no_error(house: House, restless: None) -> None:
    gone, stays = await house.image(), await house.image()
    house.placeholders.offer(gone)
    house.placeholders.offer(stays)
    await house.service.delete("alice", gone.guid)
    assert await made(house, [stays]) == [stays.guid]


async def test_a_large_original_is_read_whole(house: House) -> None:
    data = PNG + bytes(3 * 1024 * 1024)
    house.generator.outcome = GeneratedImage(data)
    image = await house.image()
    await house.thumbnail(image.guid)
    assert house.scaler.scaled[0][0] == data
