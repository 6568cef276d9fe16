"""The data loader: keys that arrive together are one query, and each caller gets the error of its own key."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from pixyproxy.adapters.sql import connection_pool
from pixyproxy.adapters.sql.batcher import MAX_KEYS, Batcher
from pixyproxy.adapters.sql.connection_pool import ConnectionPool
from pixyproxy.adapters.sql.data_loader import data_loader
from pixyproxy.domain.errors import DataValidationError, DBConnectionError
from tests.fixtures.sql.fake_table import Table


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def pool(table: Table) -> AsyncIterator[ConnectionPool[Table]]:
    pool = ConnectionPool("test-pool", 2, lambda: table)
    pool.start()
    yield pool
    table.release()
    await pool.stop()


@pytest.fixture
async def loader(pool: ConnectionPool[Table], table: Table) -> "Loader":
    return data_loader(pool, table.find)


Loader = Batcher[Table, str, str | None]


async def asked(loader: Loader, *keys: str) -> "list[asyncio.Task[str | None]]":
    """Callers that have asked for these keys, one each."""
    tasks = [asyncio.create_task(loader.run(key)) for key in keys]
    await asyncio.sleep(0)
    return tasks


async def under_way(loader: Loader, table: Table) -> "asyncio.Task[str | None]":
    """Return a caller whose query has started and is blocked."""
    table.hold()
    (first,) = await asked(loader, "key 0")
    await table.begun()
    return first


async def test_a_single_caller_waits_for_nobody(loader: Loader, table: Table) -> None:
    assert [await loader.run(f"key {number}") for number in range(3)] == ["value 0", "value 1", "value 2"]
    assert table.queries == [("key 0",), ("key 1",), ("key 2",)]


async def test_those_who_come_during_a_query_are_answered_by_the_next(loader: Loader, table: Table) -> None:
    first = await under_way(loader, table)
    keys = [f"key {number}" for number in range(1, 60)]
    tasks = await asked(loader, *keys)
    assert len(table.queries) == 1
    table.release()
    assert await first == "value 0"
    assert await asyncio.gather(*tasks) == [f"value {number}" for number in range(1, 60)]
    assert table.queries == [("key 0",), tuple(keys)]


async def test_who_asks_for_the_same_key_is_answered_alike(loader: Loader, table: Table) -> None:
    await under_way(loader, table)
    tasks = await asked(loader, "key 1", "key 2", "key 1", "nothing", "key 1", "nothing")
    table.release()
    assert await asyncio.gather(*tasks) == ["value 1", "value 2", "value 1", None, "value 1", None]
    assert table.queries[1:] == [("key 1", "key 2", "nothing")]


async def test_no_query_has_more_keys_than_the_bound(loader: Loader, table: Table) -> None:
    await under_way(loader, table)
    tasks = await asked(loader, *(f"key {number}" for number in range(2 * MAX_KEYS + 7)))
    table.release()
    assert await asyncio.gather(*tasks) == [f"value {number}" for number in range(2 * MAX_KEYS + 7)]
    assert [len(keys) for keys in table.queries] == [1, MAX_KEYS, MAX_KEYS, 7]


async def test_nobody_joins_a_query_that_has_begun(loader: Loader, table: Table) -> None:
    """The query under way looked at the rows before this call: its answer may be older."""
    first = await under_way(loader, table)
    table.rows["key 0"] = "newer"
    (second,) = await asked(loader, "key 0")
    table.release()
    assert (await first, await second) == ("value 0", "newer")


async def test_an_outage_is_everybodys_and_each_has_an_error_of_its_own(loader: Loader, table: Table) -> None:
    first = await under_way(loader, table)
    tasks = await asked(loader, "key 1", "key 2", "key 1")
    table.failure = DBConnectionError("The connection to the database was lost.")
    table.release()
    errors = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["The connection to the database was lost."] * 4
    assert all(type(error) is DBConnectionError for error in errors)
    assert len({id(error) for error in errors}) == 4
    table.failure = None
    assert await loader.run("key 1") == "value 1"


async def test_a_key_that_makes_the_query_fail_harms_no_other(loader: Loader, table: Table) -> None:
    await under_way(loader, table)
    one, bad, missing = await asked(loader, "key 1", "bad key", "nothing")
    table.release()
    assert (await one, await missing) == ("value 1", None)
    with pytest.raises(DataValidationError):
        await bad
    with pytest.raises(DataValidationError):
        await loader.run("bad key")


async def test_an_outage_between_the_single_reads_is_the_error_of_those_it_meets(loader: Loader, table: Table) -> None:
    class Falling(Table):
        def find(self, connection: object, deadline: float, keys: Sequence[str]) -> Mapping[str, str]:
            if self.queries and len(keys) == 1 and keys[0] == "key 2":
                raise DBConnectionError("gone")
            return super().find(connection, deadline, keys)

    falling = Falling()
    loader = data_loader(loader._pool, falling.find)
    await under_way(loader, falling)
    one, two, bad = await asked(loader, "key 1", "key 2", "bad key")
    falling.release()
    assert await one == "value 1"
    with pytest.raises(DBConnectionError):
        await two
    with pytest.raises(DataValidationError):
        await bad


async def test_a_cancelled_caller_harms_no_other_and_is_not_read(loader: Loader, table: Table) -> None:
    await under_way(loader, table)
    one, two, three = await asked(loader, "key 1", "key 2", "key 3")
    two.cancel()
    await asyncio.wait([two])
    assert two.cancelled()
    table.release()
    assert (await one, await three) == ("value 1", "value 3")
    assert table.queries[1:] == [("key 1", "key 3")]


async def test_a_caller_cancelled_during_the_query_harms_no_other(loader: Loader, table: Table) -> None:
    first = await under_way(loader, table)
    one, two = await asked(loader, "key 1", "key 2")
    first.cancel()
    table.release()
    assert (await one, await two) == ("value 1", "value 2")
    table.hold()
    tasks = await asked(loader, "key 3", "key 4")
    await table.begun()
    tasks[0].cancel()
    table.release()
    assert await tasks[1] == "value 4"
    assert tasks[0].cancelled()


async def test_where_all_have_left_nothing_is_read(loader: Loader, table: Table) -> None:
    first = await under_way(loader, table)
    tasks = await asked(loader, "key 1", "key 2")
    for task in tasks:
        task.cancel()
    table.release()
    assert await first == "value 0"
    await asyncio.wait(tasks)
    assert await loader.run("key 3") == "value 3"
    assert table.queries == [("key 0",), ("key 3",)]


async def test_each_caller_has_a_time_limit_of_its_own(
    loader: Loader, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hasty:
        hasty.setattr(connection_pool, "CALL_SECONDS", 0.1)
        first = await under_way(loader, table)
        hasty.setattr(connection_pool, "CALL_SECONDS", 0.05)
        (second,) = await asked(loader, "key 2")
    (patient,) = await asked(loader, "key 1")
    for late in (first, second):
        with pytest.raises(DBConnectionError, match="in time"):
            await late
    table.release()
    assert await patient == "value 1"
    assert table.queries[1:] == [("key 1",)]


async def test_closing_refuses_those_who_wait_and_answers_those_whose_query_has_begun(
    loader: Loader, table: Table, pool: ConnectionPool[Table]
) -> None:
    first = await under_way(loader, table)
    (second,) = await asked(loader, "key 1")
    stopping = asyncio.create_task(pool.stop())
    await asyncio.sleep(0)
    table.release()
    assert await first == "value 0"
    with pytest.raises(DBConnectionError):
        await second
    await stopping
    with pytest.raises(DBConnectionError, match="not open"):
        await loader.run("key 1")
    pool.start()
    assert await loader.run("key 1") == "value 1"


async def test_closing_refuses_a_query_that_no_thread_has_begun(
    loader: Loader, table: Table, pool: ConnectionPool[Table]
) -> None:
    go_on, entered = threading.Event(), threading.Semaphore(0)

    def wait(connection: Table, deadline: float) -> bool:
        entered.release()
        return go_on.wait(20)

    busy = [asyncio.create_task(pool.run(wait)) for _ in range(2)]
    for _ in busy:
        assert await asyncio.to_thread(entered.acquire, timeout=20)
    tasks = await asked(loader, "key 1", "key 2")
    stopping = asyncio.create_task(pool.stop())
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [DBConnectionError] * 2
    go_on.set()
    await asyncio.gather(stopping, *busy)
    pool.start()
    assert await loader.run("key 1") == "value 1"
    assert table.queries == [("key 1",)]
