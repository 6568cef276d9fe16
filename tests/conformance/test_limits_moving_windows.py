"""LimitsMovingWindows on each storage: the contract, sharing, bounds, and storages that cannot be reached."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import limits.aio.storage.redis.redispy
import pytest

from pixyproxy.adapters.limits import moving_windows
from pixyproxy.adapters.limits.memory_storage import MemoryWindowStorage
from pixyproxy.adapters.limits.moving_windows import LimitsMovingWindows
from pixyproxy.adapters.limits.redis_storage import RedisWindowStorage
from pixyproxy.adapters.limits.sqlite_storage import SQLiteWindowStorage
from tests.conformance.contracts.moving_windows import THREE, MovingWindowsContract
from tests.fixtures.core import SteppingClock
from tests.fixtures.http_app import log_lines
from tests.fixtures.redis_server import PrivateRedis

STILL = timedelta(0)


class TestLimitsMovingWindowsInMemory(MovingWindowsContract):
    adapter = LimitsMovingWindows

    @pytest.fixture
    async def windows(self, clock: SteppingClock) -> LimitsMovingWindows:
        return LimitsMovingWindows(clock)


class TestLimitsMovingWindowsInAFile(MovingWindowsContract):
    adapter = LimitsMovingWindows

    @pytest.fixture
    async def windows(self, clock: SteppingClock, tmp_path: Path) -> AsyncIterator[LimitsMovingWindows]:
        made = in_file(tmp_path / "limits.sqlite3", clock)
        await made.open()
        yield made
        await made.close()


class TestLimitsMovingWindowsInRedis(MovingWindowsContract):
    adapter = LimitsMovingWindows

    @pytest.fixture
    async def windows(
        self, clock: SteppingClock, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[LimitsMovingWindows]:
        # The library reads the time itself.
        still = SimpleNamespace(time=lambda: clock.now().timestamp())
        monkeypatch.setattr(limits.aio.storage.redis.redispy, "time", still)
        made = LimitsMovingWindows(clock, lambda: RedisWindowStorage(redis_url))
        await made.open()
        yield made
        await made.close()
        assert not made._is_away


def in_file(path: Path, clock: SteppingClock) -> LimitsMovingWindows:
    return LimitsMovingWindows(clock, lambda: SQLiteWindowStorage(path, clock))


async def test_processes_with_one_file_count_together(tmp_path: Path) -> None:
    clock, path = SteppingClock(STILL), tmp_path / "new folder" / "limits.sqlite3"
    workers = [in_file(path, clock) for _ in range(4)]
    for worker in workers:
        await worker.open()
    hits = await asyncio.gather(*(worker.hit(THREE, "key") for worker in workers for _ in range(10)))
    assert hits.count(True) == 3
    await workers[0].release(THREE, "key")
    assert await workers[1].hit(THREE, "key")
    assert await workers[2].wait_s(THREE, "key") == pytest.approx(60)
    for worker in workers:
        await worker.close()


async def test_processes_with_one_redis_count_together(redis_url: str) -> None:
    workers = [LimitsMovingWindows(SteppingClock(STILL), lambda: RedisWindowStorage(redis_url)) for _ in range(4)]
    for worker in workers:
        await worker.open()
    key = uuid4().hex
    hits = await asyncio.gather(*(worker.hit(THREE, key) for worker in workers for _ in range(10)))
    assert hits.count(True) == 3
    for worker in workers:
        await worker.close()


async def test_memory_is_bounded_for_each_kind() -> None:
    clock = SteppingClock(STILL)
    storage = MemoryWindowStorage(clock, max_kept=100)
    assert await storage.acquire_entry("victim/alice", 1, 300)
    for n in range(10_000):
        await storage.acquire_entry(f"flood/{n}", 10, 300)
    assert {kind: len(kept) for kind, kept in storage._kinds.items()} == {"victim": 1, "flood": 100}
    assert not await storage.acquire_entry("flood/9999", 1, 300)
    clock.advance(timedelta(seconds=301))
    await storage.acquire_entry("flood/new", 10, 300)
    assert len(storage._kinds["flood"]) == 1


async def test_the_file_is_bounded_for_each_kind(tmp_path: Path) -> None:
    clock, path = SteppingClock(timedelta(milliseconds=1)), tmp_path / "limits.sqlite3"
    storage = SQLiteWindowStorage(path, clock, max_kept=100)
    assert await storage.acquire_entry("victim/alice", 1, 300)
    for n in range(1000):
        await storage.acquire_entry(f"flood/{n}", 10, 300)
    with closing(sqlite3.connect(path)) as file:
        counts = dict(file.execute("SELECT kind, count(*) FROM events GROUP BY kind"))
        assert counts["victim"] == 1
        assert 100 <= counts["flood"] <= 200
        clock.advance(timedelta(seconds=301))
        await storage.acquire_entry("flood/new", 10, 300)
        assert file.execute("SELECT count(*) FROM events WHERE kind = 'flood'").fetchone() == (1,)
    await storage.aclose()


async def test_a_damaged_file_is_counted_without_and_logged_once(tmp_path: Path) -> None:
    path = tmp_path / "limits.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    windows = in_file(path, SteppingClock(STILL))
    await windows.open()
    with log_lines() as lines:
        assert [await windows.hit(THREE, "key") for _ in range(4)] == [True] * 3 + [False]
        await windows.release(THREE, "key")
        assert await windows.wait_s(THREE, "key") == 0
    await windows.close()
    assert [" WARNING " in line and "in this process only: file is not a database" in line for line in lines] == [True]


async def test_while_redis_is_away_each_process_counts_for_itself(
    private_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving_windows, "_AWAY_S", 0.0)
    clock = SteppingClock(STILL)
    first, second = (LimitsMovingWindows(clock, lambda: RedisWindowStorage(private_redis.url)) for _ in range(2))
    for windows in (first, second):
        await windows.open()
    assert [await first.hit(THREE, "key") for _ in range(3)] == [True] * 3
    assert not await second.hit(THREE, "key")
    with log_lines() as lines:
        private_redis.stop()
        for windows in (first, second):
            assert [await windows.hit(THREE, "key") for _ in range(4)] == [True] * 3 + [False]
            await windows.release(THREE, "key")
            assert await windows.wait_s(THREE, "key") == 0
        private_redis.start()
        assert [await first.hit(THREE, "key") for _ in range(3)] == [True] * 3
        assert not await second.hit(THREE, "key")
    assert [line.split()[2] for line in lines] == ["WARNING", "WARNING", "INFO", "INFO"]
    for windows in (first, second):
        await windows.close()


async def test_a_storage_that_is_away_is_left_alone_for_a_while(
    private_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving_windows, "_AWAY_S", 3600.0)
    windows = LimitsMovingWindows(SteppingClock(STILL), lambda: RedisWindowStorage(private_redis.url))
    await windows.open()
    private_redis.stop()
    await windows.hit(THREE, "key")
    private_redis.start()
    assert [await windows.hit(THREE, "key") for _ in range(3)] == [True, True, False]
    await windows.close()
