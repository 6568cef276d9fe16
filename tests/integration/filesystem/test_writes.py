"""Writes of the filesystem store: ordered per image, and finished even if the caller or the store goes away."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.domain.image import new_guid
from tests.conformance.contracts.blob_store import read_all
from tests.fixtures.filesystem.calls import Call, FaultyCalls

SIDECAR = {"text": "ä\udcff"}
TIMEOUT_S = 30.0


class Paused(FaultyCalls):
    """System calls whose first write of a sidecar or a picture waits until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__(self._pause)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def _pause(self, call: Call, number: int) -> None:
        if call.name == "write" and not self.begun.is_set():
            self.begun.set()
            self.go_on.wait(TIMEOUT_S)


@pytest.fixture
def calls() -> Paused:
    return Paused()


@pytest.fixture
async def store(tmp_path: Path, calls: Paused) -> AsyncIterator[FilesystemBlobStore]:
    store = FilesystemBlobStore(tmp_path / "images", min_free_bytes=0, calls=calls)
    await store.open()
    yield store
    calls.go_on.set()
    await store.close()


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def paused_put(store: FilesystemBlobStore, calls: Paused, guid: str, data: bytes) -> "asyncio.Task[None]":
    """Start storing a picture, and return while a thread is writing it."""
    putting = asyncio.create_task(store.put(guid, data, SIDECAR))
    await until(calls.begun.is_set)
    return putting


async def assert_stored(store: FilesystemBlobStore, guid: str, data: bytes) -> None:
    assert await read_all(await store.read(guid, size=len(data))) == data
    assert await store.read_sidecar(guid) == SIDECAR


async def test_writes_of_one_image_follow_each_other_and_hold_up_no_other(
    store: FilesystemBlobStore, calls: Paused, tmp_path: Path
) -> None:
    guid, other = new_guid(), new_guid()
    putting = await paused_put(store, calls, guid, b"first")
    replacing = asyncio.create_task(store.replace_sidecar(guid, {"text": "new"}))
    await asyncio.sleep(0)
    deleting = asyncio.create_task(store.delete(guid))
    await store.put(other, b"other", SIDECAR)
    assert not any(task.done() for task in (putting, replacing, deleting))
    calls.go_on.set()
    await asyncio.gather(putting, replacing, deleting)
    assert [path for path in tmp_path.rglob(f"*{guid}*") if path.is_file()] == []
    await assert_stored(store, other, b"other")


async def test_a_put_goes_on_when_its_caller_is_cancelled(store: FilesystemBlobStore, calls: Paused) -> None:
    guid = new_guid()
    putting = await paused_put(store, calls, guid, b"paid for")
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    calls.go_on.set()
    await store.replace_sidecar(guid, SIDECAR)  # waits for the put
    await assert_stored(store, guid, b"paid for")


async def test_a_put_that_waits_its_turn_goes_on_when_its_caller_is_cancelled(
    store: FilesystemBlobStore, calls: Paused
) -> None:
    guid = new_guid()
    first = await paused_put(store, calls, guid, b"first")
    second = asyncio.create_task(store.put(guid, b"second", SIDECAR))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait([second])
    calls.go_on.set()
    await first
    await store.replace_sidecar(guid, SIDECAR)
    await assert_stored(store, guid, b"second")


async def test_a_write_that_fails_after_its_caller_has_gone_is_logged(
    store: FilesystemBlobStore, calls: Paused, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guid = new_guid()
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    putting = asyncio.create_task(store.put(guid, b"data", SIDECAR))
    await asyncio.sleep(0)
    putting.cancel()
    await asyncio.wait([putting])
    await until(lambda: f"A write for image {guid} failed after its caller had gone" in caplog.text)
    (tmp_path / "elsewhere").rename(tmp_path / "images")


async def test_closing_waits_for_writes_under_way_and_refuses_new_ones(
    store: FilesystemBlobStore, calls: Paused
) -> None:
    guid = new_guid()
    putting = await paused_put(store, calls, guid, b"first")
    second = asyncio.create_task(store.put(guid, b"second", SIDECAR))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.1)
    assert not closing.done()
    with pytest.raises(BlobStoreError, match="not open"):
        await store.put(new_guid(), b"x", SIDECAR)
    calls.go_on.set()
    await asyncio.gather(putting, second, closing)
    await store.open()
    await assert_stored(store, guid, b"second")


async def test_a_folder_that_is_gone_is_an_error_and_is_not_made_again(
    store: FilesystemBlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(BlobStoreError, match="not usable: its folder is not there"):
        await store.put(new_guid(), b"x", SIDECAR)
    assert ("ERROR", "The blob store is not usable: its folder is not there") in [
        (record.levelname, record.getMessage()) for record in caplog.records
    ]
    assert not (tmp_path / "images").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "images")


async def test_an_error_names_its_cause_and_the_log_its_path(
    store: FilesystemBlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guid = new_guid()
    (tmp_path / "images" / guid[:2]).write_text("no folder")
    with pytest.raises(BlobStoreError) as caught:
        await store.put(guid, b"x", SIDECAR)
    assert caught.value.message == "The blob store cannot store a picture: its folder is not a folder."
    assert any("Not a directory" in record.getMessage() for record in caplog.records)


def test_a_forked_process_has_temporary_names_of_its_own() -> None:
    program = """if True:
        import os
        from pathlib import Path
        from pixyproxy.adapters.filesystem.durable_files import temporary_name
        if child := os.fork():
            os.waitpid(child, 0)
        print(temporary_name(Path(), "probe", "tmp"), flush=True)
        """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert len(set(done.stdout.split())) == 2
