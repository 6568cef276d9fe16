"""The backup and the restore of docs/operations.md, run as they are written."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.service import Service, pixyproxy
from tests.fixtures.sql.mysql_servers import fresh_database, shared_server

ROOT = Path(__file__).parents[3]
ALICE = ("alice", "secret of alice")


def commands(database: str) -> list[str]:
    """Return the commands of a backup, with this program for the database, without comments."""
    text = (ROOT / "docs" / "operations.md").read_text()
    lines = re.findall(rf"^    ((?:umask|{database}|cp|rsync) .*)", text, re.MULTILINE)
    assert len(lines) == 4
    return [line.partition(" #")[0] for line in lines]


def require(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")


def test_a_backup_of_a_running_service_is_restored(tmp_path: Path) -> None:
    require("sqlite3", "rsync")
    (tmp_path / "backup").mkdir()
    with Service(tmp_path) as service, service.client(ALICE) as client:
        service.add_user(*ALICE)
        detail = client.post("/image", json={"prompt": "a duck", "visibility": "private"}).json()
        picture = client.get(detail["content_url"]).content
        images = service.settings().images_dir
        subprocess.run("set -e; " + "; ".join(commands("sqlite3")), shell=True, cwd=tmp_path, check=True)
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


@pytest.mark.slow
@pytest.mark.mysql
def test_a_backup_of_a_running_service_on_mysql_is_restored(tmp_path: Path) -> None:
    require("mysqldump", "mysql", "rsync")
    server = shared_server()
    (tmp_path / "backup").mkdir()
    # The programs read it as they read an administrator's own.
    (tmp_path / ".my.cnf").write_text(
        f"[client]\nhost={server.host}\nport={server.port}\nuser={server.user}\npassword={server.password}\n"
    )
    values = {**os.environ, "HOME": str(tmp_path)}
    mysql = {"PIXYPROXY_REPOSITORY": "mysql"}
    with (
        fresh_database(server) as old,
        Service(tmp_path, **mysql, **old.environment()) as service,
        service.client(ALICE) as client,
    ):
        service.add_user(*ALICE)
        detail = client.post("/image", json={"prompt": "a duck", "visibility": "private"}).json()
        picture = client.get(detail["content_url"]).content
        images = service.settings().images_dir
        backup = "set -e; " + "; ".join(commands("mysqldump")).replace(" pixyproxy >", f" {old.name} >")
        assert old.name in backup
        subprocess.run(backup, shell=True, cwd=tmp_path, env=values, check=True)
        after = client.post("/image", json={"prompt": "after the backup"}).json()
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(images)
    (tmp_path / "data").mkdir()
    shutil.copy2(tmp_path / "backup" / "secret.key", tmp_path / "data" / "secret.key")
    shutil.copytree(tmp_path / "backup" / "images", images)
    with fresh_database(server, migrated=False) as new:
        with (tmp_path / "backup" / "pixyproxy.sql").open("rb") as dump:
            subprocess.run(["mysql", new.name], stdin=dump, env=values, check=True)
        for arguments in (["check", "--deep"], ["reconcile", "--apply"]):
            done = pixyproxy(tmp_path, *arguments, **mysql, **new.environment())
            assert done.returncode == 0, done.stdout + done.stderr
        with Service(tmp_path, **mysql, **new.environment()) as service, service.client(ALICE) as client:
            assert client.get(detail["content_url"]).content == picture
            assert client.get(f"/image/{after['guid']}").status_code == 404
