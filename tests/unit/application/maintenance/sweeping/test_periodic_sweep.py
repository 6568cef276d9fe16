"""Steps of a sweep move no images of another database, pass over what cannot be read, and read responses at a start."""

import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore, Stored
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.maintenance.sweeping import periodic_sweep
from pixyproxy.application.maintenance.sweeping.periodic_sweep import (
    PAUSE_S,
    RESPONSES,
    ROUND_PAUSE_S,
    SWEEP,
    PeriodicSweep,
)
from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.domain.generation import GeneratedImage, ImageDraft, Lease
from pixyproxy.domain.image import Failure, Image, ImageResult, Picture, Status, new_guid
from pixyproxy.ports.blob_maintenance import StoredBlob
from pixyproxy.ports.clock import Clock
from tests.fixtures.core import ScriptedGenerator, reconciler_on
from tests.fixtures.images import make_image

DATA = b"\x89PNG a picture"
LEASE_S = 60.0
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class ManualClock(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 21, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class UnreadableBlobs(MemoryBlobMaintenance):
    """Old blobs, of which some shards, the quarantine or the rescued responses cannot be read."""

    def __init__(self, storage: dict[str, Stored]) -> None:
        super().__init__(storage, now=lambda: LONG_AGO)
        self.unreadable: set[str] = set()
        self.walked: list[str] = []

    async def walk(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        self.require(prefix)
        self.walked.append(prefix)
        async for blob in super().walk(prefix):
            yield blob

    async def quarantine(self, guid: str) -> str:
        self.require("quarantine")
        return await super().quarantine(guid)

    async def rescued_responses(self) -> frozenset[str]:
        self.require("responses")
        return await super().rescued_responses()

    def require(self, part: str) -> None:
        if part in self.unreadable:
            raise BlobStoreError(f"cannot read {part}")


class NewerGenerator(ScriptedGenerator):
    """A generator that reads rescued responses."""

    async def read_rescued(self, data: bytes) -> tuple[GeneratedImage, ...]:
        return (GeneratedImage(data, "m-1"),)


@dataclass
class Installation:
    """Rows and blobs, which processes sweep."""

    storage: MemoryStorage = field(default_factory=MemoryStorage)
    files: dict[str, Stored] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.images = MemoryImageRepository(self.storage)
        self.maintenance = MemoryMaintenanceRepository(self.storage)
        self.store = MemoryBlobStore(self.files)
        self.stored = UnreadableBlobs(self.files)

    def process(self, owner: str = "one") -> PeriodicSweep:
        reconciler = reconciler_on(
            self.images, self.maintenance, self.store, self.stored, self.clock, generator=NewerGenerator()
        )
        return PeriodicSweep(reconciler, self.maintenance, self.clock, owner=owner, lease_s=LEASE_S)

    async def row(self, guid: str) -> Image:
        return await self.images.add(ImageDraft(make_image(guid=guid).request, Lease("x", self.clock.now())))

    async def unknown(self, guid: str) -> None:
        await self.row(guid)
        await self.images.mark_failed(guid, Status.UNKNOWN, Failure("x", "y"), self.clock.now())

    async def ready(self, guid: str) -> None:
        result = ImageResult(Picture("image/png", 2, 1), len(DATA), hashlib.sha256(DATA).hexdigest(), "m-1")
        image = await self.row(guid)
        await self.store.put(guid, DATA, sidecar_of(image.finished(result, self.clock.now())))
        await self.images.mark_ready(guid, result, self.clock.now())

    async def foreign(self, guid: str) -> None:
        await self.store.put(guid, DATA, {"guid": guid})

    def kept(self, guids: Sequence[str]) -> int:
        return sum(guid in self.files for guid in guids)

    async def round(self) -> int:
        """Take all steps of a round and return how many there were."""
        sweep, count = self.process(), 1
        while (pause_s := await sweep.step()) != ROUND_PAUSE_S:
            assert pause_s == PAUSE_S
            self.clock.time += timedelta(seconds=pause_s)
            count += 1
        self.clock.time += timedelta(seconds=ROUND_PAUSE_S)
        return count


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setattr(periodic_sweep, "PICTURES", 10)
    return Installation()


def in_shard(shard: str) -> str:
    return shard + new_guid()[2:]


SOME = [f"{number:02x}" for number in range(0, 256, 16)]
"""Shards that hold something."""


async def test_steps_move_no_images_of_another_database(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = [in_shard(shard) for shard in SOME for _ in range(3)]
    for guid in foreign:
        await installation.foreign(guid)
    for guid in [in_shard(shard) for shard in SOME for _ in range(10)]:
        await installation.unknown(guid)
    assert await installation.round() == len(SOME) + 1
    assert installation.kept(foreign) == len(foreign)
    assert "3 stored images have no row and 0 have one: this looks like another database" in caplog.text


async def test_a_step_moves_no_more_than_the_stored_images_with_a_row(installation: Installation) -> None:
    few, many = [in_shard("10") for _ in range(5)], [in_shard("80") for _ in range(6)]
    for guid in [*few, *many]:
        await installation.foreign(guid)
    for guid in [in_shard(shard) for shard in ("10", "80") for _ in range(5)]:
        await installation.ready(guid)
    assert await installation.round() == 3
    assert (installation.kept(few), installation.kept(many)) == (0, 6)


@pytest.mark.parametrize(("count", "kept"), [(9, 0), (11, 11)])
async def test_a_step_that_is_a_whole_sweep_moves_a_few(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, count: int, kept: int
) -> None:
    monkeypatch.setattr(periodic_sweep, "PICTURES", 100)
    foreign = [in_shard(shard) for shard in SOME][:count]
    for guid in foreign:
        await installation.foreign(guid)
    assert await installation.round() == 1
    assert installation.kept(foreign) == kept


async def test_the_last_step_of_a_round_is_no_whole_sweep(installation: Installation) -> None:
    foreign = in_shard("ff")
    await installation.foreign(foreign)
    installation.storage.lease_positions[SWEEP] = "01"
    assert await installation.round() == 1
    assert installation.kept([foreign]) == 1
    assert await installation.round() == 1
    assert installation.kept([foreign]) == 0


async def test_a_shard_that_cannot_be_read_is_passed_over(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    installation.stored.unreadable = {"00", "7f", "ff"}
    sweep = installation.process()
    for position in ("01", "80", "end"):
        assert await sweep.step() == PAUSE_S
        assert installation.storage.lease_positions[SWEEP] == position
        assert installation.storage.named_leases[SWEEP] == (
            "one",
            installation.clock.time + timedelta(seconds=PAUSE_S),
        )
    assert await sweep.step() == ROUND_PAUSE_S
    assert installation.storage.lease_positions[SWEEP] == "00"
    assert len(installation.stored.walked) == 253
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [
        f"a sweep failed at shard {shard} and goes on after it: cannot read {shard}" for shard in ("00", "7f", "ff")
    ]


async def test_images_that_cannot_be_moved_do_not_keep_a_round_from_its_end(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    response = in_shard("80")
    await installation.foreign(in_shard("10"))
    sweep = installation.process()
    assert await sweep.step() == ROUND_PAUSE_S
    await installation.foreign(in_shard("10"))
    installation.stored.unreadable = {"quarantine"}
    assert await sweep.step() == PAUSE_S
    assert installation.storage.lease_positions[SWEEP] == "end"
    assert "a sweep failed at shard ff and goes on after it: cannot read quarantine" in caplog.text
    await installation.unknown(response)
    await installation.store.rescue(response, DATA, {"guid": response})
    assert await sweep.step() == ROUND_PAUSE_S
    assert (await installation.images.get(response)).status is Status.READY


async def test_a_round_ends_even_if_its_end_fails(installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    sweep = installation.process()
    installation.stored.unreadable = {"responses"}
    assert await sweep.step() == ROUND_PAUSE_S
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [
        "left rescued responses to the end of the round: cannot read responses",
        "a sweep failed at the end of a round and goes on after it: cannot read responses",
    ]
    assert RESPONSES not in installation.storage.named_leases


@pytest.mark.parametrize("is_swept_by_another", [False, True])
async def test_rescued_responses_are_read_at_the_start_wherever_the_sweep_is(
    installation: Installation, is_swept_by_another: bool
) -> None:
    installation.storage.lease_positions[SWEEP] = "7f"
    first, later = in_shard("10"), in_shard("10")
    if is_swept_by_another:  # by a process that was stopped in the pause after a round
        until = installation.clock.time + timedelta(seconds=ROUND_PAUSE_S)
        assert await installation.maintenance.acquire_lease(SWEEP, "stopped", installation.clock.time, until)
    for guid in [in_shard("7f") for _ in range(10)]:
        await installation.unknown(guid)
    await installation.unknown(first)
    await installation.store.rescue(first, DATA, {"guid": first})
    sweep = installation.process()
    assert await sweep.step() == (LEASE_S if is_swept_by_another else PAUSE_S)
    assert (await installation.images.get(first)).status is Status.READY
    assert RESPONSES not in installation.storage.named_leases
    await installation.unknown(later)
    await installation.store.rescue(later, DATA, {"guid": later})
    installation.storage.lease_positions[SWEEP] = "7f"
    await sweep.step()
    assert (await installation.images.get(later)).status is Status.UNKNOWN


async def test_one_process_at_a_time_reads_rescued_responses(installation: Installation) -> None:
    for guid in [in_shard("10") for _ in range(10)]:
        await installation.unknown(guid)
    response = in_shard("80")
    await installation.unknown(response)
    await installation.store.rescue(response, DATA, {"guid": response})
    until = installation.clock.time + timedelta(seconds=LEASE_S)
    assert await installation.maintenance.acquire_lease(RESPONSES, "other", installation.clock.time, until)
    sweep = installation.process()
    assert await sweep.step() == PAUSE_S
    assert (await installation.images.get(response)).status is Status.UNKNOWN
    installation.clock.time = until + timedelta(seconds=1)
    installation.storage.lease_positions[SWEEP] = "00"
    assert await sweep.step() == PAUSE_S
    assert (await installation.images.get(response)).status is Status.READY
