"""A folder that is not the one of the database is refused at the start and while the service runs; nothing is paid."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pixyproxy.adapters.filesystem.store_folder import MARKER
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import Service, pixyproxy


def rename(images: Path, away: Path) -> None:
    images.rename(away)


def empty(images: Path, away: Path) -> None:
    """Put an empty folder in its place, as an unmounted disk leaves one."""
    images.rename(away)
    images.mkdir()


def replace(images: Path, away: Path) -> None:
    """Put the folder of another database in its place."""
    images.rename(away)
    images.mkdir()
    (images / MARKER).write_text("1c2d0b9f-4e5f-4a6b-8c7d-0e1f2a3b4c5d\n")


def relink(images: Path, away: Path) -> None:
    """Let a symbolic link at its place lead to an empty folder."""
    images.rename(away)
    other = images.with_name("other")
    other.mkdir(exist_ok=True)
    images.symlink_to(other)


def spoil(images: Path, away: Path) -> None:
    shutil.copytree(images, away)
    (images / MARKER).write_text("nothing of use")


EXCHANGES: list[Callable[[Path, Path], None]] = [rename, empty, replace, relink, spoil]


def put_back(images: Path, away: Path) -> None:
    if images.is_symlink():
        images.unlink()
    elif images.exists():
        shutil.rmtree(images)
    away.rename(images)


def test_a_folder_that_is_exchanged_under_the_service_and_before_its_start(tmp_path: Path) -> None:
    images, away = tmp_path / "images", tmp_path / "away"
    with FakeUpstream() as upstream:
        openai = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test-012345", "PIXYPROXY_ANONYMOUS": "write"}
        values = openai | {"OPENAI_BASE_URL": upstream.base_url}
        with Service(tmp_path, **values) as service, service.client() as client:
            guid = client.post("/image", json={"prompt": "a duck"}).raise_for_status().json()["guid"]
            for exchange in EXCHANGES:
                charges = len(upstream.charges)
                exchange(images, away)
                answer = client.post("/image", json={"prompt": exchange.__name__})
                assert (answer.status_code, len(upstream.charges)) == (503, charges), exchange
                assert answer.json()["code"].startswith("blob-store"), exchange
                ready = client.get("/readyz")
                assert (ready.status_code, ready.json()["database"]) == (503, "ok"), exchange
                assert ready.json()["blob_store"].startswith("blob-store"), exchange
                assert str(tmp_path) not in answer.text + ready.text
                if exchange is not spoil:
                    assert client.get(f"/image/{guid}/content").status_code == 503, exchange
                put_back(images, away)
                assert client.get("/readyz").status_code == 200, exchange
                assert client.get(f"/image/{guid}/content").status_code == 200, exchange
                client.post("/image", json={"prompt": f"{exchange.__name__} again"}).raise_for_status()
            assert client.get("/image").json()[0]["prompt"] == "spoil again"
            assert len(client.get("/image?limit=200").json()) == 1 + len(EXCHANGES)
        charges = len(upstream.charges)
        replace(images, away)
        for command, status in ((["serve"], 2), (["generate", "a duck"], 2), (["check"], 1), (["reconcile"], 1)):
            done = pixyproxy(tmp_path, *command, **values)
            assert (done.returncode, len(upstream.charges)) == (status, charges), (command, done)
            assert "belongs to another database" in done.stdout + done.stderr, (command, done)
            assert ("PIXYPROXY_IMAGES_DIR" in done.stderr) == (status == 2), (command, done)


def test_only_serve_and_generate_bind_a_folder_and_rebuild_takes_its_identity(tmp_path: Path) -> None:
    marker = tmp_path / "images" / MARKER
    for command in (["migrate"], ["check"], ["reconcile", "--apply"], ["rebuild"]):
        done = pixyproxy(tmp_path, *command)
        assert (done.returncode, marker.exists()) == (0, False), done
    assert pixyproxy(tmp_path, "generate", "a duck").returncode == 0
    identity = marker.read_text().splitlines()[0]
    for name in ("pixyproxy.sqlite3", "pixyproxy.sqlite3-wal", "pixyproxy.sqlite3-shm"):
        (tmp_path / "data" / name).unlink(missing_ok=True)
    done = pixyproxy(tmp_path, "generate", "a duck")
    assert (done.returncode, "pixyproxy rebuild" in done.stderr, identity in done.stderr) == (2, True, True), done
    done = pixyproxy(tmp_path, "rebuild")
    assert (done.returncode, "1 images restored" in done.stdout) == (0, True), done
    assert pixyproxy(tmp_path, "generate", "another").returncode == 0
    assert marker.read_text().splitlines()[0] == identity


def test_a_copy_of_the_folder_is_the_folder(tmp_path: Path) -> None:
    assert pixyproxy(tmp_path, "generate", "a duck").returncode == 0
    shutil.copytree(tmp_path / "images", tmp_path / "copy")
    (tmp_path / "link").symlink_to(tmp_path / "copy")
    done = pixyproxy(tmp_path, "generate", "another", PIXYPROXY_IMAGES_DIR=str(tmp_path / "link"))
    assert done.returncode == 0, done
