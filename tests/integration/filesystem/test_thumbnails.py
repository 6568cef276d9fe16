"""Thumbnails in a folder: whole after a crash, separate from pictures, and maintained with them."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.filesystem.thumbnail_store import FilesystemThumbnailStore
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError, BlobStoreFullError
from tests.fixtures.filesystem.calls import FaultyCalls
from tests.fixtures.filesystem.maintenance import ALWAYS, DATA, GUID, HEX, LONG_AGO, OTHER, Harness

NAME = "a-256.webp"
PATH = f"derived/0b/9f/{GUID}.{NAME}"


@pytest.fixture
def calls() -> FaultyCalls:
    return FaultyCalls()


@pytest.fixture
async def store(tmp_path: Path, calls: FaultyCalls) -> AsyncIterator[FilesystemThumbnailStore]:
    store = FilesystemThumbnailStore(tmp_path, min_free_bytes=0, calls=calls)
    await store.open()
    calls.calls.clear()
    yield store
    await store.close()


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_the_bytes_are_flushed_before_they_get_their_name(
    store: FilesystemThumbnailStore, calls: FaultyCalls, tmp_path: Path
) -> None:
    await store.put(GUID, NAME, b"small")
    assert files(tmp_path) == {PATH: b"small"}
    steps = [call.name for call in calls.calls]
    assert steps == ["mkdir", "mkdir", "mkdir", "create", "write", "fsync", "close", "rename"]
    assert calls.calls[-1].path == tmp_path / PATH


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
async def test_an_error_at_any_step_leaves_things_as_they_were(
    store: FilesystemThumbnailStore, calls: FaultyCalls, tmp_path: Path, code: int
) -> None:
    await store.put(GUID, NAME, b"old")
    for step in ("mkdir", "create", "write", "fsync", "rename"):
        calls.fails = lambda call, n, step=step: code if call.name == step else None  # type: ignore[misc]
        with pytest.raises(BlobStoreError) as caught:
            await store.put(GUID, NAME, b"new")
        assert isinstance(caught.value, BlobStoreFullError) == (code in {errno.ENOSPC, errno.EDQUOT})
        assert files(tmp_path) == {PATH: b"old"}


async def test_the_last_room_is_for_pictures(tmp_path: Path) -> None:
    pictures = FilesystemBlobStore(tmp_path, min_free_bytes=2**62)
    thumbnails = FilesystemThumbnailStore(tmp_path, min_free_bytes=2**62)
    await pictures.open()
    await thumbnails.open()
    with pytest.raises(BlobStoreFullError):
        await thumbnails.put(GUID, NAME, b"small")
    await pictures.put(GUID, b"bytes", {})
    await thumbnails.close()
    await pictures.close()
    assert not (tmp_path / "derived").exists()


async def test_a_thumbnail_that_cannot_be_read_is_an_error(store: FilesystemThumbnailStore, calls: FaultyCalls) -> None:
    await store.put(GUID, NAME, b"small")
    calls.fails = lambda call, n: errno.EIO if call.name == "pread" else None
    with pytest.raises(BlobStoreError):
        await store.get(GUID, NAME)


async def test_a_missing_folder_is_never_created(tmp_path: Path) -> None:
    store = FilesystemThumbnailStore(tmp_path / "missing")
    with pytest.raises(BlobStoreError, match="its folder is not there"):
        await store.open()
    with pytest.raises(BlobStoreError, match="not open"):
        await store.get(GUID, NAME)
    assert list(tmp_path.iterdir()) == []


async def test_delete_removes_half_written_ones_too(store: FilesystemThumbnailStore, tmp_path: Path) -> None:
    await store.put(GUID, NAME, b"small")
    await store.put(OTHER, NAME, b"small")
    (tmp_path / f"derived/0b/9f/.{GUID}.{HEX}.tmp").write_bytes(b"half")
    await store.delete(GUID)
    assert files(tmp_path) == {f"derived/0b/9f/{OTHER}.{NAME}": b"small"}


async def test_delete_continues_if_another_process_is_quicker(tmp_path: Path) -> None:
    class Quicker(FaultyCalls):
        def unlink(self, path: Path) -> None:
            path.unlink(missing_ok=True)
            os.unlink(path)  # noqa: PTH108 - raises

    store = FilesystemThumbnailStore(tmp_path, min_free_bytes=0, calls=Quicker())
    await store.open()
    for name in ("a.webp", "b.webp"):
        await store.put(GUID, name, b"small")
    await store.delete(GUID)
    assert files(tmp_path) == {}
    await store.close()


async def test_pictures_and_thumbnails_are_separate(store: FilesystemThumbnailStore, tmp_path: Path) -> None:
    pictures = FilesystemBlobStore(tmp_path, min_free_bytes=0)
    await pictures.open()
    await store.put(GUID, "a.json", b"small")
    await store.put(GUID, "a.bin", b"small")
    for call in (pictures.read(GUID, size=5), pictures.read_sidecar(GUID)):
        with pytest.raises(BlobMissingError):
            await call
    await pictures.put(GUID, b"bytes", {"version": 1})
    await pictures.put(GUID, b"other", {"version": 2})
    await pictures.delete(GUID)
    assert await store.get(GUID, "a.bin") == b"small"
    await pictures.put(GUID, b"bytes", {})
    await store.delete(GUID)
    assert set(files(tmp_path)) == {f"0b/9f/{GUID}.bin", f"0b/9f/{GUID}.json"}
    await pictures.close()


async def test_maintenance_distinguishes_thumbnails_from_pictures(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.store()
    harness.write(f"images/{PATH}", b"small")
    harness.write(f"images/derived/0b/9f/{OTHER}.{NAME}", b"small")
    harness.write(f"images/derived/aa/aa/{OTHER}.{NAME}", b"in the wrong folder")
    harness.write("images/derived/0b/9f/nonsense.webp", b"nobody's")
    harness.write(f"images/derived/0b/9f/{GUID}.bin", b"no image")
    harness.write(f"images/derived/0b/9f/.{GUID}.{HEX}.tmp", b"half", LONG_AGO)
    maintenance = await harness.maintenance()
    thumbnails = FilesystemThumbnailStore(harness.root)
    await thumbnails.open()
    assert [(blob.guid, blob.size) async for blob in maintenance.walk()] == [(GUID, len(DATA))]
    assert [guid async for guid in thumbnails.walk()] == [GUID, OTHER]
    assert await maintenance.sizes([GUID, OTHER]) == {GUID: len(DATA)}
    assert await maintenance.rescued() == frozenset()
    with pytest.raises(BlobMissingError):
        await maintenance.quarantine(OTHER)
    assert await maintenance.quarantine_debris(ALWAYS) == 1
    assert harness.files()[f"images/quarantine/{GUID}.{HEX}.1.tmp"] == b"half"
    await thumbnails.delete(OTHER)
    assert [guid async for guid in thumbnails.walk()] == [GUID]
    assert harness.image.read_bytes() == DATA
    await thumbnails.close()
    await maintenance.close()
