"""Durability of the filesystem store: flushes in the right order, and no trace of a write that failed."""

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError, BlobStoreFullError
from tests.conformance.contracts.blob_store import read_all
from tests.fixtures.filesystem.calls import Call, FaultyCalls
from tests.fixtures.filesystem.durability import CODES, GUID, Harness, failure_of

OTHER = "0b9f1c2d-7777-4222-8333-444455556666"


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path / "images")


# The order of steps


FIRST_PUT = [
    "mkdir images/0b",
    "mkdir images/0b/9f",
    "create temporary-1",
    "write temporary-1",
    "create temporary-2",
    "write temporary-2",
    "fsync temporary-1",
    "fsync temporary-2",
    "close temporary-2",
    "close temporary-1",
    "rename sidecar",
    "rename image",
    "fsync images/0b/9f",
    "fsync images/0b",
    "fsync images",
]


async def test_the_steps_of_a_first_put(harness: Harness) -> None:
    store = await harness.store()
    await store.put(GUID, b"bytes", {"a": 1})
    await store.close()
    assert harness.steps() == FIRST_PUT
    written = [call.path for call in harness.calls.calls if call.kind == "temporary"]
    assert {path.parent for path in written} == {harness.folder}


async def test_parents_are_flushed_once_in_the_life_of_a_store(harness: Harness) -> None:
    store = await harness.store()
    await store.put(GUID, b"bytes", {})
    harness.calls.calls.clear()
    await store.put(OTHER, b"bytes", {})
    assert [step for step in harness.steps() if "images" in step and "fsync" in step] == ["fsync images/0b/9f"]
    # Another process may have made the folders a moment ago and not flushed them yet.
    second = await harness.store()
    await second.put(OTHER, b"bytes", {})
    assert [step for step in harness.steps() if "images" in step and "fsync" in step] == [
        "fsync images/0b/9f",
        "fsync images/0b",
        "fsync images",
    ]
    await store.close()
    await second.close()


async def test_a_folder_removed_by_hand_is_made_and_flushed_again(harness: Harness) -> None:
    store = await harness.store()
    await store.put(GUID, b"bytes", {})
    await store.delete(GUID)
    harness.folder.rmdir()
    harness.calls.calls.clear()
    await store.put(GUID, b"bytes", {})
    await store.close()
    assert harness.steps()[:4] == ["create temporary-1", "mkdir images/0b", "mkdir images/0b/9f", "create temporary-2"]
    assert harness.steps()[-3:] == ["fsync images/0b/9f", "fsync images/0b", "fsync images"]


async def test_the_steps_of_a_second_put(harness: Harness) -> None:
    store = await harness.store()
    await store.put(GUID, b"old", {})
    harness.calls.calls.clear()
    await store.put(GUID, b"new", {})
    await store.close()
    assert harness.steps()[-7:] == [
        "link backup",
        "link backup",
        "rename sidecar",
        "rename image",
        "fsync images/0b/9f",
        "unlink backup",
        "unlink backup",
    ]


async def test_the_steps_of_a_delete(harness: Harness) -> None:
    store = await harness.store()
    await store.put(GUID, b"bytes", {})
    harness.calls.calls.clear()
    await store.delete(GUID)
    assert harness.steps() == ["unlink image", "unlink sidecar", "fsync images/0b/9f"]
    harness.calls.calls.clear()
    await store.delete(GUID)
    assert harness.steps() == ["unlink image", "unlink sidecar", "fsync images/0b/9f"]
    await store.close()


async def test_opening_flushes_the_parents_of_the_folders_it_makes(tmp_path: Path) -> None:
    calls = FaultyCalls()
    store = FilesystemBlobStore(tmp_path / "a" / "b" / "c", calls=calls)
    await store.open()
    await store.close()
    made = [(c.name, c.path.relative_to(tmp_path).as_posix()) for c in calls.calls if c.name in ("mkdir", "fsync")]
    assert made == [
        ("mkdir", "a"),
        ("fsync", "."),
        ("mkdir", "a/b"),
        ("fsync", "a"),
        ("mkdir", "a/b/c"),
        ("fsync", "a/b"),
    ]


async def test_the_steps_of_a_rescue(harness: Harness) -> None:
    store = await harness.store()
    place = await store.rescue(GUID, b"bytes", {})
    await store.close()
    assert place == str(harness.root / "aside" / f"{GUID}.1.bin")
    assert harness.steps() == [
        "mkdir images/aside",
        "fsync images",
        "create sidecar",
        "write sidecar",
        "fsync sidecar",
        "close sidecar",
        "create temporary-1",
        "write temporary-1",
        "fsync temporary-1",
        "close temporary-1",
        "rename image",
        "fsync images/aside",
    ]


# Every step failing


async def count_steps(root: Path, *, again: bool) -> list[Call]:
    harness = Harness(root)
    store = await harness.store()
    if again:
        await store.put(GUID, b"old", {"version": 1})
        harness.calls.calls.clear()
    await store.put(GUID, b"new", {"version": 2})
    await store.close()
    return list(harness.calls.calls)


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
async def test_any_step_of_a_put_failing_once(tmp_path: Path, code: int, again: bool) -> None:
    steps = await count_steps(tmp_path / "count", again=again)
    survived = []
    for number, step in enumerate(steps):
        harness = Harness(tmp_path / str(number))
        store = await harness.store()
        if again:
            await store.put(GUID, b"old", {"version": 1})
            harness.calls.calls.clear()
        before = harness.files()
        harness.calls.fails = lambda call, n, failing=number: code if n == failing else None
        error = await failure_of(store.put(GUID, b"new", {"version": 2}))
        if error is not None:
            assert isinstance(error, BlobStoreFullError) == (code in (errno.ENOSPC, errno.EDQUOT)), step
            assert str(tmp_path) not in error.message
            assert harness.files() == before, step
            harness.calls.fails = lambda call, n: None
            if not again:
                with pytest.raises(BlobMissingError):
                    await store.read(GUID, size=3)
        else:
            survived.append(str(step))
            assert await read_all(await store.read(GUID, size=3)) == b"new"
            assert await store.read_sidecar(GUID) == {"version": 2}
        harness.calls.fails = lambda call, n: None
        await store.put(GUID, b"new", {"version": 2})
        assert harness.image.read_bytes() == b"new"
        await store.close()
    # A file that cannot be flushed is written anew; a remnant that cannot be removed does not undo the write.
    flushed_or_removed = ["fsync temporary", "fsync temporary"] + (["unlink backup", "unlink backup"] if again else [])
    # Without an open file the whole write is repeated, with the spare ones.
    assert survived == (list(map(str, steps)) if code == errno.EMFILE else flushed_or_removed)


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
async def test_any_step_of_a_rescue_failing_once(tmp_path: Path, code: int) -> None:
    counted = Harness(tmp_path / "count")
    store = await counted.store()
    await store.rescue(GUID, b"bytes", {})
    await store.close()
    survived = []
    for number, step in enumerate(counted.calls.calls):
        harness = Harness(tmp_path / str(number))
        store = await harness.store()
        harness.calls.fails = lambda call, n, failing=number: code if n == failing else None
        error = await failure_of(store.rescue(GUID, b"bytes", {}))
        if error is not None:
            assert isinstance(error, BlobStoreFullError) == (code in (errno.ENOSPC, errno.EDQUOT)), step
            assert harness.files() == {}, step
        else:
            survived.append(str(step))
            assert len(harness.files()) == 2
            assert b"bytes" in harness.files().values()
        await store.close()
    always = list(map(str, counted.calls.calls))
    assert survived == (always if code == errno.EMFILE else ["fsync sidecar", "fsync temporary"])


async def test_a_file_that_was_not_flushed_is_never_flushed_again(harness: Harness) -> None:
    store = await harness.store()
    failed: list[Path] = []

    def fails(call: Call, number: int) -> int | None:
        if call.name == "fsync" and call.kind == "temporary" and len(failed) < 2:
            failed.append(call.path)
            return errno.EIO if len(failed) == 1 else None
        return None

    harness.calls.fails = fails
    await store.put(GUID, b"bytes", {})
    await store.close()
    flushed = [call.path for call in harness.calls.calls if call.name == "fsync" and call.kind == "temporary"]
    assert len(flushed) == len(set(flushed)) == 3
    assert flushed[0] == failed[0]
    assert Call("unlink", failed[0]) in harness.calls.calls
    rewritten = [call for call in harness.calls.calls if call.path == flushed[1]]
    assert [call.name for call in rewritten] == ["create", "write", "fsync", "close"]


async def test_a_flush_that_always_fails_is_tried_twice(harness: Harness) -> None:
    store = await harness.store()
    await store.put(OTHER, b"bytes", {})
    before = harness.files()
    harness.calls.calls.clear()
    harness.calls.fails = lambda call, n: errno.EIO if call.name == "fsync" else None
    with pytest.raises(BlobStoreError, match="input/output error"):
        await store.put(GUID, b"bytes", {})
    await store.close()
    assert [str(call) for call in harness.calls.calls if call.name == "fsync"] == ["fsync temporary"] * 2
    assert harness.files() == before


async def test_rolling_back_removes_bytes_before_their_sidecar(harness: Harness) -> None:
    store = await harness.store()
    harness.calls.fails = lambda call, n: errno.EIO if call == Call("fsync", harness.folder) else None
    with pytest.raises(BlobStoreError):
        await store.put(GUID, b"bytes", {})
    await store.close()
    assert [s for s in harness.steps() if s.startswith("unlink")][:2] == ["unlink image", "unlink sidecar"]
    assert harness.files() == {}


@pytest.mark.parametrize("name", ["unlink", "fsync", "open"])
async def test_a_failing_delete_raises_and_can_be_repeated(harness: Harness, name: str) -> None:
    store = await harness.store()
    await store.put(GUID, b"bytes", {})
    harness.calls.fails = lambda call, n: errno.EIO if call.name == name else None
    with pytest.raises(BlobStoreError, match="cannot delete a picture: its disk reports"):
        await store.delete(GUID)
    harness.calls.fails = lambda call, n: None
    await store.delete(GUID)
    await store.close()
    assert harness.files() == {}


async def test_short_writes_are_continued_and_no_progress_is_an_error(harness: Harness) -> None:
    class Slow(FaultyCalls):
        step = 7

        def write(self, fd: int, data: memoryview) -> int:
            return super().write(fd, data[: self.step])

    harness.calls = calls = Slow()
    store = await harness.store()
    data = bytes(range(256)) * 3
    await store.put(GUID, data, {"text": "long enough"})
    assert harness.image.read_bytes() == data
    calls.step = 0
    with pytest.raises(BlobStoreError):
        await store.put(OTHER, data, {})
    await store.close()
    assert len(harness.files()) == 2


async def test_two_puts_of_one_image_do_not_mix_sidecar_and_bytes(harness: Harness) -> None:
    between, go_on = threading.Event(), threading.Event()

    def pause(call: Call, number: int) -> None:
        if str(call) == "rename image" and not between.is_set():
            between.set()
            go_on.wait(20)

    store = await harness.store()
    harness.calls.fails = pause
    first = asyncio.create_task(store.put(GUID, b"first", {"is": "first"}))
    await asyncio.to_thread(between.wait, 20)
    second = asyncio.create_task(store.put(GUID, b"second", {"is": "second"}))
    await asyncio.sleep(0.1)  # long enough for the second to overtake the first, if that were possible
    go_on.set()
    await asyncio.gather(first, second)
    sidecar = await store.read_sidecar(GUID)
    await store.close()
    assert harness.image.read_bytes().decode() == sidecar["is"]
