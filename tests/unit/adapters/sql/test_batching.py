"""Reads by key, or writes, that arrive together: one for many, and each caller on its own when something goes wrong."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from pixyproxy.adapters.sql import connection_pool as threads
from pixyproxy.adapters.sql.batching import MAX_BATCH, MAX_SPAN_S, MAX_WRITES, ApartError, BatchedReads, BatchedWrites
from pixyproxy.adapters.sql.connection_pool import Call, ConnectionThreads, Work
from pixyproxy.domain.errors import DataValidationError, DBConnectionError


class Table:
    """Rows, a record of the queries that came, and a way to hold one of them back."""

    def __init__(self) -> None:
        self.rows = {f"key {number}": f"value {number}" for number in range(300)}
        self.queries: list[tuple[str, ...]] = []
        self.failure: Exception | None = None
        self._begun = threading.Semaphore(0)
        self._go_on = threading.Event()
        self._go_on.set()

    def close(self) -> None:
        """A table is its own link."""

    def find(self, link: object, deadline: float, keys: Sequence[str]) -> Mapping[str, str]:
        assert len(set(keys)) == len(keys) > 0
        rows = dict(self.rows)
        self.queries.append(tuple(keys))
        self._begun.release()
        assert self._go_on.wait(20)
        if self.failure is not None:
            raise self.failure
        if "bad key" in keys:
            raise DataValidationError("A key is no key.")
        return {key: rows[key] for key in keys if key in rows}

    def hold(self) -> None:
        """Have the next queries wait in the middle for `release`."""
        self._go_on.clear()

    async def begun(self) -> None:
        """Return once one more query has begun."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=20)

    def release(self) -> None:
        self._go_on.set()


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def pool(table: Table) -> AsyncIterator[ConnectionThreads[Table]]:
    pool = ConnectionThreads("test-batching", 2, lambda: table)
    pool.start()
    yield pool
    table.release()
    await pool.stop()


@pytest.fixture
async def reads(pool: ConnectionThreads[Table], table: Table) -> BatchedReads[Table, str, str]:
    return BatchedReads(pool, table.find)


Reads = BatchedReads[Table, str, str]


async def asked(reads: Reads, *keys: str) -> "list[asyncio.Task[str | None]]":
    """Callers that have asked for these keys, one each."""
    tasks = [asyncio.create_task(reads.get(key)) for key in keys]
    await asyncio.sleep(0)
    return tasks


async def under_way(reads: Reads, table: Table) -> "asyncio.Task[str | None]":
    """A caller whose query has begun and is held."""
    table.hold()
    (first,) = await asked(reads, "key 0")
    await table.begun()
    return first


async def test_a_single_caller_waits_for_nobody(reads: Reads, table: Table) -> None:
    assert [await reads.get(f"key {number}") for number in range(3)] == ["value 0", "value 1", "value 2"]
    assert table.queries == [("key 0",), ("key 1",), ("key 2",)]


async def test_those_who_come_during_a_query_are_answered_by_the_next(reads: Reads, table: Table) -> None:
    first = await under_way(reads, table)
    keys = [f"key {number}" for number in range(1, 60)]
    tasks = await asked(reads, *keys)
    assert len(table.queries) == 1
    table.release()
    assert await first == "value 0"
    assert await asyncio.gather(*tasks) == [f"value {number}" for number in range(1, 60)]
    assert table.queries == [("key 0",), tuple(keys)]


async def test_who_asks_for_the_same_key_is_answered_alike(reads: Reads, table: Table) -> None:
    await under_way(reads, table)
    tasks = await asked(reads, "key 1", "key 2", "key 1", "nothing", "key 1", "nothing")
    table.release()
    assert await asyncio.gather(*tasks) == ["value 1", "value 2", "value 1", None, "value 1", None]
    assert table.queries[1:] == [("key 1", "key 2", "nothing")]


async def test_no_query_has_more_keys_than_the_bound(reads: Reads, table: Table) -> None:
    await under_way(reads, table)
    tasks = await asked(reads, *(f"key {number}" for number in range(2 * MAX_BATCH + 7)))
    table.release()
    assert await asyncio.gather(*tasks) == [f"value {number}" for number in range(2 * MAX_BATCH + 7)]
    assert [len(keys) for keys in table.queries] == [1, MAX_BATCH, MAX_BATCH, 7]


async def test_nobody_joins_a_query_that_has_begun(reads: Reads, table: Table) -> None:
    """The query under way looked at the rows before this call: its answer may be older."""
    first = await under_way(reads, table)
    table.rows["key 0"] = "newer"
    (second,) = await asked(reads, "key 0")
    table.release()
    assert (await first, await second) == ("value 0", "newer")


async def test_keys_are_collected_until_a_thread_begins_the_query(
    reads: Reads, table: Table, pool: ConnectionThreads[Table]
) -> None:
    go_on = threading.Event()
    busy = [asyncio.create_task(pool.run(lambda link, deadline: go_on.wait(20))) for _ in range(2)]
    await asyncio.sleep(0)
    tasks = await asked(reads, "key 1")
    tasks += await asked(reads, "key 2")
    go_on.set()
    assert await asyncio.gather(*tasks) == ["value 1", "value 2"]
    assert table.queries == [("key 1", "key 2")]
    assert all(await asyncio.gather(*busy))


async def test_an_outage_is_everybodys_and_each_has_an_error_of_its_own(reads: Reads, table: Table) -> None:
    first = await under_way(reads, table)
    tasks = await asked(reads, "key 1", "key 2", "key 1")
    table.failure = DBConnectionError("The connection to the database was lost.")
    table.release()
    errors = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["The connection to the database was lost."] * 4
    assert all(type(error) is DBConnectionError for error in errors)
    assert len({id(error) for error in errors}) == 4
    table.failure = None
    assert await reads.get("key 1") == "value 1"


async def test_a_key_that_makes_the_query_fail_harms_no_other(reads: Reads, table: Table) -> None:
    await under_way(reads, table)
    one, bad, missing = await asked(reads, "key 1", "bad key", "nothing")
    table.release()
    assert (await one, await missing) == ("value 1", None)
    with pytest.raises(DataValidationError):
        await bad
    with pytest.raises(DataValidationError):
        await reads.get("bad key")


async def test_an_outage_between_the_single_reads_is_the_error_of_those_it_meets(reads: Reads, table: Table) -> None:
    class Falling(Table):
        def find(self, link: object, deadline: float, keys: Sequence[str]) -> Mapping[str, str]:
            if self.queries and len(keys) == 1 and keys[0] == "key 2":
                raise DBConnectionError("gone")
            return super().find(link, deadline, keys)

    falling = Falling()
    reads = BatchedReads(reads._pool, falling.find)
    await under_way(reads, falling)
    one, two, bad = await asked(reads, "key 1", "key 2", "bad key")
    falling.release()
    assert await one == "value 1"
    with pytest.raises(DBConnectionError):
        await two
    with pytest.raises(DataValidationError):
        await bad


async def test_a_cancelled_caller_harms_no_other_and_is_not_read(reads: Reads, table: Table) -> None:
    await under_way(reads, table)
    one, two, three = await asked(reads, "key 1", "key 2", "key 3")
    two.cancel()
    await asyncio.wait([two])
    assert two.cancelled()
    table.release()
    assert (await one, await three) == ("value 1", "value 3")
    assert table.queries[1:] == [("key 1", "key 3")]


async def test_a_caller_cancelled_during_the_query_harms_no_other(reads: Reads, table: Table) -> None:
    first = await under_way(reads, table)
    one, two = await asked(reads, "key 1", "key 2")
    first.cancel()
    table.release()
    assert (await one, await two) == ("value 1", "value 2")
    table.hold()
    tasks = await asked(reads, "key 3", "key 4")
    await table.begun()
    tasks[0].cancel()
    table.release()
    assert await tasks[1] == "value 4"
    assert tasks[0].cancelled()


async def test_where_all_have_left_nothing_is_read(reads: Reads, table: Table) -> None:
    first = await under_way(reads, table)
    tasks = await asked(reads, "key 1", "key 2")
    for task in tasks:
        task.cancel()
    table.release()
    assert await first == "value 0"
    await asyncio.wait(tasks)
    assert await reads.get("key 3") == "value 3"
    assert table.queries == [("key 0",), ("key 3",)]


async def test_each_caller_has_a_time_limit_of_its_own(
    reads: Reads, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hasty:
        hasty.setattr(threads, "CALL_SECONDS", 0.05)
        first = await under_way(reads, table)
        (second,) = await asked(reads, "key 2")
    (patient,) = await asked(reads, "key 1")
    for late in (first, second):
        with pytest.raises(DBConnectionError, match="in time"):
            await late
    table.release()
    assert await patient == "value 1"
    assert table.queries[1:] == [("key 1",)]


async def test_closing_refuses_those_who_wait_and_answers_those_whose_query_has_begun(
    reads: Reads, table: Table, pool: ConnectionThreads[Table]
) -> None:
    first = await under_way(reads, table)
    (second,) = await asked(reads, "key 1")
    stopping = asyncio.create_task(pool.stop())
    await asyncio.sleep(0)
    table.release()
    assert await first == "value 0"
    with pytest.raises(DBConnectionError):
        await second
    await stopping
    with pytest.raises(DBConnectionError, match="not open"):
        await reads.get("key 1")
    pool.start()
    assert await reads.get("key 1") == "value 1"


async def test_closing_refuses_a_query_that_no_thread_has_begun(
    reads: Reads, table: Table, pool: ConnectionThreads[Table]
) -> None:
    go_on, entered = threading.Event(), threading.Semaphore(0)

    def wait(link: Table, deadline: float) -> bool:
        entered.release()
        return go_on.wait(20)

    busy = [asyncio.create_task(pool.run(wait)) for _ in range(2)]
    for _ in busy:
        assert await asyncio.to_thread(entered.acquire, timeout=20)
    tasks = await asked(reads, "key 1", "key 2")
    stopping = asyncio.create_task(pool.stop())
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [DBConnectionError] * 2
    go_on.set()
    await asyncio.gather(stopping, *busy)
    pool.start()
    assert await reads.get("key 1") == "value 1"
    assert table.queries == [("key 1",)]


# Writes


class Ledger(Table):
    """Items that were written, together or alone, and a way to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[list[str]] = []
        self.alone: list[str] = []
        self.locked = threading.Event()
        self.locked.set()

    def write_all(self, link: object, deadline: float, items: Sequence[str]) -> Sequence[str]:
        self.together.append(list(items))
        self._begun.release()
        assert self._go_on.wait(20)
        if self.failure is not None:
            raise self.failure
        if "bad" in items or "locked" in items:
            raise ApartError
        return [f"{item} written" for item in items]

    def write_one(self, link: object, deadline: float, item: str) -> str:
        self._begun.release()
        assert self._go_on.wait(20)
        if item == "locked":
            assert self.locked.wait(20)
        if item == "bad":
            raise DataValidationError("It is bad.")
        self.alone.append(item)
        return f"{item} written"


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger()


Writes = BatchedWrites[Table, str, str]


@pytest.fixture
async def writes(pool: ConnectionThreads[Table], ledger: Ledger) -> AsyncIterator[Writes]:
    yield BatchedWrites(pool, ledger.write_one, ledger.write_all)
    ledger.release()
    ledger.locked.set()


async def written(writes: Writes, ledger: Ledger, *items: str) -> "list[asyncio.Task[str]]":
    """Callers that write one item each, the first alone and the others together, as soon as the ledger is released."""
    ledger.hold()
    first = asyncio.create_task(writes.get("first"))
    await asyncio.sleep(0)
    await ledger.begun()
    tasks = [asyncio.create_task(writes.get(item)) for item in items]
    await asyncio.sleep(0)
    return [first, *tasks]


async def test_writes_that_come_together_are_done_together(writes: Writes, ledger: Ledger) -> None:
    items = [f"item {number}" for number in range(MAX_WRITES + 3)] + ["item 0"]
    tasks = await written(writes, ledger, *items)
    ledger.release()
    assert await asyncio.gather(*tasks) == [f"{item} written" for item in ("first", *items)]
    assert ledger.alone == ["first"]
    assert ledger.together == [items[:MAX_WRITES], items[MAX_WRITES:]]


async def test_who_came_much_later_is_in_the_next_transaction(
    writes: Writes, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, one, two = await written(writes, ledger, "one", "two")
    monkeypatch.setattr(threads, "CALL_SECONDS", threads.CALL_SECONDS + 2 * MAX_SPAN_S)
    later = [asyncio.create_task(writes.get(item)) for item in ("three", "four")]
    await asyncio.sleep(0)
    ledger.release()
    assert await asyncio.gather(first, one, two, *later) == [
        f"{item} written" for item in ("first", "one", "two", "three", "four")
    ]
    assert ledger.together == [["one", "two"], ["three", "four"]]


async def test_writes_that_cannot_be_together_are_done_one_by_one(writes: Writes, ledger: Ledger) -> None:
    first, one, bad, two = await written(writes, ledger, "one", "bad", "two")
    ledger.release()
    assert await asyncio.gather(first, one, two) == ["first written", "one written", "two written"]
    with pytest.raises(DataValidationError):
        await bad
    assert sorted(ledger.alone) == ["first", "one", "two"]


async def test_a_write_that_waits_for_a_lock_keeps_no_other(writes: Writes, ledger: Ledger) -> None:
    ledger.locked.clear()
    first, locked, one, two = await written(writes, ledger, "locked", "one", "two")
    ledger.release()
    assert await asyncio.gather(first, one, two) == ["first written", "one written", "two written"]
    assert await writes.get("later") == "later written"
    assert not locked.done()
    ledger.locked.set()
    assert await locked == "locked written"


async def test_a_caller_who_leaves_before_the_writes_are_parted_is_left_out(writes: Writes, ledger: Ledger) -> None:
    _, one, bad = await written(writes, ledger, "one", "bad")
    one.cancel()
    ledger.release()
    with pytest.raises(DataValidationError):
        await bad
    await asyncio.wait([one])
    assert await writes.get("two") == "two written"
    assert "one" not in ledger.alone


async def test_an_outage_while_writing_together_is_everybodys(writes: Writes, ledger: Ledger) -> None:
    first, *tasks = await written(writes, ledger, "one", "two")
    ledger.failure = DBConnectionError("The connection to the database was lost.")
    ledger.release()
    assert await first == "first written"
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["The connection to the database was lost."] * 2
    assert errors[0] is not errors[1]
    assert ledger.alone == ["first"]


async def test_where_the_threads_end_before_writes_are_parted_they_fail(
    pool: ConnectionThreads[Table], writes: Writes, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *tasks = await written(writes, ledger, "one", "bad")
    put = pool.put

    def ended(work: Work[Table]) -> None:
        if isinstance(work, Call):
            raise DBConnectionError("The database is not open.")
        put(work)

    monkeypatch.setattr(pool, "put", ended)
    ledger.release()
    assert await first == "first written"
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["The database is not open."] * 2
    assert ledger.alone == ["first"]
