"""Failures and crashes during maintenance: nothing is lost, and a second run completes it."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreError, BlobStoreFullError
from tests.fixtures.filesystem.calls import Call
from tests.fixtures.filesystem.maintenance import (
    ALWAYS,
    CODES,
    DATA,
    GUID,
    READS,
    TEXT,
    WHOLE_AND_SERVED,
    Crash,
    Harness,
    failure_of,
)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@pytest.fixture
async def maintenance(harness: Harness) -> AsyncIterator[FilesystemBlobMaintenance]:
    maintenance = await harness.maintenance()
    yield maintenance
    harness.work_again()
    await maintenance.close()


@pytest.fixture(autouse=True)
def no_open_files() -> Iterator[None]:
    folder = Path("/proc/self/fd")
    before = len(list(folder.iterdir())) if folder.exists() else 0
    yield
    assert (len(list(folder.iterdir())) if folder.exists() else 0) <= before


# Failures and crashes at every step


async def steps_of(base: Path, prepare: Callable[[Harness], None], act: str) -> list[Call]:
    harness = Harness(base)
    prepare(harness)
    maintenance = await harness.maintenance()
    await do(maintenance, act)
    await maintenance.close()
    return list(harness.calls.calls)


async def do(maintenance: FilesystemBlobMaintenance, act: str) -> object:
    if act == "adopt":
        return await maintenance.adopt_rescued(GUID)
    return await (maintenance.quarantine(GUID) if act == "quarantine" else maintenance.quarantine_debris(ALWAYS))


def prepare_adoption(harness: Harness) -> None:
    harness.keep()


def prepare_adoption_over_sidecar(harness: Harness) -> None:
    harness.keep("images/aside")
    harness.write(f"images/0b/9f/{GUID}.json", b"older")


def prepare_finishing(harness: Harness) -> None:
    harness.store()
    harness.keep("images/aside")
    harness.keep(number=2)


ADOPTIONS = pytest.mark.parametrize(
    "prepare", [prepare_adoption, prepare_adoption_over_sidecar, prepare_finishing], ids=lambda p: p.__name__
)


def assert_nothing_lost(harness: Harness, before: dict[str, bytes], why: object) -> None:
    """Assert that the picture is whole somewhere beside its sidecar, and nothing else is lost or in its place."""
    files = harness.files()
    assert any(
        data == DATA and files.get(name.removesuffix(".bin") + ".json") == TEXT
        for name, data in files.items()
        if name.endswith(".bin")
    ), why
    assert set(before.values()) <= set(files.values()), why
    if harness.image.exists():
        assert harness.image.read_bytes() == DATA, why
        assert harness.sidecar.read_bytes() == TEXT, why


async def assert_completes(harness: Harness, maintenance: FilesystemBlobMaintenance, why: object) -> None:
    """Assert that a second run leaves the picture in its place and nothing rescued."""
    offered = await maintenance.rescued()
    assert await maintenance.adopt_rescued(GUID) is (GUID in offered), why
    await maintenance.quarantine_debris(ALWAYS)
    served = {name: data for name, data in harness.files().items() if "quarantine" not in name}
    lone = {name for name in served if name == f"rescue/{GUID}.1.json" or name == f"rescue/{GUID}.2.json"}
    assert {name: data for name, data in served.items() if name not in lone} == WHOLE_AND_SERVED, why
    assert await maintenance.rescued() == frozenset(), why
    assert await maintenance.adopt_rescued(GUID) is False, why


@ADOPTIONS
@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
async def test_any_step_of_an_adoption_failing_once(
    tmp_path: Path, code: int, prepare: Callable[[Harness], None]
) -> None:
    steps = await steps_of(tmp_path / "count", prepare, "adopt")
    assert len(steps) > 30
    outcomes: set[object] = set()
    for number, step in enumerate(steps):
        harness = Harness(tmp_path / str(number))
        prepare(harness)
        before = harness.files()
        maintenance = await harness.maintenance()
        harness.fail(number, code)
        [outcome] = await asyncio.gather(maintenance.adopt_rescued(GUID), return_exceptions=True)
        if not isinstance(outcome, bool):
            assert isinstance(outcome, BlobStoreError), step
            assert isinstance(outcome, BlobStoreFullError) == (code == errno.ENOSPC), step
            assert str(tmp_path) not in outcome.message
        outcomes.add(type(outcome) if isinstance(outcome, BlobStoreError) else outcome)
        harness.work_again()
        assert_nothing_lost(harness, before, step)
        if outcome is not True and prepare is not prepare_finishing:
            assert not harness.image.exists(), step
        await assert_completes(harness, maintenance, (str(step), step))
        await maintenance.close()
    # A file that was not flushed is written anew; a file that cannot be removed only exists twice.
    assert outcomes >= {True, BlobStoreFullError if code == errno.ENOSPC else BlobStoreError}


@ADOPTIONS
async def test_a_crash_at_any_step_of_an_adoption(tmp_path: Path, prepare: Callable[[Harness], None]) -> None:
    steps = await steps_of(tmp_path / "count", prepare, "adopt")
    for number, step in enumerate(steps):
        harness = Harness(tmp_path / str(number))
        prepare(harness)
        before = harness.files()
        maintenance = await harness.maintenance()
        harness.crash(number)
        assert isinstance(await failure_of(maintenance.adopt_rescued(GUID)), Crash), step
        harness.work_again()
        await maintenance.close()
        assert_nothing_lost(harness, before, step)
        again = await harness.maintenance()
        await assert_completes(harness, again, step)
        await again.close()


async def test_bytes_whose_flush_failed_are_not_left_in_place(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.keep()
    harness.calls.fails = lambda call, n: errno.EIO if (call.name, call.path) == ("fsync", harness.folder) else None
    for _ in range(2):
        with pytest.raises(BlobStoreError, match="adopt a rescued picture: its disk reports"):
            await maintenance.adopt_rescued(GUID)
        assert not harness.image.exists()
        assert (harness.rescue / f"{GUID}.1.bin").read_bytes() == DATA
    harness.work_again()
    assert await maintenance.adopt_rescued(GUID) is True
    assert harness.files() == WHOLE_AND_SERVED


def prepare_quarantine(harness: Harness) -> None:
    harness.store()
    harness.write(f"images/quarantine/{GUID}.1.json", b"of an earlier one")


QUARANTINES = pytest.mark.parametrize(
    ("prepare", "act"), [(prepare_quarantine, "quarantine"), (Harness.leave_debris, "debris")], ids=["image", "debris"]
)


@QUARANTINES
@pytest.mark.parametrize("code", [None, *CODES], ids=lambda code: "crash" if code is None else errno.errorcode[code])
async def test_a_quarantine_that_fails_or_ends_at_any_step(
    tmp_path: Path, prepare: Callable[[Harness], None], act: str, code: int | None
) -> None:
    for number, step in enumerate(await steps_of(tmp_path / "count", prepare, act)):
        harness = Harness(tmp_path / str(number))
        prepare(harness)
        before = sorted(harness.files().values())
        maintenance = await harness.maintenance()
        if code is None:
            harness.crash(number)
        else:
            harness.fail(number, code)
        error = await failure_of(do(maintenance, act))
        assert isinstance(error, Crash if code is None else BlobStoreError), step
        assert not isinstance(error, BlobMissingError), step
        assert isinstance(error, BlobStoreFullError) == (code == errno.ENOSPC), step
        harness.work_again()
        assert sorted(harness.files().values()) == before, step
        if harness.image.exists():
            assert harness.sidecar.exists(), step
        again = await harness.maintenance()
        if harness.sidecar.exists():
            assert [blob.guid async for blob in again.walk()] == [GUID], step
        rest = await failure_of(do(again, act))
        assert rest is None or isinstance(rest, BlobMissingError), step
        assert sorted(harness.files().values()) == before, step
        assert all("quarantine" in name for name in harness.files()), step
        await again.close()
        await maintenance.close()


@pytest.mark.parametrize("read", READS)
async def test_any_step_of_reading_failing_is_an_outage_and_nothing_is_missing(
    harness: Harness, maintenance: FilesystemBlobMaintenance, read: str
) -> None:
    harness.store()
    await READS[read](maintenance)
    steps = list(harness.calls.calls)
    assert steps
    for number, step in enumerate(steps):
        for code in CODES:
            harness.fail(number, code)
            error = await failure_of(READS[read](maintenance))
            assert isinstance(error, BlobStoreError), step
            # A sector that cannot be read is damage to one picture; anything else concerns the store.
            bad_sector = read == "verify" and code == errno.EIO
            assert isinstance(error, BlobCorruptError) is bad_sector, step
            assert not isinstance(error, BlobMissingError), step
    harness.work_again()
    await READS[read](maintenance)


# Two at a time


@pytest.mark.parametrize("act", ["adopt", "quarantine"])
async def test_the_second_waits_until_the_first_is_done(
    harness: Harness, maintenance: FilesystemBlobMaintenance, act: str
) -> None:
    between, go_on = threading.Event(), threading.Event()
    if act == "adopt":
        harness.keep()
        at = Call("fsync", harness.folder)  # the bytes are in their place already
    else:
        harness.store()
        at = Call("rename", harness.root / "quarantine" / f"{GUID}.1.json")  # they are gone, their sidecar is not

    def pause(call: Call, number: int) -> None:
        if call == at and not between.is_set():
            between.set()
            go_on.wait(20)

    harness.calls.fails = pause
    first = asyncio.ensure_future(do(maintenance, act))
    await asyncio.to_thread(between.wait, 20)
    second = asyncio.ensure_future(do(maintenance, act))
    await asyncio.sleep(0.1)  # long enough for the second to overtake the first, if that were possible
    go_on.set()
    done = await asyncio.gather(first, second, return_exceptions=True)
    if act == "adopt":
        assert done == [True, False]
        assert harness.files() == WHOLE_AND_SERVED
    else:
        assert done[0] == str(harness.root / "quarantine" / f"{GUID}.1.bin")
        assert isinstance(done[1], BlobMissingError)
        assert set(harness.files()) == {f"images/quarantine/{GUID}.1.bin", f"images/quarantine/{GUID}.1.json"}
