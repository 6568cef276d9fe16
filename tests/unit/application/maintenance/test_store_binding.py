"""A blob store is bound to its database once, and every other one is refused."""

import asyncio
from datetime import UTC, datetime

import pytest

from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore, Stored
from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.application.maintenance.store_binding import LEASE_NAME, NEWEST, StoreBinding
from pixyproxy.domain.errors import StoreIdentityError
from pixyproxy.domain.image import new_guid
from pixyproxy.ports.maintenance_repository import BindingState, StoreIdentity
from tests.fixtures.images import make_draft, make_result

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OWN, OTHER = "0b9f1c2d-4e5f-4a6b-8c7d-0e1f2a3b4c5d", "1c2d0b9f-4e5f-4a6b-8c7d-0e1f2a3b4c5d"


class LastingBlobStore(MemoryBlobStore):
    """A store that claims to outlive the process."""

    @property
    def is_lasting(self) -> bool:
        return True


class Fixed(StoreBinding):
    """A binding on memory adapters; `rows` and `files` are what they hold."""

    def __init__(self) -> None:
        self.rows, self.files = MemoryStorage(), dict[str, Stored]()
        self.repository, self.store = MemoryMaintenanceRepository(self.rows), LastingBlobStore(self.files)
        super().__init__(
            self.repository, self.store, MemoryBlobMaintenance(self.files), SystemClock(), owner=new_guid()
        )

    def another(self) -> "Fixed":
        """Return the binding of another process on the same database, with a store of its own."""
        other = Fixed()
        other._maintenance = self._maintenance
        return other

    async def add_ready(self, count: int, held: int) -> None:
        """Add ready rows, of which the store holds the files of the last `held`."""
        images = MemoryImageRepository(self.rows)
        for number in range(count):
            image = await images.add(make_draft())
            await images.mark_ready(image.guid, make_result(), NOW)
            if number >= count - held:
                self.files[image.guid] = (b"bytes", "{}")

    async def know(self, state: BindingState, identity: str = OWN) -> None:
        await self.repository.save_identity(StoreIdentity(identity, state))

    async def states(self) -> tuple[str | None, str | None, str]:
        """Return the identity in the database, that in the store, and the state of the binding."""
        identity = await self.repository.identity()
        assert identity is not None
        return identity.value, await self.store.identity(), identity.state


@pytest.fixture
def binding() -> Fixed:
    return Fixed()


async def refused(binding: Fixed, words: str) -> None:
    """Assert that binding and verifying are refused with these words and change nothing."""
    before, files = await binding.states(), dict(binding.files)
    for call in (binding.bind, binding.verify):
        with pytest.raises(StoreIdentityError, match=words):
            await call()
    assert (await binding.states(), binding.files) == (before, files)
    assert LEASE_NAME not in binding.rows.named_leases


async def test_a_new_store_is_bound_to_a_new_database(binding: Fixed) -> None:
    assert "not bound" in await binding.verify()
    assert (await binding.states())[1:] == (None, "begun")
    await binding.bind()
    own, carried, state = await binding.states()
    assert own == carried
    assert state == "bound"
    await binding.bind()
    assert await binding.states() == (own, own, "bound")
    assert "belongs to this database" in await binding.verify()


async def test_a_store_that_forgets_is_not_bound() -> None:
    binding = Fixed()
    binding._blobs = MemoryBlobStore(binding.files)
    await binding.know(BindingState.BOUND)
    await binding.bind()
    assert "forgets" in await binding.verify()
    async with binding.rebuilding():
        pass
    assert await binding.states() == (OWN, None, "bound")


async def test_an_emptied_store_is_refused(binding: Fixed) -> None:
    await binding.know(BindingState.BOUND)
    await refused(binding, "emptied, or is not mounted")


async def test_the_store_of_another_database_is_refused(binding: Fixed) -> None:
    await binding.know(BindingState.BOUND)
    await binding.store.set_identity(OTHER)
    await refused(binding, "belongs to another database")


async def test_a_new_database_takes_no_store_of_another(binding: Fixed) -> None:
    await binding.store.set_identity(OTHER)
    await refused(binding, "belongs to another database .*rebuild")


async def test_a_new_database_takes_no_pictures_of_an_earlier_version(binding: Fixed) -> None:
    await binding.store.put(new_guid(), b"bytes", {})
    await refused(binding, "holds pictures, and this database is new.*rebuild")


@pytest.mark.parametrize("carried", [None, OTHER], ids=["unmarked", "marked"])
@pytest.mark.parametrize(("count", "held"), [(NEWEST + 5, NEWEST), (NEWEST, NEWEST // 2), (1, 1)])
async def test_an_earlier_installation_is_adopted_with_the_files_of_its_newest_rows(
    binding: Fixed, count: int, held: int, carried: str | None
) -> None:
    await binding.add_ready(count, held)
    if carried:
        await binding.store.set_identity(carried)
    await binding.verify()
    await binding.bind()
    own, found, state = await binding.states()
    assert own == found == (carried or own)
    assert state == "bound"


@pytest.mark.parametrize(("count", "held"), [(NEWEST, NEWEST // 2 - 1), (1, 0), (NEWEST, 0)])
async def test_an_earlier_installation_without_these_files_is_refused(binding: Fixed, count: int, held: int) -> None:
    await binding.add_ready(count, held)
    await refused(binding, f"holds {held} of the {count} newest")


@pytest.mark.parametrize("marked", [False, True])
async def test_an_interrupted_binding_is_finished(binding: Fixed, marked: bool) -> None:
    await binding.know(BindingState.BEGUN)
    if marked:
        await binding.store.set_identity(OWN)
    await binding.bind()
    assert await binding.states() == (OWN, OWN, "bound")


async def test_of_two_processes_with_stores_of_their_own_one_is_refused(binding: Fixed) -> None:
    outcomes = await asyncio.gather(binding.bind(), binding.another().bind(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(StoreIdentityError) == 1


async def test_a_rebuilt_database_takes_the_identity_of_its_store(binding: Fixed) -> None:
    await binding.store.set_identity(OTHER)
    async with binding.rebuilding():
        assert await binding.states() == (OTHER, OTHER, "rebuilding")
    assert await binding.states() == (OTHER, OTHER, "bound")
    await binding.bind()


async def test_an_interrupted_rebuild_has_to_be_finished(binding: Fixed) -> None:
    await binding.store.put(new_guid(), b"bytes", {})
    with pytest.raises(RuntimeError):
        async with binding.rebuilding():
            raise RuntimeError
    await refused(binding, "interrupted: run `pixyproxy rebuild` again")
    async with binding.rebuilding():
        pass
    await binding.bind()


async def test_a_rebuild_of_missing_rows_leaves_a_bound_database_bound(binding: Fixed) -> None:
    await binding.bind()
    before = await binding.states()
    with pytest.raises(RuntimeError):
        async with binding.rebuilding():
            raise RuntimeError
    assert await binding.states() == before


async def test_a_rebuild_marks_a_restored_store_that_holds_the_newest_pictures(binding: Fixed) -> None:
    await binding.add_ready(NEWEST, NEWEST)
    await binding.know(BindingState.BOUND)
    await refused(binding, "emptied")
    async with binding.rebuilding():
        pass
    assert await binding.states() == (OWN, OWN, "bound")


@pytest.mark.parametrize("carried", [None, OTHER])
async def test_a_rebuild_refuses_a_store_without_the_newest_pictures(binding: Fixed, carried: str | None) -> None:
    await binding.add_ready(NEWEST, 0)
    await binding.know(BindingState.BOUND)
    await binding.store.put(new_guid(), b"bytes", {})
    if carried:
        await binding.store.set_identity(carried)
    before = await binding.states()
    with pytest.raises(StoreIdentityError, match="0 of the 10 newest"):
        async with binding.rebuilding():
            pytest.fail("must not begin")
    assert await binding.states() == before


async def test_a_rebuild_from_an_empty_folder_marks_nothing(binding: Fixed) -> None:
    await binding.know(BindingState.BOUND)
    async with binding.rebuilding():
        pass
    assert await binding.states() == (OWN, None, "bound")
