"""Pictures are copied between stores once, whole and described; nothing else is overwritten."""

import hashlib
from dataclasses import dataclass, field

import pytest

from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore, Stored
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.maintenance.store_copier import CopiedPicture, Outcome, Store, StoreCopier
from pixyproxy.domain.errors import StoreIdentityError
from pixyproxy.domain.image import ImageResult, Picture, new_guid
from pixyproxy.ports.maintenance_repository import BindingState, StoreIdentity
from tests.fixtures.core import SteppingClock
from tests.fixtures.images import make_draft

DATA = b"\x89PNG a picture"
IDENTITY = "0b9f1c2d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"


@dataclass
class Copying:
    """Two stores in memory, the rows of one database, and the copier between them."""

    rows: MemoryStorage = field(default_factory=MemoryStorage)
    source: dict[str, Stored] = field(default_factory=dict)
    target: dict[str, Stored] = field(default_factory=dict)
    clock: SteppingClock = field(default_factory=SteppingClock)

    def __post_init__(self) -> None:
        self.images = MemoryImageRepository(self.rows)
        self.maintenance = MemoryMaintenanceRepository(self.rows)
        self.blobs = MemoryBlobStore(self.source)
        self.copier = StoreCopier(
            self.images,
            self.maintenance,
            Store(self.blobs, MemoryBlobMaintenance(self.source)),
            Store(MemoryBlobStore(self.target), MemoryBlobMaintenance(self.target)),
        )

    async def ready(self) -> str:
        guid = new_guid()
        image = await self.images.add(make_draft(guid=guid))
        result = ImageResult(Picture("image/png", 2, 1), len(DATA), hashlib.sha256(DATA).hexdigest(), "m-1")
        await self.blobs.put(guid, DATA, sidecar_of(image.finished(result, self.clock.now())))
        await self.images.mark_ready(guid, result, self.clock.now())
        return guid

    async def copy(self) -> list[CopiedPicture]:
        return [copied async for copied in self.copier.copy_all()]


async def test_pictures_are_copied_once() -> None:
    copying = Copying()
    guids = {await copying.ready() for _ in range(70)}
    assert {(one.guid, one.outcome) for one in await copying.copy()} == {(guid, Outcome.COPIED) for guid in guids}
    assert copying.target == copying.source
    assert {one.outcome for one in await copying.copy()} == {Outcome.PRESENT}


@pytest.mark.parametrize("there", [b"other bytes!!", b"of another length"])
async def test_other_bytes_in_the_target_are_left_and_named(there: bytes) -> None:
    copying = Copying()
    guid = await copying.ready()
    copying.target[guid] = (there.ljust(len(DATA), b"."), None)
    [copied] = await copying.copy()
    assert (copied.outcome, copied.problem is None) == (Outcome.FAILED, False)
    assert copying.target[guid][0] == there.ljust(len(DATA), b".")


async def test_bytes_without_a_description_in_the_target_get_it() -> None:
    copying = Copying()
    guid = await copying.ready()
    copying.target[guid] = (DATA, None)
    assert [one.outcome for one in await copying.copy()] == [Outcome.DESCRIBED]
    assert copying.target == copying.source


async def test_a_lost_sidecar_is_made_from_the_row_and_none_without_a_ready_row() -> None:
    copying = Copying()
    described, sidecar = await copying.ready(), None
    sidecar = copying.source[described][1]
    copying.source[described] = (DATA, None)
    unfinished = (await copying.images.add(make_draft(guid=new_guid()))).guid
    copying.source[unfinished] = (DATA, "{")
    copying.source[new_guid()] = (DATA, None)
    outcomes = [one.outcome for one in await copying.copy()]
    assert outcomes == [Outcome.COPIED, Outcome.FAILED, Outcome.DELETED]
    assert set(copying.target) == {described}
    assert sidecar is not None
    assert copying.target[described][1] is not None


async def test_a_sidecar_that_describes_no_image_is_named() -> None:
    copying = Copying()
    guid = await copying.ready()
    copying.source[guid] = (DATA, "{}")
    [copied] = await copying.copy()
    assert copied.outcome is Outcome.FAILED
    assert "does not describe an image" in (copied.problem or "")
    assert copying.target == {}


async def test_source_and_target_have_to_belong_to_the_database() -> None:
    copying = Copying()
    await copying.maintenance.save_identity(StoreIdentity(IDENTITY, BindingState.BOUND))
    with pytest.raises(StoreIdentityError, match="copy from does not carry"):
        await copying.copier.identity()
    await copying.blobs.set_identity(IDENTITY)
    assert await copying.copier.identity() == IDENTITY
    await MemoryBlobStore(copying.target).set_identity(new_guid())
    with pytest.raises(StoreIdentityError, match="copy to belongs to another"):
        await copying.copier.identity()
