"""Reads of the filesystem store: pieces, open files, cancellation and failures."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem import reader
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreError, BlobStoreExhaustedError
from tests.conformance.contracts.blob_store import open_files, read_all
from tests.fixtures.filesystem.calls import Call, FaultyCalls

GUID = "0b9f1c2d-1111-4222-8333-444455556666"
LARGE = bytes(range(256)) * 12_000


@pytest.fixture
def calls() -> FaultyCalls:
    return FaultyCalls()


@pytest.fixture
async def store(tmp_path: Path, calls: FaultyCalls) -> AsyncIterator[FilesystemBlobStore]:
    before = open_files()
    store = FilesystemBlobStore(tmp_path / "images", min_free_bytes=0, calls=calls)
    await store.open()
    yield store
    await store.close()
    assert open_files() <= before


def names(calls: FaultyCalls) -> list[str]:
    return [call.name for call in calls.calls]


async def stored(store: FilesystemBlobStore, calls: FaultyCalls, data: bytes) -> int:
    await store.put(GUID, data, {})
    calls.calls.clear()
    return len(data)


async def test_files_are_read_on_a_thread(store: FilesystemBlobStore, calls: FaultyCalls) -> None:
    size = await stored(store, calls, b"bytes")
    threads: list[threading.Thread] = []
    calls.fails = lambda call, n: threads.append(threading.current_thread())  # type: ignore[func-returns-value]
    assert await read_all(await store.read(GUID, size=size)) == b"bytes"
    assert names(calls) == ["open", "status", "pread", "close"]
    assert threading.main_thread() not in threads


async def test_up_to_two_megabytes_are_one_piece_and_more_are_pieces_of_half_one(
    store: FilesystemBlobStore, calls: FaultyCalls
) -> None:
    await stored(store, calls, LARGE)
    async with await store.read(GUID, size=len(LARGE), stop=reader.ONE_PIECE_MAX_BYTES) as whole:
        assert [len(piece) async for piece in whole] == [reader.ONE_PIECE_MAX_BYTES] == [2 * 1024 * 1024]
    calls.calls.clear()
    async with await store.read(GUID, size=len(LARGE)) as pieces:
        sizes = [len(piece) async for piece in pieces]
    assert set(sizes[:-1]) == {reader.PIECE_BYTES} == {512 * 1024}
    assert sum(sizes) == len(LARGE)
    assert names(calls).count("open") == 1


async def test_the_file_is_closed_at_the_end_of_the_range(store: FilesystemBlobStore, calls: FaultyCalls) -> None:
    await stored(store, calls, LARGE)
    before = open_files()
    pieces = await store.read(GUID, size=len(LARGE))
    assert open_files() == before + 1
    assert b"".join([piece async for piece in pieces]) == LARGE
    assert open_files() == before


async def test_a_lost_reader_closes_its_file(store: FilesystemBlobStore, calls: FaultyCalls) -> None:
    await stored(store, calls, LARGE)
    before = open_files()

    async def lose_one() -> None:
        await store.read(GUID, size=len(LARGE))
        async with asyncio.timeout(20):  # the thread that read the first piece may hold it a little longer
            while open_files() > before:
                await asyncio.sleep(0.01)

    with pytest.warns(ResourceWarning, match="unclosed file"):
        await lose_one()


async def test_closing_while_a_thread_reads_waits_for_the_thread(tmp_path: Path) -> None:
    class Held(FaultyCalls):
        held = threading.Event()
        reading = threading.Event()
        seen: bytes | OSError | None = None

        def pread(self, fd: int, length: int, offset: int) -> bytes:
            if offset:
                self.reading.set()
                self.held.wait(20)
                try:
                    self.seen = super().pread(fd, length, offset)
                except OSError as error:
                    self.seen = error
                    raise
                return self.seen
            return super().pread(fd, length, offset)

    calls, before = Held(), open_files()
    store = FilesystemBlobStore(tmp_path / "images", calls=calls)
    await store.open()
    await store.put(GUID, LARGE, {})
    pieces = await store.read(GUID, size=len(LARGE))
    await anext(pieces)
    task = asyncio.create_task(anext(pieces))
    await asyncio.to_thread(calls.reading.wait, 20)
    task.cancel()
    await asyncio.wait([task])
    await pieces.close()
    calls.held.set()
    await store.close()
    assert calls.seen == LARGE[reader.PIECE_BYTES : 2 * reader.PIECE_BYTES]
    assert open_files() <= before


async def test_a_read_cancelled_while_a_thread_opens_the_file_leaks_nothing(tmp_path: Path) -> None:
    held, opening, before = threading.Event(), threading.Event(), open_files()

    def fails(call: Call, number: int) -> None:
        if call.name == "status":
            opening.set()
            held.wait(20)

    calls = FaultyCalls()
    store = FilesystemBlobStore(tmp_path / "images", calls=calls)
    await store.open()
    await store.put(GUID, LARGE, {})
    calls.fails = fails
    task = asyncio.create_task(store.read(GUID, size=len(LARGE)))
    await asyncio.to_thread(opening.wait, 20)
    task.cancel()
    await asyncio.wait([task])
    held.set()
    await store.close()
    assert open_files() <= before


@pytest.mark.parametrize("size", [5, len(LARGE)])
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("open", errno.EACCES, "permission"),
        ("open", errno.EMFILE, "too many files"),
        ("open", errno.EIO, "input/output"),
        ("open", errno.ENOTDIR, "not a folder"),
        ("status", errno.EIO, "input/output"),
        ("pread", errno.EIO, "input/output"),
        ("pread", errno.ESTALE, "network file system"),
        ("pread", errno.EBUSY, "error EBUSY"),
    ],
)
async def test_failing_reads(
    store: FilesystemBlobStore,
    calls: FaultyCalls,
    tmp_path: Path,
    size: int,
    name: str,
    code: int,
    words: str,
) -> None:
    await stored(store, calls, LARGE[:size])
    calls.fails = lambda call, n: code if call.name == name else None
    with pytest.raises(BlobStoreError, match=words) as caught:
        await store.read(GUID, size=size)
    assert type(caught.value) is (BlobStoreExhaustedError if code == errno.EMFILE else BlobStoreError)
    assert str(tmp_path) not in caught.value.message


async def test_a_later_piece_that_cannot_be_read(store: FilesystemBlobStore, calls: FaultyCalls) -> None:
    await stored(store, calls, LARGE)
    async with await store.read(GUID, size=len(LARGE)) as pieces:
        await anext(pieces)
        calls.fails = lambda call, n: errno.EIO if call.name == "pread" else None
        with pytest.raises(BlobStoreError, match="input/output"):
            await anext(pieces)


async def test_a_file_truncated_while_it_is_read_is_corrupt(
    store: FilesystemBlobStore, calls: FaultyCalls, tmp_path: Path
) -> None:
    await stored(store, calls, LARGE)
    async with await store.read(GUID, size=len(LARGE)) as pieces:
        (path,) = (tmp_path / "images").rglob("*.bin")
        with path.open("r+b") as file:
            file.truncate(reader.PIECE_BYTES + 100)
        await anext(pieces)
        with pytest.raises(BlobCorruptError):
            await anext(pieces)


async def test_short_reads_are_continued(tmp_path: Path) -> None:
    class Slow(FaultyCalls):
        def pread(self, fd: int, length: int, offset: int) -> bytes:
            return super().pread(fd, min(length, 100_001), offset)

    calls = Slow()
    store = FilesystemBlobStore(tmp_path / "images", calls=calls)
    await store.open()
    await store.put(GUID, LARGE, {})
    assert await read_all(await store.read(GUID, size=len(LARGE), start=1)) == LARGE[1:]
    await store.close()


async def test_pieces_after_the_store_was_closed_are_an_error(store: FilesystemBlobStore, calls: FaultyCalls) -> None:
    await stored(store, calls, LARGE)
    async with await store.read(GUID, size=len(LARGE)) as pieces:
        await anext(pieces)
        await store.close()
        with pytest.raises(BlobStoreError, match="not open"):
            await anext(pieces)


async def test_a_store_that_is_not_open_is_an_error(tmp_path: Path) -> None:
    store = FilesystemBlobStore(tmp_path)
    for call in (
        store.read(GUID, size=1),
        store.read_sidecar(GUID),
        store.put(GUID, b"", {}),
        store.delete(GUID),
        store.check_writable(),
    ):
        with pytest.raises(BlobStoreError, match="not open"):
            await call


async def test_a_sidecar_that_is_not_text_or_not_readable(
    store: FilesystemBlobStore, calls: FaultyCalls, tmp_path: Path
) -> None:
    await stored(store, calls, b"bytes")
    (path,) = (tmp_path / "images").rglob("*.json")
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(BlobCorruptError):
        await store.read_sidecar(GUID)
    path.unlink()
    path.mkdir()
    with pytest.raises(BlobStoreError) as caught:
        await store.read_sidecar(GUID)
    assert not isinstance(caught.value, BlobMissingError)
