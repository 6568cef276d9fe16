"""Maintenance of the filesystem store: scans, verification, adoption, quarantine and outages."""

import asyncio
import errno
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.domain.errors import BlobCorruptError, BlobStoreError
from tests.conformance.contracts.blob_store import read_all
from tests.fixtures.filesystem.calls import Call
from tests.fixtures.filesystem.maintenance import (
    ALWAYS,
    DATA,
    GUID,
    HEX,
    LONG_AGO,
    OTHER,
    READS,
    SIDECAR,
    TEXT,
    WHOLE_AND_SERVED,
    Harness,
    walked,
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


# The order of steps


async def test_the_steps_of_an_adoption(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    harness.keep()
    assert await maintenance.adopt_rescued(GUID) is True
    assert harness.changes() == [
        "mkdir images/0b",
        "fsync images",
        "mkdir images/0b/9f",
        "fsync images/0b",
        "create temporary",
        "write temporary",
        "fsync temporary",
        "create temporary",
        "write temporary",
        "fsync temporary",
        f"rename images/0b/9f/{GUID}.json",
        f"link images/0b/9f/{GUID}.bin",
        "fsync images/0b/9f",
        "unlink temporary",
        "unlink temporary",
        f"unlink rescue/{GUID}.1.bin",
        f"unlink rescue/{GUID}.1.json",
        "fsync rescue",
    ]
    assert harness.files() == WHOLE_AND_SERVED


async def test_finishing_an_adoption_flushes_before_it_removes(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.store()
    harness.keep()
    assert await maintenance.adopt_rescued(GUID) is True
    changes = harness.changes()
    removed = changes.index(f"unlink rescue/{GUID}.1.bin")
    assert f"fsync images/0b/9f/{GUID}.bin" in changes[:removed]
    assert changes[:removed].count("fsync temporary") == 1
    assert "fsync images/0b/9f" in changes[:removed]
    assert not any(change.endswith(f"9f/{GUID}.bin") for change in changes if not change.startswith("fsync"))
    assert harness.files() == WHOLE_AND_SERVED


async def test_the_steps_of_a_quarantine(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    harness.store()
    where = await maintenance.quarantine(GUID)
    assert where == str(harness.root / "quarantine" / f"{GUID}.1.bin")
    assert harness.changes() == [
        "mkdir images/quarantine",
        "fsync images",
        f"rename images/quarantine/{GUID}.1.bin",
        f"rename images/quarantine/{GUID}.1.json",
        "fsync images/quarantine",
        "fsync images/0b/9f",
    ]


async def test_the_steps_of_quarantining_debris(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    for n in range(2):
        harness.write(f"images/0b/9f/.{GUID}.{n}{HEX[1:]}.tmp", b"half", LONG_AGO)
    assert await maintenance.quarantine_debris(ALWAYS) == 2
    changes = harness.changes()
    assert changes[:2] == ["mkdir images/quarantine", "fsync images"]
    assert changes[2:4] == ["rename temporary"] * 2
    assert changes[4:] == ["fsync images/quarantine", "fsync images/0b/9f"]


async def test_no_work_runs_on_the_event_loop(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    harness.keep()
    harness.write(f"images/0b/9f/.{GUID}.{HEX}.tmp", b"half", LONG_AGO)
    await maintenance.rescued()
    await maintenance.adopt_rescued(GUID)
    await maintenance.verify(GUID, size=len(DATA), sha256=str(SIDECAR["sha256"]))
    await maintenance.sizes([GUID])
    assert [blob.guid async for blob in maintenance.walk()] == [GUID]
    await maintenance.quarantine(GUID)
    assert await maintenance.quarantine_debris(ALWAYS) == 1
    assert threading.get_ident() not in harness.calls.threads


async def test_reading_is_done_in_pieces(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    data = bytes(5 * 1024 * 1024 + 1)
    harness.write(f"images/0b/9f/{GUID}.bin", data)
    await maintenance.verify(GUID, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert harness.calls.lengths == [1024 * 1024] * 5 + [1]


async def test_a_file_that_is_cut_off_while_it_is_read_is_corrupt(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.store()

    def cut(call: Call, number: int) -> None:
        if call.name == "pread":
            os.truncate(harness.image, 5)

    harness.calls.fails = cut
    with pytest.raises(BlobCorruptError):
        await maintenance.verify(GUID, size=len(DATA), sha256=str(SIDECAR["sha256"]))


# Rescued pictures


async def test_a_rescue_folder_on_another_disk(harness: Harness) -> None:
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == harness.base.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        rescue = Path(folder)
        store = FilesystemBlobStore(harness.root, rescue_dirs=[rescue], min_free_bytes=0)
        await store.open()
        (harness.root / "aside").write_bytes(b"in the way")
        place = await store.rescue(GUID, DATA, SIDECAR)
        assert Path(place).parent == rescue
        maintenance = FilesystemBlobMaintenance(harness.root, rescue_dirs=[rescue])
        await maintenance.open()
        assert await maintenance.rescued() == {GUID}
        assert await maintenance.adopt_rescued(GUID) is True
        assert await read_all(await store.read(GUID, size=len(DATA))) == DATA
        assert await store.read_sidecar(GUID) == SIDECAR
        assert list(rescue.iterdir()) == []
        await maintenance.close()
        await store.close()


async def test_rescued_files_are_read_once(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    harness.keep()
    harness.write(f"rescue/{OTHER}.1.json", TEXT.replace(GUID.encode(), OTHER.encode()))
    harness.write(f"rescue/{OTHER}.1.bin", DATA[:-1] + b"?")

    def reads() -> int:
        return sum(1 for call in harness.calls.calls if call.name == "pread")

    for _ in range(2):  # a file changed a moment ago may change again without a new timestamp
        harness.calls.calls.clear()
        assert await maintenance.rescued() == {GUID}
        assert reads() == 4
    harness.calls.seen_as = lambda path, status: as_of(status, ctime=10**9)
    assert await maintenance.rescued() == {GUID}
    harness.calls.calls.clear()
    assert await maintenance.rescued() == {GUID}
    assert reads() == 0
    harness.write(f"rescue/{OTHER}.1.bin", DATA, LONG_AGO)
    assert await maintenance.rescued() == {GUID, OTHER}
    assert reads() == 2


def as_of(status: os.stat_result, *, ctime: int | None = None, uid: int | None = None) -> os.stat_result:
    """Return a copy with another change time in seconds, or another owner."""
    values = list(status[:10])
    if uid is not None:
        values[stat.ST_UID] = uid
    named = {"st_mtime_ns": status.st_mtime_ns, "st_ctime_ns": status.st_ctime_ns}
    if ctime is not None:
        named["st_ctime_ns"] = ctime * 10**9
    return os.stat_result(values, named)


async def test_a_rescue_folder_holds_nothing_of_other_users(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.keep()
    stranger = os.geteuid() + 4321

    def foreign(which: str) -> None:
        harness.calls.seen_as = lambda path, status: as_of(status, uid=stranger) if path.match(which) else status

    for which in ("rescue/*.bin", "rescue/*.json"):
        foreign(which)
        assert await maintenance.rescued() == frozenset()
        assert await maintenance.adopt_rescued(GUID) is False
    harness.keep("images/aside")
    foreign("aside/*")
    assert await maintenance.rescued() == {GUID}


@pytest.mark.parametrize("which", [".bin", ".json"])
async def test_only_regular_files_are_adopted(
    harness: Harness, maintenance: FilesystemBlobMaintenance, which: str
) -> None:
    harness.keep()
    path = harness.rescue / f"{GUID}.1{which}"
    for make in (
        lambda: path.symlink_to(harness.write("elsewhere", DATA if which == ".bin" else TEXT)),
        lambda: os.mkfifo(path),
        path.mkdir,
    ):
        path.rename(harness.base / "moved") if path.is_file() else path.unlink()
        make()
        assert await maintenance.rescued() == frozenset()
        assert await maintenance.adopt_rescued(GUID) is False


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES], ids=lambda code: errno.errorcode[code])
async def test_one_unreadable_file_keeps_no_other_from_being_adopted(
    harness: Harness, maintenance: FilesystemBlobMaintenance, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    harness.keep()
    harness.write(f"rescue/{OTHER}.1.json", TEXT.replace(GUID.encode(), OTHER.encode()))
    harness.write(f"rescue/{OTHER}.1.bin", DATA)
    harness.calls.fails = lambda call, n: code if call.name == "open" and OTHER in call.path.name else None
    assert await maintenance.rescued() == {GUID}
    assert await maintenance.adopt_rescued(OTHER) is False
    assert OTHER in caplog.text
    assert await maintenance.adopt_rescued(GUID) is True
    harness.work_again()
    assert await maintenance.rescued() == {OTHER}
    assert await maintenance.adopt_rescued(OTHER) is True


async def test_files_and_all_their_folders_are_flushed(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    for path, data in WHOLE_AND_SERVED.items():
        harness.write(path, data)
    harness.calls.calls.clear()
    await maintenance.make_durable(GUID)
    flushed = [call.path.relative_to(harness.base).as_posix() for call in harness.calls.calls if call.name == "fsync"]
    assert flushed == [*WHOLE_AND_SERVED, "images/0b/9f", "images/0b", "images"]


@pytest.mark.parametrize("number", range(5))
async def test_a_failed_flush_is_an_error(
    harness: Harness, maintenance: FilesystemBlobMaintenance, number: int
) -> None:
    for path, data in WHOLE_AND_SERVED.items():
        harness.write(path, data)
    flushes = iter(range(5))
    harness.calls.fails = lambda call, n: errno.EIO if call.name == "fsync" and next(flushes) == number else None
    with pytest.raises(BlobStoreError):
        await maintenance.make_durable(GUID)


async def test_a_bad_sector_is_damage_and_no_outage(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    for path, data in WHOLE_AND_SERVED.items():
        harness.write(path, data)
    harness.calls.fails = lambda call, n: errno.EIO if call.name == "pread" else None
    with pytest.raises(BlobCorruptError, match="disk"):
        await maintenance.verify(GUID, size=len(DATA), sha256=str(SIDECAR["sha256"]))
    harness.calls.fails = lambda call, n: errno.EACCES if call.name == "open" else None
    with pytest.raises(BlobStoreError, match="permission"):
        await maintenance.verify(GUID, size=len(DATA), sha256=str(SIDECAR["sha256"]))


@pytest.mark.parametrize("folder", ["images/aside", "rescue"])
async def test_a_folder_that_cannot_be_read_is_an_outage(
    harness: Harness, maintenance: FilesystemBlobMaintenance, folder: str
) -> None:
    harness.keep(folder)
    harness.calls.fails = lambda call, n: errno.EACCES if call == Call("names", harness.base / folder) else None
    with pytest.raises(BlobStoreError, match="lacks the permission"):
        await maintenance.rescued()
    with pytest.raises(BlobStoreError, match="lacks the permission"):
        await maintenance.adopt_rescued(GUID)


async def test_bytes_stored_during_an_adoption_are_not_overwritten(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.keep()

    def put(call: Call, number: int) -> None:
        if call.name == "link":
            harness.image.write_bytes(b"put by another")

    harness.calls.fails = put
    assert await maintenance.adopt_rescued(GUID) is False
    assert harness.image.read_bytes() == b"put by another"
    assert (harness.rescue / f"{GUID}.1.bin").read_bytes() == DATA
    assert not list(harness.folder.glob(".*"))


async def test_rescued_bytes_that_disappear_are_not_adopted(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.keep()
    kept = harness.rescue / f"{GUID}.1.bin"

    def go(call: Call, number: int) -> None:
        if call.name == "mkdir":
            kept.unlink(missing_ok=True)

    harness.calls.fails = go
    assert await maintenance.adopt_rescued(GUID) is False
    assert not harness.image.exists()
    assert not list(harness.folder.iterdir())


async def test_rescued_bytes_damaged_during_an_adoption_are_not_adopted(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.keep()

    def damage(call: Call, number: int) -> None:
        if call.name == "mkdir":
            harness.write(f"rescue/{GUID}.1.bin", DATA[:-1] + b"?")

    harness.calls.fails = damage
    assert await maintenance.adopt_rescued(GUID) is False
    assert not list(harness.folder.iterdir())


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken meanwhile"])
async def test_a_file_system_without_hard_links(
    harness: Harness, maintenance: FilesystemBlobMaintenance, taken: bool
) -> None:
    harness.keep()

    def no_links(call: Call, number: int) -> int | None:
        if call.name == "link" and taken:
            harness.image.write_bytes(b"put by another")
        return errno.EPERM if call.name == "link" else None

    harness.calls.fails = no_links
    assert await maintenance.adopt_rescued(GUID) is not taken
    assert harness.image.read_bytes() == (b"put by another" if taken else DATA)
    assert (harness.rescue / f"{GUID}.1.bin").exists() is taken
    assert not list(harness.folder.glob(".*"))


async def test_rescued_files_that_cannot_be_removed_are_adopted_and_exist_twice(
    harness: Harness, maintenance: FilesystemBlobMaintenance, caplog: pytest.LogCaptureFixture
) -> None:
    harness.keep()
    harness.calls.fails = lambda call, n: (
        errno.EROFS if call.path.parent == harness.rescue and call.name == "unlink" else None
    )
    assert await maintenance.adopt_rescued(GUID) is True
    assert "cannot be removed" in caplog.text
    assert harness.image.read_bytes() == DATA
    harness.work_again()
    assert await maintenance.rescued() == {GUID}
    assert await maintenance.adopt_rescued(GUID) is True
    assert harness.files() == WHOLE_AND_SERVED


# Stored files and debris


async def test_walk_ignores_foreign_files(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    harness.store()
    for path in (
        "images/README",
        f"images/{GUID}.bin",
        f"images/0b/{GUID}.bin",
        f"images/aside/{GUID}.1.bin",
        f"images/aside/0b/{GUID}.bin",
        f"images/quarantine/{OTHER}.bin",
        f"images/0b/9f/.{OTHER}.{HEX}.tmp",
        f"images/0b/9f/.{OTHER}.{HEX}.old",
        f"images/0b/9f/{OTHER}.bin.bak",
        f"images/0b/9f/{OTHER.upper()}.bin",
        f"images/0b/9f/{OTHER.replace('-', '')}.bin",
        f"images/0b/9f/{OTHER}.1.bin",
        "images/0b/9f/0b9f.bin",
        "images/0b/9f/1b9f1c2d-7777-4222-8333-444455556666.bin",
        f"images/0B/9f/{OTHER}.bin",
        f"images/0b9/f1/{OTHER}.bin",
        f"images/0b/9f/deep/{OTHER}.bin",
        "images/0c",
        "images/0d/00",
    ):
        harness.write(path, b"foreign")
    (harness.folder / f"{OTHER}.bin").mkdir()
    (harness.folder / f"{OTHER}.json").symlink_to("nowhere")
    assert await walked(maintenance) == [GUID]
    assert await maintenance.sizes([OTHER]) == {}


async def test_the_newer_of_the_two_files_gives_the_time(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    later = LONG_AGO + timedelta(days=1, microseconds=123456)
    for first, second in ((LONG_AGO, later), (later, LONG_AGO)):
        harness.write(f"images/0b/9f/{GUID}.bin", DATA, first)
        harness.write(f"images/0b/9f/{GUID}.json", TEXT, second)
        [blob] = [blob async for blob in maintenance.walk()]
        assert abs(blob.modified_at - later) < timedelta(milliseconds=1)


async def test_timestamps_outside_of_datetime_are_clamped(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.store()
    for seconds, year in ((-(10**12), 1970), (10**12, 9999)):
        harness.calls.seen_as = (
            lambda path, status, at=seconds: os.stat_result(  # type: ignore[misc]
                status[:10], {"st_mtime_ns": at * 10**9, "st_ctime_ns": at * 10**9}
            )
        )
        [blob] = [blob async for blob in maintenance.walk()]
        assert blob.modified_at.year == year


async def test_all_kinds_of_debris_are_moved(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    harness.leave_debris()
    kept = {
        f"images/aside/{GUID}.2.json": TEXT,
        f"images/aside/{GUID}.2.bin": DATA,
        f"images/aside/{OTHER}.1.bin": b"bytes alone",
        f"images/0b/9f/{GUID}.json": b"sidecar alone",
        f"images/0b/9f/.{GUID}.tmp": b"foreign",
        "images/0b/9f/.nfs0000": b"foreign",
        f"images/0b/9f/{GUID}.1.json": b"foreign",
        f"rescue/.{GUID}.{HEX}.tmp": b"on another disk",
    }
    for name, data in kept.items():
        harness.write(name, data, LONG_AGO)
    assert await maintenance.quarantine_debris(ALWAYS) == 6
    files = harness.files()
    assert {name: data for name, data in files.items() if "quarantine" not in name} == kept
    moved = {name.removeprefix("images/quarantine/"): data for name, data in files.items() if "quarantine" in name}
    assert moved == {
        f"probe.{HEX}.1.tmp": b"probe",
        f"{GUID}.{HEX}.1.tmp": moved[f"{GUID}.{HEX}.1.tmp"],
        f"{GUID}.{HEX}.2.tmp": moved[f"{GUID}.{HEX}.2.tmp"],
        f"{GUID}.{HEX}.1.old": moved[f"{GUID}.{HEX}.1.old"],
        f"{GUID}.{HEX}.2.old": moved[f"{GUID}.{HEX}.2.old"],
        f"{GUID}.1.json": b"sidecar",
    }
    assert sorted(moved.values()) == [b"another", b"backup", b"bytes", b"half", b"probe", b"sidecar"]


async def test_folders_without_shards_are_listed_with_the_first_shard_alone(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.write(f"images/.probe.{HEX}.tmp", b"probe", LONG_AGO)
    harness.write(f"images/aside/{GUID}.1.json", b"sidecar", LONG_AGO)
    listed: list[Path] = []

    def note(call: Call, number: int) -> None:
        if call.name == "names":
            listed.append(call.path)

    harness.calls.fails = note
    found = {prefix: await maintenance.quarantine_debris(ALWAYS, prefix) for prefix in ("0b", "ff", "00")}
    assert found == {"0b": 0, "ff": 0, "00": 2}
    assert [listed.count(folder) for folder in (harness.root, harness.root / "aside")] == [1, 1]


async def test_the_backup_of_a_put_under_way_is_no_debris_however_old_its_bytes_are(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    image = harness.write(f"images/0b/9f/{GUID}.bin", DATA, LONG_AGO)
    backup = harness.folder / f".{GUID}.{HEX}.old"
    backup.hardlink_to(image)
    harness.write(f"images/0b/9f/.{GUID}.{HEX}.tmp", b"half", LONG_AGO)
    assert await maintenance.quarantine_debris(datetime.now(UTC) - timedelta(hours=1)) == 1
    assert backup.exists()
    assert await maintenance.quarantine_debris(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert not backup.exists()
    assert image.exists()


async def test_debris_that_disappears_is_not_counted(harness: Harness, maintenance: FilesystemBlobMaintenance) -> None:
    harness.leave_debris()

    def go(call: Call, number: int) -> None:
        if call.name == "rename" and "probe" in call.path.name:
            (harness.root / f".probe.{HEX}.tmp").unlink()
        if call.name == "stat" and call.path.name == f".{GUID}.{HEX}.old":
            call.path.unlink(missing_ok=True)

    harness.calls.fails = go
    assert await maintenance.quarantine_debris(ALWAYS) == 3


# Outages


async def test_an_unmounted_disk_is_an_outage(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = True
    monkeypatch.setattr(harness.calls, "is_mount", lambda path: mounted)
    maintenance = await harness.maintenance()
    assert await walked(maintenance) == []
    mounted = False
    for call in (
        walked(maintenance),
        maintenance.verify(GUID, size=1, sha256="0" * 64),
        maintenance.sizes([GUID]),
        maintenance.rescued(),
        maintenance.adopt_rescued(GUID),
        maintenance.quarantine(GUID),
        maintenance.quarantine_debris(ALWAYS),
    ):
        with pytest.raises(BlobStoreError, match="no longer mounted") as caught:
            await call
        assert type(caught.value) is BlobStoreError
    assert list(harness.root.iterdir()) == []
    await maintenance.close()


async def test_a_disk_unmounted_during_a_walk_is_an_outage(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = True
    monkeypatch.setattr(harness.calls, "is_mount", lambda path: mounted)
    harness.store()
    maintenance = await harness.maintenance()

    def vanish(call: Call, number: int) -> int | None:
        nonlocal mounted
        if call == Call("names", harness.folder):
            mounted = False
            return errno.ENOENT
        return None

    harness.calls.fails = vanish
    with pytest.raises(BlobStoreError, match="no longer mounted"):
        await walked(maintenance)
    await maintenance.close()


async def test_a_missing_folder_is_never_created(tmp_path: Path) -> None:
    maintenance = FilesystemBlobMaintenance(tmp_path / "missing")
    with pytest.raises(BlobStoreError, match="its folder is not there"):
        await maintenance.open()
    with pytest.raises(BlobStoreError, match="not open"):
        await maintenance.rescued()
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_walk_or_verification_leaves_nothing(
    harness: Harness, maintenance: FilesystemBlobMaintenance
) -> None:
    harness.store()
    for read in READS.values():
        for turns in range(6):
            task = asyncio.ensure_future(read(maintenance))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
    assert await walked(maintenance) == [GUID]
