"""Replacing a sidecar is durable in the right order, and every failing step leaves the old one."""

import errno
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError, BlobStoreFullError
from tests.fixtures.filesystem.calls import Call
from tests.fixtures.filesystem.durability import CODES, GUID, Harness, failure_of

OLD, NEW = {"version": 1}, {"version": 2}


async def described(root: Path) -> Harness:
    """Return a store with one image and a count of the calls made from now on."""
    harness = Harness(root)
    store = await harness.store()
    await store.put(GUID, b"bytes", OLD)
    await store.close()
    return harness


async def test_the_steps_of_replacing_a_sidecar(tmp_path: Path) -> None:
    harness = await described(tmp_path / "images")
    store = await harness.store()
    await store.replace_sidecar(GUID, NEW)
    await store.close()
    assert harness.steps() == [
        "open image",
        "close image",
        "create temporary-1",
        "write temporary-1",
        "fsync temporary-1",
        "close temporary-1",
        "link backup",
        "rename sidecar",
        "fsync images/0b/9f",
        "unlink backup",
    ]


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
async def test_any_step_of_replacing_a_sidecar_failing_once(tmp_path: Path, code: int) -> None:
    counted = await described(tmp_path / "count")
    store = await counted.store()
    await store.replace_sidecar(GUID, NEW)
    await store.close()
    survived = []
    for number, step in enumerate(counted.calls.calls):
        harness = await described(tmp_path / str(number))
        store = await harness.store()
        before = harness.files()
        harness.calls.fails = lambda call, n, failing=number: code if n == failing else None
        error = await failure_of(store.replace_sidecar(GUID, NEW))
        harness.calls.fails = lambda call, n: None
        if error is not None:
            assert isinstance(error, BlobStoreFullError) == (code in (errno.ENOSPC, errno.EDQUOT)), step
            assert not isinstance(error, BlobMissingError)
            assert harness.files() == before, step
        else:
            survived.append(str(step))
            assert await store.read_sidecar(GUID) == NEW
        assert harness.image.read_bytes() == b"bytes"
        await store.replace_sidecar(GUID, NEW)
        assert await store.read_sidecar(GUID) == NEW
        await store.close()
    # A file that cannot be flushed is written anew; a backup that cannot be removed does not undo the write.
    always = list(map(str, counted.calls.calls))
    assert survived == (always if code == errno.EMFILE else ["fsync temporary", "unlink backup"])


async def test_a_flush_that_always_fails_leaves_the_old_sidecar(tmp_path: Path) -> None:
    harness = await described(tmp_path / "images")
    store = await harness.store()
    before = harness.files()
    harness.calls.fails = lambda call, n: errno.EIO if call.name == "fsync" else None
    with pytest.raises(BlobStoreError, match="input/output error"):
        await store.replace_sidecar(GUID, NEW)
    await store.close()
    assert harness.files() == before
    flushed = [call for call in harness.calls.calls if call.name == "fsync"]
    assert len(flushed) == len(set(flushed)) == 2


async def test_a_rollback_is_flushed(tmp_path: Path) -> None:
    harness = await described(tmp_path / "images")
    store = await harness.store()
    failed: list[Call] = []

    def fails_once(call: Call, number: int) -> int | None:
        if call == Call("fsync", harness.folder) and not failed:
            failed.append(call)
            return errno.EIO
        return None

    harness.calls.fails = fails_once
    with pytest.raises(BlobStoreError):
        await store.replace_sidecar(GUID, NEW)
    await store.close()
    assert [step for step in harness.steps() if step.startswith(("rename", "fsync images"))] == [
        "rename sidecar",
        "fsync images/0b/9f",
        "rename sidecar",
        "fsync images/0b/9f",
    ]


async def test_bytes_that_disappear_are_missing_and_an_unmounted_disk_is_an_outage(tmp_path: Path) -> None:
    harness = await described(tmp_path / "images")
    store = await harness.store()
    harness.calls.fails = lambda call, n: harness.image.unlink() if call == Call("open", harness.image) else None
    with pytest.raises(BlobMissingError):
        await store.replace_sidecar(GUID, NEW)

    def disk_gone(call: Call, number: int) -> None:
        if call == Call("open", harness.image):
            harness.root.rename(tmp_path / "away")

    harness.calls.fails = disk_gone
    with pytest.raises(BlobStoreError) as caught:
        await store.replace_sidecar(GUID, NEW)
    assert not isinstance(caught.value, BlobMissingError)
    await store.close()


def test_a_flush_is_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All promises about flushing rest on this call, and only the operating system can fulfil them."""
    flushed: list[int] = []
    monkeypatch.setattr("os.fsync", flushed.append)
    monkeypatch.setattr("sys.platform", "linux")
    SystemCalls().fsync(7)
    assert flushed == [7]
