"""Settling what an interruption left behind: adopted, settled or moved aside, never deleted."""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.thumbnail_store import MemoryThumbnailStore
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.maintenance.findings import Action, Finding
from pixyproxy.application.maintenance.rebuilder import Rebuilder
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.maintenance.verifier import Verifier
from pixyproxy.domain import errors
from pixyproxy.domain.generation import ImageDraft, Lease
from pixyproxy.domain.image import Failure, Image, ImageRequest, ImageResult, Picture, Status, Visibility, new_guid

DATA = b"\x89PNG a picture"
LEASE_S = 60.0


@dataclass
class Ruin:
    """Rows and bytes to be brought into disorder, and who puts them in order."""

    root: Path
    images: MemoryImageRepository
    recovery: MemoryMaintenanceRepository
    blobs: FilesystemBlobStore
    stored: FilesystemBlobMaintenance
    thumbnails: MemoryThumbnailStore
    clock: SystemClock

    def reconciler(self, owner: str = "tidy") -> Reconciler:
        return Reconciler(
            self.images,
            self.recovery,
            self.blobs,
            self.stored,
            self.thumbnails,
            self.clock,
            owner=owner,
            lease_s=LEASE_S,
        )

    async def row(self, *, lease_s: float = -1, guid: str | None = None) -> Image:
        now = self.clock.now()
        return await self.images.add(
            ImageDraft(
                ImageRequest(
                    guid=guid or new_guid(),
                    filename="duck.png",
                    prompt="duck",
                    tags=("a",),
                    author="alice",
                    visibility=Visibility.PRIVATE,
                    generator="sketch",
                    model=None,
                    parameters={},
                    created_at=now,
                ),
                Lease("gone", now + timedelta(seconds=lease_s)),
            )
        )

    async def store(self, image: Image, data: bytes = DATA, *, aside: bool = False) -> ImageResult:
        result = result_for(data)
        put = self.blobs.rescue if aside else self.blobs.put
        await put(image.guid, data, sidecar_of(image.finished(result, self.clock.now())))
        return result

    async def ready(self) -> Image:
        image = await self.row()
        return await self.images.mark_ready(image.guid, await self.store(image), self.clock.now())

    def path(self, guid: str) -> Path:
        return self.root / guid[:2] / guid[2:4] / f"{guid}.bin"

    def age(self) -> None:
        long_ago = (self.clock.now() - timedelta(days=1)).timestamp()
        for path in self.root.rglob("*"):
            os.utime(path, (long_ago, long_ago))

    async def tidy(self, *, apply: bool = True) -> list[Finding]:
        reconciler = self.reconciler()
        found = [finding async for finding in reconciler.interrupted(apply=apply)]
        return found + [finding async for finding in reconciler.sweep(apply=apply)]


def result_for(data: bytes) -> ImageResult:
    sha256 = hashlib.sha256(data).hexdigest()
    return ImageResult(Picture("image/png", 2, 1), len(data), sha256, "m-1", usage={"n": 1})


@pytest.fixture
async def ruin(tmp_path: Path) -> AsyncIterator[Ruin]:
    root, rescue, storage = tmp_path / "images", (tmp_path / "rescue",), MemoryStorage()
    parts = Ruin(
        root,
        MemoryImageRepository(storage),
        MemoryMaintenanceRepository(storage),
        FilesystemBlobStore(root, rescue_dirs=rescue),
        FilesystemBlobMaintenance(root, rescue_dirs=rescue),
        MemoryThumbnailStore(),
        SystemClock(),
    )
    for part in (parts.images, parts.recovery, parts.blobs, parts.stored):
        await part.open()
    yield parts
    for part in (parts.stored, parts.blobs, parts.recovery, parts.images):
        await part.close()


async def test_nothing_is_found_where_all_is_well(ruin: Ruin) -> None:
    await ruin.ready()
    await ruin.row(lease_s=60)
    assert await ruin.tidy() == []


async def test_whole_bytes_are_adopted(ruin: Ruin) -> None:
    image = await ruin.row()
    result = await ruin.store(image)
    assert [finding.action for finding in await ruin.tidy(apply=False)] == [Action.ADOPT]
    assert (await ruin.images.get(image.guid)).status is Status.GENERATING
    assert [finding.action for finding in await ruin.tidy()] == [Action.ADOPT]
    ready = await ruin.images.get(image.guid)
    assert (ready.status, ready.result.sha256, ready.request.model, ready.result.usage) == (
        Status.READY,
        result.sha256,
        "m-1",
        {"n": 1},
    )
    assert await ruin.tidy() == []


async def test_a_row_without_bytes_becomes_unknown(ruin: Ruin) -> None:
    image = await ruin.row()
    assert [finding.action for finding in await ruin.tidy(apply=False)] == [Action.SETTLE]
    assert [finding.action for finding in await ruin.tidy()] == [Action.SETTLE]
    settled = await ruin.images.get(image.guid)
    assert settled.status is Status.UNKNOWN
    assert settled.failure is not None
    assert settled.failure.code == errors.GenerationInterruptedError.code
    assert await ruin.tidy() == []


async def test_a_row_whose_lease_runs_is_left_alone(ruin: Ruin) -> None:
    image = await ruin.row(lease_s=60)
    await ruin.store(image)
    assert await ruin.tidy() == []
    assert (await ruin.images.get(image.guid)).status is Status.GENERATING


@pytest.mark.parametrize("status", [Status.FAILED, Status.UNKNOWN])
async def test_bytes_of_a_row_that_gave_up_are_adopted(ruin: Ruin, status: Status) -> None:
    image = await ruin.row()
    await ruin.store(image)
    await ruin.images.mark_failed(image.guid, status, Failure("x", "y"), ruin.clock.now())
    assert [finding.action for finding in await ruin.tidy()] == [Action.ADOPT]
    ready = await ruin.images.get(image.guid)
    assert (ready.status, ready.failure) == (Status.READY, None)


@pytest.mark.parametrize("settled", [False, True])
async def test_bytes_kept_aside_are_adopted(ruin: Ruin, settled: bool) -> None:
    image = await ruin.row()
    await ruin.store(image, aside=True)
    if settled:
        await ruin.images.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), ruin.clock.now())
    assert [finding.action for finding in await ruin.tidy(apply=False)] == [Action.ADOPT]
    assert [finding.action for finding in await ruin.tidy()] == [Action.ADOPT]
    assert (await ruin.images.get(image.guid)).status is Status.READY
    async with await ruin.blobs.read(image.guid, size=len(DATA)) as reader:
        assert [piece async for piece in reader] == [DATA]
    assert await ruin.tidy() == []


async def test_lost_bytes_are_replaced_by_what_is_kept_aside(ruin: Ruin) -> None:
    image = await ruin.ready()
    await ruin.store(image, aside=True)
    ruin.path(image.guid).unlink()
    assert [finding.action for finding in await ruin.tidy()] == [Action.ADOPT]
    assert ruin.path(image.guid).read_bytes() == DATA
    assert await ruin.images.get(image.guid) == image
    assert await ruin.tidy() == []


async def test_what_is_kept_aside_and_no_picture_is_no_finding(ruin: Ruin) -> None:
    image = await ruin.row()
    await ruin.images.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), ruin.clock.now())
    await ruin.blobs.rescue(image.guid, b"<html>", {"guid": image.guid})
    assert await ruin.tidy() == []
    assert (await ruin.images.get(image.guid)).status is Status.FAILED


async def test_bytes_without_a_row_are_moved_aside_once_they_are_old(ruin: Ruin) -> None:
    image = await ruin.ready()
    await ruin.images.delete(image.guid)
    assert await ruin.tidy() == []
    ruin.age()
    assert [finding.action for finding in await ruin.tidy(apply=False)] == [Action.QUARANTINE]
    assert ruin.path(image.guid).exists()
    assert [finding.action for finding in await ruin.tidy()] == [Action.QUARANTINE]
    assert not ruin.path(image.guid).exists()
    assert [path.read_bytes() for path in (ruin.root / "quarantine").glob("*.bin")] == [DATA]
    assert await ruin.tidy() == []


async def test_a_store_that_belongs_to_another_database_is_not_moved(ruin: Ruin) -> None:
    for image in [await ruin.ready() for _ in range(11)]:
        await ruin.images.delete(image.guid)
    ruin.age()
    [finding] = await ruin.tidy()
    assert finding.action is Action.REPORT
    assert "rebuild" in finding.description
    assert len(list(ruin.root.glob("??/??/*.bin"))) == 11


@pytest.mark.parametrize("damage", ["missing", "short"])
async def test_lost_bytes_are_reported_and_the_row_stays(ruin: Ruin, damage: str) -> None:
    image = await ruin.ready()
    if damage == "missing":
        ruin.path(image.guid).unlink()
    else:
        ruin.path(image.guid).write_bytes(DATA[:-1])
    assert [finding.action for finding in await ruin.tidy()] == [Action.REPORT]
    assert await ruin.images.get(image.guid) == image


async def test_damaged_bytes_are_not_adopted(ruin: Ruin) -> None:
    image = await ruin.row()
    await ruin.store(image)
    ruin.path(image.guid).write_bytes(DATA[:-1] + b"!")
    assert [finding.action for finding in await ruin.tidy()] == [Action.SETTLE]
    assert (await ruin.images.get(image.guid)).status is Status.UNKNOWN
    assert ruin.path(image.guid).exists()
    assert await ruin.tidy() == []


async def test_nothing_is_settled_while_the_store_is_away(ruin: Ruin) -> None:
    image = await ruin.row()
    ruin.root.rename(ruin.root.with_name("elsewhere"))
    with pytest.raises(errors.BlobStoreError):
        await ruin.tidy()
    assert (await ruin.images.get(image.guid)).status is Status.GENERATING
    ruin.root.with_name("elsewhere").rename(ruin.root)


async def test_two_reconcilers_settle_each_row_once(ruin: Ruin) -> None:
    guids = {(await ruin.row()).guid for _ in range(10)}
    one, other = ruin.reconciler("one").interrupted(apply=True), ruin.reconciler("other").interrupted(apply=True)
    found: list[Finding] = []
    running = [one, other]
    while running:
        for look in list(running):
            finding = await anext(look, None)
            if finding is None:
                running.remove(look)
            else:
                found.append(finding)
    assert sorted(finding.guid for finding in found) == sorted(guids)


async def test_the_verifier_finds_every_damage(ruin: Ruin) -> None:
    whole, flipped, short, missing = [await ruin.ready() for _ in range(4)]
    ruin.path(flipped.guid).write_bytes(DATA[:-1] + b"!")
    ruin.path(short.guid).write_bytes(DATA[:-1])
    ruin.path(missing.guid).unlink()
    verifier = Verifier(ruin.recovery, ruin.stored)
    problems = {verified.guid: verified.problem async for verified in verifier.verify_all()}
    assert problems.pop(whole.guid) is None
    assert set(problems) == {flipped.guid, short.guid, missing.guid}
    assert all(problems.values())
    assert (await verifier.totals()).images == 4


async def test_an_empty_database_is_filled_from_the_sidecars(ruin: Ruin) -> None:
    images = [await ruin.ready() for _ in range(3)]
    storage = MemoryStorage()
    fresh, recovery = MemoryImageRepository(storage), MemoryMaintenanceRepository(storage)
    rebuilder = Rebuilder(recovery, ruin.blobs, ruin.stored)
    guids = await rebuilder.find()
    assert {rebuilt.outcome async for rebuilt in rebuilder.rebuild(guids)} == {"restored"}
    for image in images:
        restored = await fresh.get(image.guid)
        assert replace(restored, id=image.id, updated_at=image.updated_at) == image
    assert {rebuilt.outcome async for rebuilt in rebuilder.rebuild(guids)} == {"known"}


async def test_what_a_sidecar_does_not_describe_is_not_restored(ruin: Ruin) -> None:
    image = await ruin.ready()
    ruin.path(image.guid).with_suffix(".json").write_text("{}")
    other = await ruin.ready()
    ruin.path(other.guid).write_bytes(b"other bytes")
    storage = MemoryStorage()
    rebuilder = Rebuilder(MemoryMaintenanceRepository(storage), ruin.blobs, ruin.stored)
    outcomes = [rebuilt.outcome async for rebuilt in rebuilder.rebuild(await rebuilder.find())]
    assert len(outcomes) == 2
    assert not storage.images


async def test_thumbnails_go_where_their_row_is_gone(ruin: Ruin) -> None:
    there, gone = await ruin.ready(), new_guid()
    for guid in (there.guid, gone):
        await ruin.thumbnails.put(guid, "a.webp", b"small")
    [finding] = await ruin.tidy(apply=False)
    assert finding == Finding(gone, "thumbnails without a row", Action.DROP)
    assert await ruin.thumbnails.get(gone, "a.webp") == b"small"
    assert await ruin.tidy() == [finding]
    assert await ruin.tidy() == []
    assert await ruin.thumbnails.get(gone, "a.webp") is None
    assert await ruin.thumbnails.get(there.guid, "a.webp") == b"small"
    assert ruin.path(there.guid).read_bytes() == DATA


async def test_what_is_adopted_is_made_durable_before_its_row_says_ready(
    ruin: Ruin, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await ruin.row()
    await ruin.store(image)
    statuses: list[Status] = []

    async def look_at_the_row(guid: str) -> None:
        statuses.append((await ruin.images.get(guid)).status)

    monkeypatch.setattr(ruin.stored, "make_durable", look_at_the_row)
    await ruin.tidy()
    assert statuses == [Status.GENERATING]
    assert (await ruin.images.get(image.guid)).status is Status.READY
