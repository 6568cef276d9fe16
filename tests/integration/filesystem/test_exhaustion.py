"""The filesystem store while there are too few open files, threads or memory."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_store import SPARE_FILES, FilesystemBlobStore
from pixyproxy.adapters.filesystem.threads import SpareFiles
from pixyproxy.domain.errors import BlobStoreExhaustedError
from tests.conformance.contracts.blob_store import open_files, read_all
from tests.fixtures.filesystem.calls import FaultyCalls
from tests.fixtures.filesystem.durability import GUID, Harness
from tests.fixtures.open_files import no_open_file_left


async def test_pictures_are_stored_and_read_with_the_spare_files(tmp_path: Path) -> None:
    store = FilesystemBlobStore(tmp_path, min_free_bytes=0)
    await store.open()
    guids = [f"{number:08x}-1111-4222-8333-444455556666" for number in range(20)]
    before = open_files()
    with no_open_file_left():
        await asyncio.gather(*(store.put(guid, guid.encode(), {"version": 1}) for guid in guids))
        for guid in guids:
            assert await read_all(await store.read(guid, size=36)) == guid.encode()
        place = await store.rescue(GUID, b"bytes", {})
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
    assert Path(place).read_bytes() == b"bytes"
    assert open_files() == before
    await store.close()


async def test_spare_files_are_held_again_when_there_is_room(tmp_path: Path) -> None:
    spare = SpareFiles(SPARE_FILES)
    before = open_files()
    with no_open_file_left():
        spare.open()
    assert open_files() == before
    spare.run(lambda: None)
    assert open_files() == before + SPARE_FILES
    spare.close()
    assert open_files() == before


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN])
@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename", "mkdir"])
async def test_a_shortage_is_no_failure_of_the_store(
    tmp_path: Path, code: int, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    harness = Harness(tmp_path)
    store = await harness.store()
    harness.calls.fails = lambda call, number: code if call.name == step else None
    for write in (store.put, store.rescue):
        with pytest.raises(BlobStoreExhaustedError):
            await write(GUID, b"bytes", {"version": 1})
    assert harness.files() == {}
    assert "LOST" not in caplog.text
    assert "cannot" not in caplog.text
    harness.calls.fails = lambda call, number: None
    await store.put(GUID, b"bytes", {"version": 1})
    assert harness.image.read_bytes() == b"bytes"
    await store.close()


async def test_a_thread_that_cannot_be_started_is_a_shortage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FilesystemBlobStore(tmp_path, min_free_bytes=0)
    await store.open()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", fail)
        # The store has one thread already.
        writes = [store.put(f"{n:08x}-1111-4222-8333-444455556666", b"bytes", {}) for n in range(2)]
        results = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(error) for error in results if error is not None} == {BlobStoreExhaustedError}
    await store.put(GUID, b"bytes", {})
    await store.close()


async def test_no_memory_is_a_shortage(tmp_path: Path) -> None:
    class Calls(FaultyCalls):
        short = False

        def write(self, fd: int, data: memoryview) -> int:
            if self.short:
                raise MemoryError
            return super().write(fd, data)

    calls = Calls()
    store = FilesystemBlobStore(tmp_path, min_free_bytes=0, calls=calls)
    await store.open()
    calls.short = True
    for write in (store.put, store.rescue):
        with pytest.raises(BlobStoreExhaustedError, match="memory"):
            await write(GUID, b"bytes", {})
    calls.short = False
    await store.put(GUID, b"bytes", {})
    await store.close()
