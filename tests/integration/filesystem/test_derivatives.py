"""Derivatives in a folder: whole after a crash, out of the way of pictures, and put in order with them."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.domain.errors import BlobStoreError, BlobStoreFullError
from tests.fixtures.filesystem.calls import FaultyCalls
from tests.fixtures.filesystem.maintenance import ALWAYS, DATA, GUID, HEX, LONG_AGO, OTHER, Harness

NAME = "a-256.webp"
PLACE = f"derived/0b/9f/{GUID}.{NAME}"


@pytest.fixture
def calls() -> FaultyCalls:
    return FaultyCalls()


@pytest.fixture
async def store(tmp_path: Path, calls: FaultyCalls) -> AsyncIterator[FilesystemBlobStore]:
    store = FilesystemBlobStore(tmp_path, min_free_bytes=0, calls=calls)
    await store.open()
    calls.calls.clear()
    yield store
    await store.close()


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_the_bytes_are_flushed_before_they_get_their_name(
    store: FilesystemBlobStore, calls: FaultyCalls, tmp_path: Path
) -> None:
    await store.put_derivative(GUID, NAME, b"small")
    assert files(tmp_path) == {PLACE: b"small"}
    steps = [call.name for call in calls.calls]
    assert steps == ["mkdir", "mkdir", "mkdir", "create", "write", "fsync", "close", "rename"]
    assert calls.calls[-1].path == tmp_path / PLACE


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
async def test_an_error_at_any_step_leaves_things_as_they_were(
    store: FilesystemBlobStore, calls: FaultyCalls, tmp_path: Path, code: int
) -> None:
    await store.put_derivative(GUID, NAME, b"old")
    for step in ("mkdir", "create", "write", "fsync", "rename"):
        calls.fails = lambda call, n, step=step: code if call.name == step else None  # type: ignore[misc]
        with pytest.raises(BlobStoreError) as caught:
            await store.put_derivative(GUID, NAME, b"new")
        assert isinstance(caught.value, BlobStoreFullError) == (code in {errno.ENOSPC, errno.EDQUOT})
        assert files(tmp_path) == {PLACE: b"old"}


async def test_the_last_room_is_for_pictures(tmp_path: Path) -> None:
    store = FilesystemBlobStore(tmp_path, min_free_bytes=2**62)
    await store.open()
    with pytest.raises(BlobStoreFullError):
        await store.put_derivative(GUID, NAME, b"small")
    await store.put(GUID, b"bytes", {})
    await store.close()
    assert not (tmp_path / "derived").exists()


async def test_a_derivative_that_cannot_be_read_is_an_error(store: FilesystemBlobStore, calls: FaultyCalls) -> None:
    await store.put_derivative(GUID, NAME, b"small")
    calls.fails = lambda call, n: errno.EIO if call.name == "pread" else None
    with pytest.raises(BlobStoreError):
        await store.read_derivative(GUID, NAME)


async def test_delete_takes_half_written_ones_along(store: FilesystemBlobStore, tmp_path: Path) -> None:
    await store.put_derivative(GUID, NAME, b"small")
    await store.put_derivative(OTHER, NAME, b"small")
    (tmp_path / f"derived/0b/9f/.{GUID}.{HEX}.tmp").write_bytes(b"half")
    await store.delete(GUID)
    assert files(tmp_path) == {f"derived/0b/9f/{OTHER}.{NAME}": b"small"}


async def test_pictures_go_before_what_is_derived_from_them(
    store: FilesystemBlobStore, calls: FaultyCalls, tmp_path: Path
) -> None:
    await store.put(GUID, b"bytes", {})
    await store.put_derivative(GUID, NAME, b"small")
    calls.fails = lambda call, n: errno.EIO if call.path.name.endswith("webp") else None
    with pytest.raises(BlobStoreError):
        await store.delete(GUID)
    assert files(tmp_path) == {PLACE: b"small"}


async def test_those_who_look_after_the_store_see_them_apart(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.store()
    harness.write(f"images/{PLACE}", b"small")
    harness.write(f"images/derived/0b/9f/{OTHER}.{NAME}", b"small")
    harness.write(f"images/derived/aa/aa/{OTHER}.{NAME}", b"in the wrong folder")
    harness.write("images/derived/0b/9f/nonsense.webp", b"nobody's")
    harness.write(f"images/derived/0b/9f/{GUID}.bin", b"no image")
    harness.write(f"images/derived/0b/9f/.{GUID}.{HEX}.tmp", b"half", LONG_AGO)
    recovery = await harness.recovery()
    assert [(blob.guid, blob.size) async for blob in recovery.walk()] == [(GUID, len(DATA))]
    assert [guid async for guid in recovery.walk_derivatives()] == [GUID, OTHER]
    assert await recovery.sizes([GUID, OTHER]) == {GUID: len(DATA)}
    assert await recovery.quarantine_debris(ALWAYS) == 1
    assert harness.files()[f"images/quarantine/{GUID}.{HEX}.1.tmp"] == b"half"
    await recovery.drop_derivatives(OTHER)
    assert [guid async for guid in recovery.walk_derivatives()] == [GUID]
    assert harness.image.read_bytes() == DATA
    await recovery.close()


async def test_dropping_goes_on_where_somebody_else_was_quicker(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    for name in ("a.webp", "b.webp"):
        harness.write(f"images/derived/0b/9f/{GUID}.{name}", b"small")
    recovery = await harness.recovery()

    class Quick(type(harness.calls)):  # type: ignore[misc]
        def unlink(self, path: Path) -> None:
            path.unlink(missing_ok=True)
            os.unlink(path)  # noqa: PTH108 - raises

    recovery._derivatives._calls = Quick()
    await recovery.drop_derivatives(GUID)
    assert harness.files() == {}
    await recovery.close()
