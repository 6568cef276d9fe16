"""The copy of a database: the databases that it refuses, and its steps."""

import pytest

from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.maintenance.database_copy import DatabaseCopy
from pixyproxy.domain.errors import StoreIdentityError
from pixyproxy.ports.maintenance_repository import BindingState, StoreIdentity
from pixyproxy.ports.row_copier import ComparedTable, OnProgress, RowCopier

BOUND = StoreIdentity("one", BindingState.BOUND)
COPYING = StoreIdentity("one", BindingState.COPYING)


class Rows(RowCopier):
    """A copier whose target is empty or not, and whose comparison has this result."""

    def __init__(self, *, empty: bool = True, different: int = 0) -> None:
        self.empty = empty
        self.different = different
        self.copied = 0

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def is_empty(self) -> bool:
        return self.empty

    async def copy(self, on_progress: OnProgress) -> None:
        self.copied += 1

    async def compare(self, on_progress: OnProgress) -> tuple[ComparedTable, ...]:
        return (ComparedTable("images", 7, self.different),)


async def repository(identity: StoreIdentity | None) -> MemoryMaintenanceRepository:
    made = MemoryMaintenanceRepository(MemoryStorage())
    if identity is not None:
        await made.save_identity(identity)
    return made


def ignore(table: str, done: int, of: int) -> None:
    pass


async def test_a_copy_binds_its_target_at_the_end() -> None:
    source, target, rows = await repository(BOUND), await repository(None), Rows()
    copy = DatabaseCopy(source, target, rows)
    assert not await copy.begin()
    assert await target.identity() == COPYING
    await copy.copy(ignore)
    assert await target.identity() == COPYING
    assert await copy.finish(ignore) == (ComparedTable("images", 7, 0),)
    assert rows.copied == 1
    assert (await target.identity(), await source.identity()) == (BOUND, BOUND)


async def test_a_copy_that_differs_stays_unfinished() -> None:
    source, target, rows = await repository(BOUND), await repository(None), Rows(different=2)
    copy = DatabaseCopy(source, target, rows)
    await copy.begin()
    await copy.finish(ignore)
    assert await target.identity() == COPYING
    rows.empty = False
    assert await copy.begin()


@pytest.mark.parametrize("identity", [None, StoreIdentity("one", BindingState.BEGUN), COPYING])
async def test_the_source_must_be_bound(identity: StoreIdentity | None) -> None:
    target = await repository(None)
    before = await target.identity()
    with pytest.raises(StoreIdentityError, match="copy from is not bound"):
        await DatabaseCopy(await repository(identity), target, Rows()).begin()
    assert await target.identity() == before


@pytest.mark.parametrize(
    ("identity", "empty", "message"),
    [
        (None, False, "holds other data"),
        (StoreIdentity("other", BindingState.BOUND), True, "holds other data"),
        (StoreIdentity("other", BindingState.COPYING), False, "holds other data"),
        (BOUND, False, "is a complete copy already"),
    ],
)
async def test_a_target_with_other_data_is_refused(identity: StoreIdentity | None, empty: bool, message: str) -> None:
    target = await repository(identity)
    before = await target.identity()
    with pytest.raises(StoreIdentityError, match=message):
        await DatabaseCopy(await repository(BOUND), target, Rows(empty=empty)).begin()
    assert await target.identity() == before
