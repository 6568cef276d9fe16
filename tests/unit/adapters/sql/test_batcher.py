"""Group commit: writes that arrive together are one transaction, and each caller gets the error of its own item."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from pixyproxy.adapters.sql import connection_pool
from pixyproxy.adapters.sql.batcher import MAX_SPAN_S, MAX_WRITES, Batcher, SplitBatchError
from pixyproxy.adapters.sql.connection_pool import ConnectionPool
from pixyproxy.domain.errors import DataValidationError, DBConnectionError
from tests.fixtures.sql.fake_table import Table


class Ledger(Table):
    """The items written, together or alone, and a way to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[list[str]] = []
        self.alone: list[str] = []
        self.deadlines: list[float] = []
        self.locked = threading.Event()
        self.locked.set()

    def write_all(self, connection: object, deadline: float, items: Sequence[str]) -> Sequence[str]:
        self.together.append(list(items))
        self.deadlines.append(deadline)
        self._begun.release()
        assert self._go_on.wait(20)
        if self.failure is not None:
            raise self.failure
        if "bad" in items or "locked" in items:
            raise SplitBatchError
        return [f"{item} written" for item in items]

    def write_one(self, connection: object, deadline: float, item: str) -> str:
        self._begun.release()
        assert self._go_on.wait(20)
        if item == "locked":
            assert self.locked.wait(20)
        if item == "bad":
            raise DataValidationError("It is bad.")
        self.alone.append(item)
        self.deadlines.append(deadline)
        return f"{item} written"


@pytest.fixture
async def pool(ledger: "Ledger") -> AsyncIterator[ConnectionPool[Table]]:
    pool: ConnectionPool[Table] = ConnectionPool("test-pool", 2, lambda: ledger)
    pool.start()
    yield pool
    ledger.release()
    await pool.stop()


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger()


Writes = Batcher[Table, str, str]


@pytest.fixture
async def writes(pool: ConnectionPool[Table], ledger: Ledger) -> AsyncIterator[Writes]:
    yield Batcher(pool, ledger.write_one, ledger.write_all, MAX_WRITES)
    ledger.release()
    ledger.locked.set()


async def written(writes: Writes, ledger: Ledger, *items: str) -> "list[asyncio.Task[str]]":
    """Callers that write one item each: the first alone, the others together once the ledger is released."""
    ledger.hold()
    first = asyncio.create_task(writes.run("first"))
    await asyncio.sleep(0)
    await ledger.begun()
    tasks = [asyncio.create_task(writes.run(item)) for item in items]
    await asyncio.sleep(0)
    return [first, *tasks]


async def test_concurrent_writes_share_a_transaction(writes: Writes, ledger: Ledger) -> None:
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
    monkeypatch.setattr(connection_pool, "CALL_SECONDS", connection_pool.CALL_SECONDS + 2 * MAX_SPAN_S)
    later = [asyncio.create_task(writes.run(item)) for item in ("three", "four")]
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
    assert await writes.run("later") == "later written"
    assert not locked.done()
    ledger.locked.set()
    assert await locked == "locked written"


async def test_a_caller_cancelled_before_the_split_is_left_out(writes: Writes, ledger: Ledger) -> None:
    _, one, bad = await written(writes, ledger, "one", "bad")
    one.cancel()
    ledger.release()
    with pytest.raises(DataValidationError):
        await bad
    await asyncio.wait([one])
    assert await writes.run("two") == "two written"
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


async def test_closing_before_the_group_is_split_fails_its_writes(
    pool: ConnectionPool[Table], writes: Writes, ledger: Ledger
) -> None:
    first, *tasks = await written(writes, ledger, "one", "bad")
    stopping = asyncio.create_task(pool.stop())
    await asyncio.sleep(0)
    ledger.release()
    assert await first == "first written"
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DBConnectionError] * 2
    await stopping
    assert ledger.alone == ["first"]


async def test_a_write_that_timed_out_in_the_queue_is_never_done(
    writes: Writes, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item must not be written after its caller got an error."""
    ledger.hold()
    first = asyncio.create_task(writes.run("first"))
    await asyncio.sleep(0)
    await ledger.begun()
    with monkeypatch.context() as hasty:
        hasty.setattr(connection_pool, "CALL_SECONDS", 0.05)
        late = asyncio.create_task(writes.run("late"))
        await asyncio.sleep(0)
    patient = asyncio.create_task(writes.run("patient"))
    with pytest.raises(DBConnectionError, match="in time"):
        await late
    ledger.release()
    assert await asyncio.gather(first, patient) == ["first written", "patient written"]
    assert ledger.alone == ["first", "patient"]
    assert ledger.together == []


@pytest.mark.parametrize("items", [("one", "two"), ("one", "bad", "two"), ("one",)], ids=["group", "split", "single"])
async def test_writes_have_the_deadline_of_their_callers(
    writes: Writes, ledger: Ledger, items: tuple[str, ...]
) -> None:
    """The wait for the previous transaction counts towards the deadline."""
    first, *tasks = await written(writes, ledger, *items)
    called_at = time.monotonic()
    await asyncio.sleep(0.05)
    ledger.release()
    await asyncio.gather(first, *tasks, return_exceptions=True)
    assert len(ledger.deadlines) > 1
    assert max(ledger.deadlines) <= called_at + connection_pool.CALL_SECONDS
