"""The backup and the restore of docs/operations.md, run as they are written."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.service import Service, pixyproxy

ROOT = Path(__file__).parents[3]
ALICE = ("alice", "secret of alice")


def commands() -> list[str]:
    """Return the commands of a backup of SQLite, without comments."""
    text = (ROOT / "docs" / "operations.md").read_text()
    lines = re.findall(r"^    ((?:umask|sqlite3|cp|rsync) .*)", text, re.MULTILINE)
    return [line.partition(" #")[0] for line in lines]


def test_a_backup_of_a_running_service_is_restored(tmp_path: Path) -> None:
    for program in ("sqlite3", "rsync"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")
    (tmp_path / "backup").mkdir()
    with Service(tmp_path) as service, service.client(ALICE) as client:
        service.add_user(*ALICE)
        detail = client.post("/image", json={"prompt": "a duck", "visibility": "private"}).json()
        picture = client.get(detail["content_url"]).content
        images = service.settings().images_dir
        assert len(commands()) == 4
        subprocess.run("set -e; " + "; ".join(commands()), shell=True, cwd=tmp_path, check=True)
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(images)
    (tmp_path / "data").mkdir()
    for name in ("pixyproxy.sqlite3", "secret.key"):
        shutil.copy2(tmp_path / "backup" / name, tmp_path / "data" / name)
    shutil.copytree(tmp_path / "backup" / "images", images)
    for arguments in (["check", "--deep"], ["reconcile", "--apply"]):
        done = pixyproxy(tmp_path, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    with Service(tmp_path) as service, service.client(ALICE) as client:
        assert client.get(detail["content_url"]).content == picture
