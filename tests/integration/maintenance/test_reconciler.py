"""Interrupted generations are adopted, settled or quarantined, and never deleted."""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.ledger import MemoryLedger
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.thumbnail_store import MemoryThumbnailStore
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.maintenance.findings import Action, Finding
from pixyproxy.application.maintenance.rebuilder import Rebuilder
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.maintenance.sweeping.sweep import SweepPosition
from pixyproxy.application.maintenance.verifier import Verifier
from pixyproxy.domain import errors
from pixyproxy.domain.generation import GeneratedImage, IdempotencyClaim, ImageDraft, Lease
from pixyproxy.domain.image import Failure, Image, ImageRequest, ImageResult, Picture, Status, Visibility, new_guid
from pixyproxy.domain.money.charges import Charge, ChargeState
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.maintenance_repository import RowSummary
from tests.fixtures.core import FakeProcesses, ScriptedGenerator, reconciler_on

DATA = b"\x89PNG a picture"
LEASE_S = 60.0


@dataclass
class ReconcilerHarness:
    """Rows and bytes that a test makes inconsistent, and a reconciler for them."""

    root: Path
    images: MemoryImageRepository
    recovery: MemoryMaintenanceRepository
    blobs: FilesystemBlobStore
    stored: FilesystemBlobMaintenance
    thumbnails: MemoryThumbnailStore
    clock: SystemClock
    generator: ImageGenerator = field(default_factory=ScriptedGenerator)
    processes: FakeProcesses = field(default_factory=FakeProcesses)

    def reconciler(self, owner: str = "reconciler") -> Reconciler:
        return reconciler_on(
            self.images,
            self.recovery,
            self.blobs,
            self.stored,
            self.clock,
            owner=owner,
            lease_s=LEASE_S,
            thumbnails=self.thumbnails,
            generator=self.generator,
            processes=self.processes,
        )

    async def row(
        self,
        *,
        lease_s: float = -1,
        guid: str | None = None,
        batch: str | None = None,
        status: Status = Status.GENERATING,
        claim: IdempotencyClaim | None = None,
    ) -> Image:
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
                    batch=batch,
                ),
                Lease("gone", now + timedelta(seconds=lease_s)),
                claim,
                status=status,
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

    async def reconcile(self, *, apply: bool = True) -> list[Finding]:
        reconciler = self.reconciler()
        found = [finding async for finding in reconciler.interrupted(apply=apply)]
        return found + [finding async for finding in reconciler.sweep(apply=apply)]


def result_for(data: bytes) -> ImageResult:
    sha256 = hashlib.sha256(data).hexdigest()
    return ImageResult(Picture("image/png", 2, 1), len(data), sha256, "m-1", usage={"n": 1})


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[ReconcilerHarness]:
    root, rescue, storage = tmp_path / "images", (tmp_path / "rescue",), MemoryStorage()
    parts = ReconcilerHarness(
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


async def test_consistent_rows_and_bytes_have_no_findings(harness: ReconcilerHarness) -> None:
    await harness.ready()
    await harness.row(lease_s=60)
    assert await harness.reconcile() == []


async def test_a_sweep_ends_after_so_many_pictures_and_goes_on_from_there(harness: ReconcilerHarness) -> None:
    guids = [prefix + new_guid()[2:] for prefix in ("01", "80", "ff")]
    for guid in guids:
        known = await harness.row(guid=guid[:2] + new_guid()[2:])
        await harness.images.mark_ready(known.guid, await harness.store(known), harness.clock.now())
        await harness.store(await harness.row(guid=guid))
        await harness.images.delete(guid)
    harness.age()
    reconciler, position = harness.reconciler(), SweepPosition()
    for guid, shard in zip(guids, (0x02, 0x81, 0), strict=True):
        found = [finding async for finding in reconciler.sweep(apply=True, position=position, pictures=1)]
        assert [(finding.guid, finding.action) for finding in found] == [(guid, Action.QUARANTINE)]
        assert position.shard == shard
    assert await harness.reconcile() == []


async def test_a_picture_that_is_stored_while_its_shard_is_compared_is_not_missing(
    harness: ReconcilerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await harness.row(lease_s=60)
    summaries = harness.recovery.summaries

    async def after_the_listing(prefix: str, after: str, limit: int) -> tuple[RowSummary, ...]:
        if image.guid.startswith(prefix) and not after:
            await harness.images.mark_ready(image.guid, await harness.store(image), harness.clock.now())
            await harness.thumbnails.put(image.guid, "a.webp", b"small")
        return await summaries(prefix, after, limit)

    monkeypatch.setattr(harness.recovery, "summaries", after_the_listing)
    assert await harness.reconcile() == []


async def test_whole_bytes_are_adopted(harness: ReconcilerHarness) -> None:
    image = await harness.row()
    result = await harness.store(image)
    assert [finding.action for finding in await harness.reconcile(apply=False)] == [Action.ADOPT]
    assert (await harness.images.get(image.guid)).status is Status.GENERATING
    assert [finding.action for finding in await harness.reconcile()] == [Action.ADOPT]
    ready = await harness.images.get(image.guid)
    assert (ready.status, ready.result.sha256, ready.request.model, ready.result.usage) == (
        Status.READY,
        result.sha256,
        "m-1",
        {"n": 1},
    )
    assert await harness.reconcile() == []


async def test_a_row_without_bytes_becomes_unknown(harness: ReconcilerHarness) -> None:
    image = await harness.row()
    assert [finding.action for finding in await harness.reconcile(apply=False)] == [Action.SETTLE]
    assert [finding.action for finding in await harness.reconcile()] == [Action.SETTLE]
    settled = await harness.images.get(image.guid)
    assert settled.status is Status.UNKNOWN
    assert settled.failure is not None
    assert settled.failure.code == errors.GenerationInterruptedError.code
    assert await harness.reconcile() == []


async def test_bytes_that_were_never_described_are_adopted(harness: ReconcilerHarness) -> None:
    image = await harness.row()
    await harness.store(image)
    harness.path(image.guid).with_suffix(".json").unlink()
    assert [finding.action for finding in await harness.reconcile(apply=False)] == [Action.ADOPT]
    assert (await harness.images.get(image.guid)).status is Status.GENERATING
    assert [finding.action for finding in await harness.reconcile()] == [Action.ADOPT]
    ready = await harness.images.get(image.guid)
    assert ready.result is not None
    assert (ready.status, ready.result.sha256) == (Status.READY, hashlib.sha256(DATA).hexdigest())
    assert (await harness.blobs.read_sidecar(image.guid))["sha256"] == ready.result.sha256
    assert await harness.reconcile() == []


async def test_bytes_that_are_no_picture_or_described_otherwise_are_not_adopted(harness: ReconcilerHarness) -> None:
    nothing, damaged = await harness.row(), await harness.row()
    await harness.store(nothing, b"no picture")
    harness.path(nothing.guid).with_suffix(".json").unlink()
    await harness.store(damaged)
    harness.path(damaged.guid).with_suffix(".json").write_text("{")
    assert {finding.action for finding in await harness.reconcile()} == {Action.SETTLE}
    for image in (nothing, damaged):
        assert (await harness.images.get(image.guid)).status is Status.UNKNOWN
        assert harness.path(image.guid).exists()


async def test_a_row_whose_lease_runs_is_left_alone(harness: ReconcilerHarness) -> None:
    image = await harness.row(lease_s=60)
    await harness.store(image)
    assert await harness.reconcile() == []
    assert (await harness.images.get(image.guid)).status is Status.GENERATING


@pytest.mark.parametrize("is_alive", [True, False, None])
async def test_a_row_of_a_killed_process_is_settled_before_its_lease_ends(
    harness: ReconcilerHarness, is_alive: bool | None
) -> None:
    if is_alive is not None:
        harness.processes.alive["gone"] = is_alive
    image = await harness.row(lease_s=60)
    await harness.store(image)
    assert await harness.reconcile(apply=False) == []
    found = await harness.reconcile()
    assert [finding.action for finding in found] == ([Action.ADOPT] if is_alive is False else [])


@pytest.mark.parametrize("status", [Status.FAILED, Status.UNKNOWN])
async def test_bytes_of_a_failed_row_are_adopted(harness: ReconcilerHarness, status: Status) -> None:
    image = await harness.row()
    await harness.store(image)
    await harness.images.mark_failed(image.guid, status, Failure("x", "y"), harness.clock.now())
    assert [finding.action for finding in await harness.reconcile()] == [Action.ADOPT]
    ready = await harness.images.get(image.guid)
    assert (ready.status, ready.failure) == (Status.READY, None)


@pytest.mark.parametrize("settled", [False, True])
async def test_rescued_bytes_are_adopted(harness: ReconcilerHarness, settled: bool) -> None:
    image = await harness.row()
    await harness.store(image, aside=True)
    if settled:
        await harness.images.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), harness.clock.now())
    assert [finding.action for finding in await harness.reconcile(apply=False)] == [Action.ADOPT]
    assert [finding.action for finding in await harness.reconcile()] == [Action.ADOPT]
    assert (await harness.images.get(image.guid)).status is Status.READY
    async with await harness.blobs.read(image.guid, size=len(DATA)) as reader:
        assert [piece async for piece in reader] == [DATA]
    assert await harness.reconcile() == []


async def test_lost_bytes_are_replaced_by_rescued_ones(harness: ReconcilerHarness) -> None:
    image = await harness.ready()
    await harness.store(image, aside=True)
    harness.path(image.guid).unlink()
    assert [finding.action for finding in await harness.reconcile()] == [Action.ADOPT]
    assert harness.path(image.guid).read_bytes() == DATA
    assert await harness.images.get(image.guid) == image
    assert await harness.reconcile() == []


async def test_rescued_bytes_that_are_no_picture_are_no_finding(harness: ReconcilerHarness) -> None:
    image = await harness.row()
    await harness.images.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), harness.clock.now())
    await harness.blobs.rescue(image.guid, b"<html>", {"guid": image.guid})
    assert await harness.reconcile() == []
    assert (await harness.images.get(image.guid)).status is Status.FAILED


async def test_old_bytes_without_a_row_are_quarantined(harness: ReconcilerHarness) -> None:
    image = await harness.ready()
    await harness.images.delete(image.guid)
    assert await harness.reconcile() == []
    harness.age()
    assert [finding.action for finding in await harness.reconcile(apply=False)] == [Action.QUARANTINE]
    assert harness.path(image.guid).exists()
    assert [finding.action for finding in await harness.reconcile()] == [Action.QUARANTINE]
    assert not harness.path(image.guid).exists()
    assert [path.read_bytes() for path in (harness.root / "quarantine").glob("*.bin")] == [DATA]
    assert await harness.reconcile() == []


async def test_a_store_that_belongs_to_another_database_is_not_moved(harness: ReconcilerHarness) -> None:
    for image in [await harness.ready() for _ in range(11)]:
        await harness.images.delete(image.guid)
    harness.age()
    [finding] = await harness.reconcile()
    assert finding.action is Action.REPORT
    assert "rebuild" in finding.description
    assert len(list(harness.root.glob("??/??/*.bin"))) == 11


@pytest.mark.parametrize("damage", ["missing", "short"])
async def test_lost_bytes_are_reported_and_the_row_stays(harness: ReconcilerHarness, damage: str) -> None:
    image = await harness.ready()
    if damage == "missing":
        harness.path(image.guid).unlink()
    else:
        harness.path(image.guid).write_bytes(DATA[:-1])
    assert [finding.action for finding in await harness.reconcile()] == [Action.REPORT]
    assert await harness.images.get(image.guid) == image


async def test_damaged_bytes_are_not_adopted(harness: ReconcilerHarness) -> None:
    image = await harness.row()
    await harness.store(image)
    harness.path(image.guid).write_bytes(DATA[:-1] + b"!")
    assert [finding.action for finding in await harness.reconcile()] == [Action.SETTLE]
    assert (await harness.images.get(image.guid)).status is Status.UNKNOWN
    assert harness.path(image.guid).exists()
    assert await harness.reconcile() == []


async def test_nothing_is_settled_while_the_store_is_away(harness: ReconcilerHarness) -> None:
    image = await harness.row()
    harness.root.rename(harness.root.with_name("elsewhere"))
    with pytest.raises(errors.BlobStoreError):
        await harness.reconcile()
    assert (await harness.images.get(image.guid)).status is Status.GENERATING
    harness.root.with_name("elsewhere").rename(harness.root)


async def test_the_caller_of_an_interrupted_image_has_left(harness: ReconcilerHarness) -> None:
    claim = IdempotencyClaim("alice", None, "a" * 64)
    row = await harness.row(claim=claim)
    await harness.reconcile(apply=False)
    long_ago = harness.clock.now() - timedelta(days=1)
    [before] = await harness.images.predecessors("alice", "a" * 64, ended_since=long_ago, left_since=long_ago)
    await harness.reconcile()
    [found] = await harness.images.predecessors("alice", "a" * 64, ended_since=long_ago, left_since=long_ago)
    assert (found.guid, before.caller_left_at) == (row.guid, None)
    assert found.caller_left_at is not None


async def test_two_reconcilers_settle_each_row_once(harness: ReconcilerHarness) -> None:
    guids = {(await harness.row()).guid for _ in range(10)}
    one, other = harness.reconciler("one").interrupted(apply=True), harness.reconciler("other").interrupted(apply=True)
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


async def test_the_verifier_finds_all_damage(harness: ReconcilerHarness) -> None:
    whole, flipped, short, missing = [await harness.ready() for _ in range(4)]
    harness.path(flipped.guid).write_bytes(DATA[:-1] + b"!")
    harness.path(short.guid).write_bytes(DATA[:-1])
    harness.path(missing.guid).unlink()
    verifier = Verifier(harness.recovery, harness.stored)
    problems = {verified.guid: verified.problem async for verified in verifier.verify_all()}
    assert problems.pop(whole.guid) is None
    assert set(problems) == {flipped.guid, short.guid, missing.guid}
    assert all(problems.values())
    assert (await verifier.totals()).images == 4


async def test_an_empty_database_is_rebuilt_from_sidecars(harness: ReconcilerHarness) -> None:
    images = [await harness.ready() for _ in range(3)]
    storage = MemoryStorage()
    fresh, recovery = MemoryImageRepository(storage), MemoryMaintenanceRepository(storage)
    rebuilder = Rebuilder(recovery, harness.stored)
    guids = await rebuilder.find()
    assert {rebuilt.outcome async for rebuilt in rebuilder.rebuild(guids)} == {"restored"}
    for image in images:
        restored = await fresh.get(image.guid)
        assert replace(restored, id=image.id, updated_at=image.updated_at) == image
    assert {rebuilt.outcome async for rebuilt in rebuilder.rebuild(guids)} == {"known"}


async def test_bytes_that_their_sidecar_does_not_describe_are_not_restored(harness: ReconcilerHarness) -> None:
    image = await harness.ready()
    harness.path(image.guid).with_suffix(".json").write_text("{}")
    other = await harness.ready()
    harness.path(other.guid).write_bytes(b"other bytes")
    storage = MemoryStorage()
    rebuilder = Rebuilder(MemoryMaintenanceRepository(storage), harness.stored)
    outcomes = [rebuilt.outcome async for rebuilt in rebuilder.rebuild(await rebuilder.find())]
    assert len(outcomes) == 2
    assert not storage.images


async def test_thumbnails_without_a_row_are_dropped(harness: ReconcilerHarness) -> None:
    there, gone = await harness.ready(), new_guid()
    for guid in (there.guid, gone):
        await harness.thumbnails.put(guid, "a.webp", b"small")
    [finding] = await harness.reconcile(apply=False)
    assert finding == Finding(gone, "thumbnails without a row", Action.DROP)
    assert await harness.thumbnails.get(gone, "a.webp") == b"small"
    assert await harness.reconcile() == [finding]
    assert await harness.reconcile() == []
    assert await harness.thumbnails.get(gone, "a.webp") is None
    assert await harness.thumbnails.get(there.guid, "a.webp") == b"small"
    assert harness.path(there.guid).read_bytes() == DATA


async def test_adopted_bytes_are_made_durable_before_the_row_is_ready(
    harness: ReconcilerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await harness.row()
    await harness.store(image)
    statuses: list[Status] = []

    async def look_at_the_row(guid: str) -> None:
        statuses.append((await harness.images.get(guid)).status)

    monkeypatch.setattr(harness.stored, "make_durable", look_at_the_row)
    await harness.reconcile()
    assert statuses == [Status.GENERATING]
    assert (await harness.images.get(image.guid)).status is Status.READY


class OpenedBox(ScriptedGenerator):
    """Generator that reads more than an earlier version: what is in a box, and several pictures after commas."""

    async def read_rescued(self, data: bytes) -> tuple[GeneratedImage, ...]:
        return tuple(GeneratedImage(part, "box-1") for part in data.removeprefix(b"box:").split(b","))


async def rescued_response(harness: ReconcilerHarness, data: bytes, status: Status = Status.UNKNOWN) -> Image:
    """Return an image whose response was rescued, because nobody could read it then."""
    harness.generator = OpenedBox()
    image = await harness.row()
    await harness.blobs.rescue(image.guid, data, {"guid": image.guid, "prompt": "duck", "error": "no picture"})
    failure = Failure("generator-answer", "The generator's response holds no picture.")
    await harness.images.mark_failed(image.guid, status, failure, harness.clock.now())
    return image


async def test_a_picture_in_a_rescued_response_is_adopted(harness: ReconcilerHarness) -> None:
    image = await rescued_response(harness, b"box:" + DATA)
    assert [finding.action for finding in await harness.reconcile(apply=False)] == [Action.ADOPT]
    assert (await harness.images.get(image.guid)).status is Status.UNKNOWN
    assert [finding.guid for finding in await harness.reconcile()] == [image.guid]
    ready = await harness.images.get(image.guid)
    assert (ready.status, ready.failure, ready.request.model) == (Status.READY, None, "box-1")
    assert ready.result.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (await harness.blobs.read_sidecar(image.guid))["prompt"] == "duck"
    assert await harness.reconcile() == []


async def test_a_rescued_response_without_a_picture_stays(harness: ReconcilerHarness) -> None:
    image = await rescued_response(harness, b"box:nothing")
    assert await harness.reconcile() == []
    assert (await harness.images.get(image.guid)).status is Status.UNKNOWN
    assert await harness.stored.read_rescued_responses(image.guid) == (b"box:nothing",)


async def test_a_rescued_response_of_an_unpaid_failure_is_not_read(harness: ReconcilerHarness) -> None:
    await rescued_response(harness, b"box:" + DATA, Status.FAILED)
    assert await harness.reconcile() == []


async def test_the_pictures_of_a_rescued_response_go_to_the_images_of_the_call(harness: ReconcilerHarness) -> None:
    harness.generator = OpenedBox()
    first = new_guid()
    images = [
        await harness.row(guid=first, batch=first),
        await harness.row(batch=first),
        await harness.row(batch=first),
    ]
    failure = Failure("generator-answer", "The generator's response holds no picture.")
    for image in images:
        await harness.images.mark_failed(image.guid, Status.UNKNOWN, failure, harness.clock.now())
    pictures = [DATA + b" 1", DATA + b" 2"]
    await harness.blobs.rescue(first, b"box:" + b",".join(pictures), {"guid": first, "error": "no picture"})
    assert len(await harness.reconcile()) == 2
    found = [await harness.images.get(image.guid) for image in images]
    assert [image.status for image in found] == [Status.READY, Status.READY, Status.UNKNOWN]
    assert [image.result.size_bytes for image in found[:2]] == [len(data) for data in pictures]


async def test_a_sweep_ends_charges_that_an_older_version_left(harness: ReconcilerHarness) -> None:
    storage = MemoryStorage()
    harness.images, harness.recovery = MemoryImageRepository(storage), MemoryMaintenanceRepository(storage)
    ledger = MemoryLedger(storage)
    image = await harness.row()
    storage.charges[image.guid] = charge = Charge(image.guid, "alice", None, None, harness.clock.now(), Decimal("0.25"))
    await harness.images.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), harness.clock.now())
    storage.charges[image.guid] = charge
    reconciler = reconciler_on(
        harness.images, harness.recovery, harness.blobs, harness.stored, harness.clock, ledger=ledger
    )
    found = [finding async for finding in reconciler.sweep(apply=True)]
    assert [(finding.description, finding.action) for finding in found] == [
        ("1 charges of images that an older version ended", Action.SETTLE)
    ]
    assert storage.charges[image.guid].state is ChargeState.RELEASED
    assert [finding async for finding in reconciler.sweep(apply=True)] == []


@pytest.mark.parametrize("status", [None, Status.FAILED, Status.QUEUED, Status.GENERATING])
async def test_copies_of_edit_sources_go_when_their_call_has_ended(
    harness: ReconcilerHarness, status: Status | None
) -> None:
    begun = Status.QUEUED if status is Status.QUEUED else Status.GENERATING
    owner = new_guid() if status is None else (await harness.row(lease_s=3600, status=begun)).guid
    if status is Status.FAILED:
        await harness.images.mark_failed(owner, status, Failure("code", "message"), harness.clock.now())
    copy = new_guid()
    await harness.blobs.put(copy, DATA, {"guid": copy, "edit_source_of": owner})
    harness.age()
    is_over = status in {None, Status.FAILED}
    expected = [Finding(copy, "an edit source of a call that has ended", Action.DROP)] if is_over else []
    assert await harness.reconcile(apply=False) == expected
    assert harness.path(copy).exists()
    assert await harness.reconcile() == expected
    assert harness.path(copy).exists() is not is_over
    assert await harness.reconcile() == []
