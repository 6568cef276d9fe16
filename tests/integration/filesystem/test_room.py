"""Room in the filesystem store: writable, full or gone, and the rescue of bytes that find no room."""

import asyncio
import errno
import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError, BlobStoreFullError
from tests.conformance.contracts.blob_store import read_all
from tests.fixtures.filesystem.calls import FaultyCalls

GUID = "0b9f1c2d-1111-4222-8333-444455556666"

Mount = Callable[..., None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small in-memory file system on `tmp_path / "disk"`; call it again to change its options."""
    disk = tmp_path / "disk"
    disk.mkdir()
    program = shutil.which("mount")

    def mount(*options: str) -> None:
        if program is None or os.geteuid() != 0:
            pytest.skip("mounting a small disk needs root")
        done = subprocess.run(
            [program, "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(disk)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"this machine cannot mount a small disk: {done.stderr.strip()}")

    yield mount
    while disk.is_mount():
        subprocess.run(["umount", "-l", str(disk)], check=True)


async def opened(root: Path, **settings: object) -> FilesystemBlobStore:
    store = FilesystemBlobStore(root, **{"probe_s": 0} | settings)  # type: ignore[arg-type]
    await store.open()
    return store


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# A real disk


async def test_a_really_full_disk(mount: Mount, tmp_path: Path) -> None:
    mount("size=1m")
    disk, rescue = tmp_path / "disk", tmp_path / "rescue"
    store = await opened(disk, min_free_bytes=0, rescue_dirs=[rescue])
    await store.put(GUID, b"old" * 100_000, {"version": 1})
    before = files(disk)
    with pytest.raises(BlobStoreFullError):
        await store.put(GUID, b"new" * 300_000, {"version": 2})
    assert files(disk) == before
    assert await store.read_sidecar(GUID) == {"version": 1}
    place = await store.rescue(GUID, b"new" * 300_000, {"version": 2})
    assert Path(place).parent == rescue
    assert Path(place).read_bytes() == b"new" * 300_000
    assert files(disk) == before
    await store.check_writable()
    (disk / "filler").write_bytes(b"0" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
    with pytest.raises(BlobStoreFullError):
        await store.check_writable()
    await store.close()


async def test_a_disk_really_without_inodes(mount: Mount, tmp_path: Path) -> None:
    mount("size=4m,nr_inodes=12")
    disk = tmp_path / "disk"
    store = await opened(disk, min_free_bytes=0)
    await store.check_writable()
    while os.statvfs(disk).f_favail:
        (disk / f"filler-{os.statvfs(disk).f_favail}").touch()
    with pytest.raises(BlobStoreFullError):
        await store.check_writable()
    with pytest.raises(BlobStoreFullError):
        await store.put(GUID, b"bytes", {})
    await store.close()


async def test_a_disk_that_is_really_read_only(mount: Mount, tmp_path: Path) -> None:
    mount("size=4m")
    disk = tmp_path / "disk"
    store = await opened(disk, min_free_bytes=0)
    await store.put(GUID, b"bytes", {"version": 1})
    mount("remount", "ro")
    with pytest.raises(BlobStoreError, match="read-only"):
        await store.check_writable()
    with pytest.raises(BlobStoreError, match="read-only"):
        await store.put(GUID, b"other", {})
    with pytest.raises(BlobStoreError, match="read-only"):
        await store.delete(GUID)
    with pytest.raises(BlobStoreError, match="read-only"):
        await opened(disk)
    assert await read_all(await store.read(GUID, size=5)) == b"bytes"
    await store.close()


async def test_a_disk_that_was_really_unmounted_is_an_outage(mount: Mount, tmp_path: Path) -> None:
    mount("size=4m")
    disk = tmp_path / "disk"
    store = await opened(disk, min_free_bytes=0)
    await store.put(GUID, b"bytes", {})
    subprocess.run(["umount", str(disk)], check=True)
    for call in (
        store.check_writable(),
        store.put(GUID, b"other", {}),
        store.rescue(GUID, b"other", {}),
        store.delete(GUID),
        store.read(GUID, size=5),
        store.read_sidecar(GUID),
    ):
        with pytest.raises(BlobStoreError, match="mounted") as caught:
            await call
        assert not isinstance(caught.value, BlobMissingError)
    assert files(disk) == []
    mount("size=4m")
    await store.put(GUID, b"bytes", {})
    assert await read_all(await store.read(GUID, size=5)) == b"bytes"
    await store.close()


# check_writable


async def test_less_room_than_the_minimum_is_full(tmp_path: Path) -> None:
    store = await opened(tmp_path, min_free_bytes=2**62)
    with pytest.raises(BlobStoreFullError):
        await store.check_writable()
    await store.close()


@pytest.mark.parametrize(("total", "free", "full"), [(0, 0, False), (100, 0, True), (100, 1, False)])
async def test_a_file_system_without_free_inodes_is_full(tmp_path: Path, total: int, free: int, full: bool) -> None:
    class FewInodes(FaultyCalls):
        def statvfs(self, path: Path) -> os.statvfs_result:
            values = list(super().statvfs(path))
            values[5], values[6], values[7] = total, free, free
            return os.statvfs_result(values)

    store = await opened(tmp_path, min_free_bytes=0, calls=FewInodes())
    if full:
        with pytest.raises(BlobStoreFullError):
            await store.check_writable()
    else:
        await store.check_writable()
    await store.close()


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("create", errno.EDQUOT, BlobStoreFullError),
        ("write", errno.EDQUOT, BlobStoreFullError),
        ("write", errno.EIO, BlobStoreError),
        ("create", errno.EACCES, BlobStoreError),
    ],
)
async def test_errors_that_only_a_real_write_finds(
    tmp_path: Path, name: str, code: int, kind: type[BlobStoreError]
) -> None:
    calls = FaultyCalls()
    store = await opened(tmp_path, min_free_bytes=0, calls=calls)
    calls.fails = lambda call, n: code if call.name == name else None
    with pytest.raises(BlobStoreError) as caught:
        await store.check_writable()
    assert type(caught.value) is kind
    assert files(tmp_path) == []
    await store.close()


async def test_a_successful_probe_is_not_repeated_at_once(tmp_path: Path) -> None:
    tried: list[str] = []
    calls = FaultyCalls(lambda call, n: tried.append(call.name) if call.name == "create" else None)
    store = await opened(tmp_path, min_free_bytes=0, calls=calls, probe_s=60)
    for _ in range(3):
        await store.check_writable()
    assert len(tried) == 1
    await store.close()
    with pytest.raises(BlobStoreError, match="not open"):
        await store.check_writable()


async def test_a_failed_probe_is_repeated_at_once(tmp_path: Path) -> None:
    calls = FaultyCalls(lambda call, n: errno.EDQUOT if call.name == "create" else None)
    store = await opened(tmp_path, min_free_bytes=0, calls=calls, probe_s=60)
    with pytest.raises(BlobStoreFullError):
        await store.check_writable()
    calls.fails = lambda call, n: None
    await store.check_writable()
    await store.close()


async def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    class Forbidden(FaultyCalls):
        def may_write(self, path: Path) -> bool:
            return False

    with pytest.raises(BlobStoreError, match="may not write"):
        await opened(tmp_path, calls=Forbidden())


async def test_a_disk_that_fills_up_takes_pictures_again_once_there_is_room(mount: Mount, tmp_path: Path) -> None:
    mount("size=2m")
    disk = tmp_path / "disk"
    store = await opened(disk, min_free_bytes=0)
    await asyncio.gather(*(store.put(GUID.replace("0b9", f"{n:03x}"), b"x", {}) for n in range(8)))
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    before = files(disk)
    with pytest.raises(BlobStoreFullError):
        await store.put(GUID, bytes(50_000), {})
    assert files(disk) == before
    (disk / "filler").unlink()
    await store.put(GUID, bytes(50_000), {})
    await store.close()


# open


async def test_a_root_that_is_a_file_or_below_one_stops_opening(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "images"):
        store = FilesystemBlobStore(root)
        with pytest.raises(BlobStoreError) as caught:
            await store.open()
        assert str(tmp_path) not in caught.value.message
        with pytest.raises(BlobStoreError, match="not open"):
            await store.check_writable()


@pytest.mark.parametrize("name", ["mkdir", "open", "fsync"])
async def test_a_root_that_cannot_be_made_durable_stops_opening(tmp_path: Path, name: str) -> None:
    calls = FaultyCalls(lambda call, n: errno.EACCES if call.name == name else None)
    with pytest.raises(BlobStoreError, match="permission"):
        await opened(tmp_path / "images", calls=calls)


async def test_opening_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "0b").mkdir()
    (tmp_path / "0b" / ".left-over.tmp").write_text("x")
    store = await opened(tmp_path)
    await store.close()
    assert files(tmp_path) == ["0b/.left-over.tmp"]


async def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = await opened(Path("images"), min_free_bytes=0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    await store.put(GUID, b"bytes", {})
    await store.close()
    assert files(tmp_path) == [f"images/0b/9f/{GUID}.bin", f"images/0b/9f/{GUID}.json"]


# rescue


async def test_rescue_folders_are_tried_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(call: object, n: int) -> int | None:
        return errno.ENOSPC if str(call.path).startswith((str(root / "aside"), str(first))) else None  # type: ignore[attr-defined]

    root, first, second = tmp_path / "images", tmp_path / "first", tmp_path / "second"
    store = await opened(root, rescue_dirs=[first, second], calls=FaultyCalls(fails))
    place = Path(await store.rescue(GUID, b"bytes", {"prompt": "duck"}))
    await store.close()
    assert place == second / f"{GUID}.1.bin"
    assert place.read_bytes() == b"bytes"
    assert b"duck" in place.with_suffix(".json").read_bytes()
    assert files(root) == []
    loud = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert any(str(place) in record.getMessage() for record in loud)


async def test_rescued_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    place = Path(await store.rescue(GUID, b"bytes", {}))
    await store.close()
    for path in (place, place.with_suffix(".json")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_failed_rescue_raises_the_first_error_and_is_logged_as_critical(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = FaultyCalls()
    store = await opened(tmp_path / "images", rescue_dirs=[tmp_path / "rescue"], calls=calls)
    calls.fails = lambda call, n: errno.ENOSPC if "images" in str(call.path) else errno.EACCES
    with pytest.raises(BlobStoreFullError):
        await store.rescue(GUID, b"bytes", {})
    await store.close()
    assert any(record.levelno == logging.CRITICAL and GUID in record.getMessage() for record in caplog.records)


async def test_a_sidecar_that_is_no_json_is_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for sidecar in ({"object": object()}, {"number": float("nan")}):
        for call in (store.put, store.rescue):
            with pytest.raises((TypeError, ValueError)):
                await call(GUID, b"bytes", sidecar)
    assert files(tmp_path) == []
    await store.close()
