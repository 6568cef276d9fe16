"""Stored files: who else may read them, whatever the umask, and files of before that others may read."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.filesystem.durable_files import SystemCalls, former_rescue_dirs, group_id
from pixyproxy.adapters.filesystem.thumbnail_store import FilesystemThumbnailStore
from pixyproxy.containers import build_container
from pixyproxy.domain.image import new_guid
from pixyproxy.ports.blob_maintenance import FileAccess
from tests.fixtures.http_app import memory_settings
from tests.fixtures.nginx_server import PREFIX, Nginx, binary
from tests.fixtures.requirements import missing
from tests.fixtures.service import Service, pixyproxy

GUID = new_guid()
GROUP = 60_001
"""A group that nothing else has; giving files to it needs the rights of root."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another group")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


@pytest.fixture
def nginx_binary() -> None:
    if binary() is None:
        missing("NGINX", "no nginx is installed here")


def modes(root: Path) -> dict[str, str]:
    """Return the permissions of everything below a folder, and its own, with GUIDs shortened."""
    paths = [root, *sorted(root.rglob("*"))]
    named = {str(path.relative_to(root.parent)).replace(GUID, "GUID"): path for path in paths}
    named = {
        name.replace(f"{GUID[:2]}/{GUID[2:4]}", "ab/cd").replace(f"/{GUID[:2]}", "/ab"): p for name, p in named.items()
    }
    return {name: oct(stat.S_IMODE(path.stat().st_mode)) for name, path in named.items()}


async def filled(root: Path, calls: SystemCalls | None = None) -> None:
    """Store, describe, rescue and shrink a picture."""
    store, thumbnails = (
        FilesystemBlobStore(root, min_free_bytes=0, calls=calls),
        FilesystemThumbnailStore(root, calls=calls),
    )
    await store.open()
    await thumbnails.open()
    await store.set_identity(GUID)
    await store.put(GUID, b"bytes", {"guid": GUID})
    await store.replace_sidecar(GUID, {"guid": GUID, "more": 1})
    await store.rescue(GUID, b"response", {"guid": GUID})
    await thumbnails.put(GUID, "256.webp", b"small")
    await store.check_writable()
    await thumbnails.close()
    await store.close()


EXPECTED = {
    "images": "0o750",
    "images/ab": "0o750",
    "images/ab/cd": "0o750",
    "images/ab/cd/GUID.bin": "0o640",
    "images/ab/cd/GUID.json": "0o640",
    "images/aside": "0o700",
    "images/aside/GUID.1.bin": "0o600",
    "images/aside/GUID.1.json": "0o600",
    "images/derived": "0o750",
    "images/derived/ab": "0o750",
    "images/derived/ab/cd": "0o750",
    "images/derived/ab/cd/GUID.256.webp": "0o640",
    "images/pixyproxy.id": "0o640",
}


async def test_files_have_their_permissions_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    await filled(tmp_path / "images")
    assert modes(tmp_path / "images") == EXPECTED


async def test_missing_parents_get_the_same_permissions(umask: int, tmp_path: Path) -> None:
    await filled(tmp_path / "srv" / "images")
    assert modes(tmp_path / "srv")["srv"] == "0o750"


@as_root
async def test_the_group_gets_what_it_may_read(tmp_path: Path) -> None:
    await filled(tmp_path / "images", SystemCalls(GROUP))
    assert modes(tmp_path / "images") == EXPECTED
    groups = {path.name: path.stat().st_gid for path in (tmp_path / "images").rglob("*")}
    private = {name for name, group in groups.items() if group != GROUP}
    assert private == {"aside", f"{GUID}.1.bin", f"{GUID}.1.json"}
    assert (tmp_path / "images").stat().st_gid == GROUP


@pytest.mark.parametrize("code", [errno.EPERM, errno.EROFS, errno.EOPNOTSUPP])
async def test_a_picture_is_stored_where_permissions_cannot_be_set(
    tmp_path: Path, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    class WithoutPermissions(SystemCalls):
        def protect(self, file: int | Path, mode: int) -> None:
            raise OSError(code, f"no permissions here: {code}")

    await filled(tmp_path / "images", WithoutPermissions())
    assert len(modes(tmp_path / "images")) == len(EXPECTED)
    # Once for each kind of file.
    assert len([record for record in caplog.records if "cannot give new files" in record.getMessage()]) == 4


def opened_up(root: Path, file_mode: int = 0o644, folder_mode: int = 0o755) -> None:
    for path in [root, *root.rglob("*")]:
        path.chmod(folder_mode if path.is_dir() else file_mode)


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o644, 0o755), (0o666, 0o777), (0o600, 0o701)])
@pytest.mark.parametrize(
    "calls", [SystemCalls(), pytest.param(SystemCalls(GROUP), marks=as_root)], ids=["own", "group"]
)
async def test_files_of_before_are_counted_and_corrected(
    tmp_path: Path, calls: SystemCalls, file_mode: int, folder_mode: int
) -> None:
    root = tmp_path / "images"
    await filled(root)
    (root / "quarantine").mkdir()
    (root / "quarantine" / "file.bin").touch()
    opened_up(root, file_mode, folder_mode)
    (root / "lost+found").mkdir(mode=0o755)
    (root / "ab.txt").touch(mode=0o644)
    (root / GUID[:2] / GUID[2:4] / "link.bin").symlink_to(root / "ab.txt")
    maintenance = FilesystemBlobMaintenance(root, calls=calls)
    await maintenance.open()
    found = await maintenance.inspect_access()
    private = 3 if file_mode == 0o600 else 0  # what was rescued, and what is quarantined, may be
    assert (found.wrong, found.refused) == (len(EXPECTED) + 2 - private, 0)
    assert (await maintenance.inspect_access(deep=False)).wrong > 0
    assert await maintenance.inspect_access(apply=True) == found
    assert (await maintenance.inspect_access()).wrong == 0
    await maintenance.close()
    quarantined = "0o600" if private else "0o640"
    expected = EXPECTED | {"images/quarantine": "0o750", "images/quarantine/file.bin": quarantined}
    untouched = {"images/lost+found", "images/ab.txt", "images/ab/cd/link.bin"}
    assert {name: mode for name, mode in modes(root).items() if name not in untouched} == expected
    assert modes(root)["images/ab.txt"] == "0o644"
    if calls.group is not None:
        assert {root.stat().st_gid, (root / GUID[:2] / GUID[2:4] / f"{GUID}.bin").stat().st_gid} == {GROUP}


async def test_debris_of_private_files_is_quarantined_in_order(tmp_path: Path) -> None:
    root = tmp_path / "images"
    await filled(root)
    for debris in (root / f".probe.{0:032x}.tmp", root / "aside" / f"{GUID}.7.json"):
        debris.touch(mode=0o600)
    maintenance = FilesystemBlobMaintenance(root)
    await maintenance.open()
    assert await maintenance.quarantine_debris(datetime.now(UTC)) == 2
    assert await maintenance.inspect_access() == FileAccess()
    await maintenance.close()


async def test_a_folder_keeps_the_bits_that_it_hands_down_and_the_root_its_writers(tmp_path: Path) -> None:
    root = tmp_path / "images"
    await filled(root)
    root.chmod(0o2770)
    (root / GUID[:2]).chmod(0o2755)
    maintenance = FilesystemBlobMaintenance(root)
    await maintenance.open()
    assert (await maintenance.inspect_access(apply=True)).wrong == 1
    await maintenance.close()
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in (root, root / GUID[:2])] == ["0o2770", "0o2750"]


async def test_files_of_other_users_are_reported(tmp_path: Path) -> None:
    class OfOthers(SystemCalls):
        def protect(self, file: int | Path, mode: int) -> None:
            if str(file).endswith(".bin"):
                raise PermissionError(errno.EPERM, "not the owner")
            super().protect(file, mode)

    root = tmp_path / "images"
    await filled(root)
    opened_up(root)
    maintenance = FilesystemBlobMaintenance(root, calls=OfOthers())
    await maintenance.open()
    found = await maintenance.inspect_access(apply=True)
    await maintenance.close()
    assert (found.wrong, found.refused) == (len(EXPECTED), 2)


def test_groups_are_found_by_name_or_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (group_id("root"), group_id("0")) == (0, 0)
    for unknown in ("no such group", "4294967295", "9" * 30, "-1", ""):
        with pytest.raises(ValueError, match="no group"):
            group_id(unknown)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [33])
    assert (group_id("1000"), group_id("33")) == (1000, 33)
    with pytest.raises(ValueError, match="not in the group"):
        group_id("0")


def test_the_command_line_lists_and_corrects_files_of_before(tmp_path: Path) -> None:
    assert pixyproxy(tmp_path, "generate", "a duck", "-o", str(tmp_path / "duck.png")).returncode == 0
    assert "FAILED" not in pixyproxy(tmp_path, "check").stdout
    assert pixyproxy(tmp_path, "reconcile").stdout == "nothing to reconcile\n"
    opened_up(tmp_path / "images")
    done = pixyproxy(tmp_path, "check")
    assert (done.returncode, "reconcile --apply" in done.stdout) == (1, True)
    done = pixyproxy(tmp_path, "reconcile")
    assert "with other permissions than new ones" in done.stdout
    assert "protect: 1 (to be done with --apply)" in done.stdout
    assert pixyproxy(tmp_path, "reconcile", "--apply").returncode == 0
    assert {mode for name, mode in modes(tmp_path / "images").items()} == {"0o640", "0o750"}
    assert pixyproxy(tmp_path, "check").returncode == 0


@pytest.mark.parametrize(
    ("mode", "is_good"), [(0o600, True), (0o400, True), (0o640, False), (0o644, False), (0o604, False)]
)
def test_check_complains_of_a_secret_that_others_may_read(tmp_path: Path, mode: int, is_good: bool) -> None:
    assert pixyproxy(tmp_path, "check").returncode == 0
    secret = tmp_path / "data" / "secret.key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    secret.chmod(mode)
    done = pixyproxy(tmp_path, "check")
    assert (done.returncode == 0, f"other users may read {secret}" in done.stdout) == (is_good, not is_good)


@pytest.mark.parametrize(("name", "mode"), [(".env", 0o644), (".env", 0o640), ("data/pixyproxy.sqlite3", 0o644)])
def test_check_complains_of_other_files_with_secrets(tmp_path: Path, name: str, mode: int) -> None:
    assert pixyproxy(tmp_path, "check").returncode == 0
    (tmp_path / name).touch()
    (tmp_path / name).chmod(mode)
    done = pixyproxy(tmp_path, "check")
    is_good = mode == 0o640
    assert (done.returncode == 0, "chmod o= FILE" in done.stdout) == (is_good, not is_good)


def test_the_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        with service.client() as client:
            assert client.post("/image", json={"prompt": "a duck"}).status_code == 200
        files = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "data").iterdir()}
    assert set(files) >= {"pixyproxy.sqlite3", "pixyproxy.sqlite3-wal", "pixyproxy.sqlite3-shm", "secret.key"}
    assert set(files.values()) == {"0o600"}


@pytest.mark.parametrize(
    ("values", "warns"),
    [
        ({}, False),
        ({"PIXYPROXY_ACCEL_PREFIX": "/_images"}, True),
        ({"PIXYPROXY_ACCEL_PREFIX": "/_images", "PIXYPROXY_FILES_GROUP": str(os.getgid())}, False),
    ],
)
def test_the_start_warns_of_pictures_that_nginx_may_not_read(
    tmp_path: Path, values: dict[str, str], warns: bool
) -> None:
    with Service(tmp_path, **values) as service:
        assert ("WARNING" in service.log and "PIXYPROXY_FILES_GROUP is not" in service.log) is warns


def test_an_unknown_group_stops_the_start(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "serve", PIXYPROXY_FILES_GROUP="no-such-group")
    assert (done.returncode, "PIXYPROXY_FILES_GROUP: there is no group 'no-such-group'" in done.stderr) == (2, True)


def test_pictures_are_rescued_below_the_data_folder_only(tmp_path: Path) -> None:
    config = build_container(memory_settings(PIXYPROXY_DATA_DIR=tmp_path)).config
    assert config.rescue_dirs() == (tmp_path / "rescue",)


def test_the_former_rescue_folder_is_read_if_it_is_of_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    calls, folder = SystemCalls(), tmp_path / "pixyproxy-rescue"
    assert former_rescue_dirs(calls) == []
    folder.mkdir(mode=0o755)
    assert former_rescue_dirs(calls) == [folder]
    folder.chmod(0o757)
    assert former_rescue_dirs(calls) == []
    folder.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert former_rescue_dirs(calls) == []
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert former_rescue_dirs(calls) == []


@as_root
@pytest.mark.parametrize(("group", "status"), [("nogroup", 200), ("daemon", 403)])
def test_nginx_sends_the_pictures_of_its_group(nginx_binary: None, group: str, status: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pixyproxy-group-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        values = {"PIXYPROXY_ACCEL_PREFIX": PREFIX, "PIXYPROXY_FILES_GROUP": group}
        with (
            Service(folder, **values) as service,
            Nginx(service.url, folder / "images", user="nobody nogroup") as nginx,
        ):
            with service.client() as client:
                path = client.post("/image", json={"prompt": "a duck"}).json()["content_url"]
            response = httpx.get(f"{nginx.url}{path}", trust_env=False)
        assert (response.status_code, response.content[:4] == b"\x89PNG") == (status, status == 200)
