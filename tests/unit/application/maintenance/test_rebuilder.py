"""A rebuild goes on whatever is wrong with single images, and where an earlier one was cut short."""

from collections.abc import Sequence
from typing import Any

import pytest

from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore, Stored
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.maintenance.rebuilder import Rebuilder
from pixyproxy.domain.errors import ConstraintViolationError, DBConnectionError
from pixyproxy.domain.image import Image
from tests.fixtures.images import make_image

DATA = b"\x89PNG"


class FlakyMaintenance(MemoryMaintenanceRepository):
    """A database that refuses some images, and is lost after a number of batches."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.batches: list[int] = []
        self.lost_after = 1000

    async def restore_all(self, images: Sequence[Image]) -> tuple[bool, ...]:
        if len(self.batches) == self.lost_after:
            raise DBConnectionError("The database is away.")
        if self.refused & {image.guid for image in images}:
            raise ConstraintViolationError("refused")
        self.batches.append(len(images))
        return await super().restore_all(images)


class Rebuild:
    """A rebuilder on memory adapters, which hold pictures with their sidecars."""

    def __init__(self) -> None:
        self.files: dict[str, Stored] = {}
        self.rows = FlakyMaintenance()
        self.rebuilder = Rebuilder(self.rows, MemoryBlobMaintenance(self.files), batch=4)

    async def store(self, count: int, **changes: Any) -> list[str]:
        images = [make_image(id=0, size_bytes=len(DATA)) for _ in range(count)]
        for image in images:
            await MemoryBlobStore(self.files).put(image.guid, DATA, sidecar_of(image) | changes)
        return [image.guid for image in images]

    async def run(self) -> dict[str, str]:
        guids = await self.rebuilder.find()
        return {rebuilt.guid: rebuilt.outcome async for rebuilt in self.rebuilder.rebuild(guids)}


@pytest.fixture
def rebuild() -> Rebuild:
    return Rebuild()


async def test_images_are_restored_in_batches(rebuild: Rebuild) -> None:
    guids = await rebuild.store(10)
    assert await rebuild.run() == dict.fromkeys(guids, "restored")
    assert rebuild.rows.batches == [4, 4, 2]
    assert await rebuild.run() == dict.fromkeys(guids, "known")


async def test_nothing_to_rebuild(rebuild: Rebuild) -> None:
    assert await rebuild.run() == {}


async def test_what_is_wrong_with_one_keeps_no_other_out(rebuild: Rebuild) -> None:
    good = await rebuild.store(5)
    (refused,) = await rebuild.store(1)
    (other_bytes,) = await rebuild.store(1, size_bytes=99)
    (nameless,) = await rebuild.store(1, guid="x")
    (bare,) = await rebuild.store(1)
    rebuild.files[bare] = (DATA, None)
    rebuild.rows.refused = {refused}
    outcomes = await rebuild.run()
    assert {guid: outcomes.pop(guid) for guid in good} == dict.fromkeys(good, "restored")
    assert outcomes[refused] == "refused"
    assert outcomes[other_bytes] == outcomes[nameless] == "The sidecar describes other bytes."
    assert "not in the blob store" in outcomes[bare]
    assert len(outcomes) == 4


async def test_a_rebuild_that_was_cut_short_is_continued(rebuild: Rebuild) -> None:
    guids = await rebuild.store(10)
    rebuild.rows.lost_after = 1
    with pytest.raises(DBConnectionError):
        await rebuild.run()
    rebuild.rows.lost_after = 1000
    outcomes = await rebuild.run()
    assert set(outcomes) == set(guids)
    assert sorted(outcomes.values()) == ["known"] * 4 + ["restored"] * 6
