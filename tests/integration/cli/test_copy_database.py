"""`pixyproxy copy-database`: there and back, and what it refuses."""

from pathlib import Path

import pytest

from tests.fixtures.service import Service, pixyproxy
from tests.fixtures.sql.mysql_servers import MySQLSettings, fresh_database

ALICE = ("alice", "secret of alice")


def on_mysql(settings: MySQLSettings) -> dict[str, str]:
    """Return the settings of a service on this server."""
    return {**settings.environment(), "PIXYPROXY_REPOSITORY": "mysql"}


@pytest.fixture
def used(tmp_path: Path) -> str:
    """Have a service on SQLite make a picture for a user with a key; return the GUID."""
    with Service(tmp_path) as service:
        service.add_user(*ALICE)
        with service.client(ALICE) as client:
            guid: str = client.post("/image", json={"prompt": "a duck", "visibility": "private"}).json()["guid"]
    assert pixyproxy(tmp_path, "budget", "set", "user:alice", "5").returncode == 0
    return guid


def content(folder: Path, guid: str, **values: str) -> bytes:
    """Return the picture as alice sees it, by a service with these settings."""
    with Service(folder, **values) as service, service.client(ALICE) as client:
        assert client.get(f"/image/{guid}").json()["cost"]["usd"] is not None
        assert client.get("/budget").json()[0]["scope"] == "user:alice"
        return client.get(f"/image/{guid}/content").content


def test_a_database_is_copied_there_and_back(tmp_path: Path, used: str, mysql_settings: MySQLSettings) -> None:
    before = content(tmp_path, used)
    there = pixyproxy(tmp_path, "copy-database", "--to", "mysql", **mysql_settings.environment())
    assert there.returncode == 0, there.stderr
    assert there.stdout.splitlines()[-1] == (
        "all rows are the same; set PIXYPROXY_REPOSITORY=mysql and start the service"
    )
    counts = dict(line.split()[:2] for line in there.stdout.splitlines()[:-1])
    assert {name: counts[name] for name in ("images", "charges", "roster", "budgets")} == {
        "images": "1",
        "charges": "1",
        "roster": "1",
        "budgets": "1",
    }
    assert content(tmp_path, used, **on_mysql(mysql_settings)) == before

    again = pixyproxy(tmp_path, "copy-database", "--to", "mysql", **mysql_settings.environment())
    assert again.returncode == 1
    assert "is a complete copy already" in again.stderr
    other_way = pixyproxy(tmp_path, "copy-database", "--to", "sqlite", **mysql_settings.environment())
    assert "is a complete copy already" in other_way.stderr

    (tmp_path / "data").rename(tmp_path / "old")
    (tmp_path / "data").mkdir()
    (tmp_path / "old" / "secret.key").rename(tmp_path / "data" / "secret.key")
    back = pixyproxy(tmp_path, "copy-database", "--to", "sqlite", **mysql_settings.environment())
    assert back.returncode == 0, back.stderr
    assert content(tmp_path, used) == before


def test_a_copy_that_was_cut_short_runs_no_service_and_goes_on(
    tmp_path: Path, used: str, mysql_settings: MySQLSettings
) -> None:
    def copy() -> tuple[int, str]:
        done = pixyproxy(tmp_path, "copy-database", "--to", "mysql", **mysql_settings.environment())
        return done.returncode, done.stdout + done.stderr

    mysql_settings.query("ALTER TABLE charges MODIFY source VARCHAR(1) NULL")
    status, output = copy()
    assert status == 1
    assert "refuses rows of the table charges" in output
    served = pixyproxy(tmp_path, "serve", **on_mysql(mysql_settings))
    assert served.returncode == 2
    assert "The copy of this database is not complete: run `pixyproxy copy-database` again." in served.stderr
    rebuilt = pixyproxy(tmp_path, "rebuild", **on_mysql(mysql_settings))
    assert rebuilt.returncode != 0
    assert "The copy of this database is not complete" in rebuilt.stderr
    mysql_settings.query("ALTER TABLE charges MODIFY source VARCHAR(255) NULL")
    status, output = copy()
    assert status == 0, output
    assert "going on with a copy that was begun before" in output


def test_other_data_is_refused(tmp_path: Path, used: str, mysql_settings: MySQLSettings) -> None:
    mysql_settings.query("INSERT INTO roster (`user`, `password`) VALUES ('bob', 'x')")
    done = pixyproxy(tmp_path, "copy-database", "--to", "mysql", **mysql_settings.environment())
    assert (done.returncode, done.stdout) == (1, "")
    assert "The database to copy to holds other data: choose an empty one." in done.stderr
    assert mysql_settings.query("SELECT `user` FROM roster") == (("bob",),)


def test_a_running_service_is_refused(tmp_path: Path, mysql_settings: MySQLSettings) -> None:
    with Service(tmp_path) as service:
        port = service.url.rpartition(":")[2]
        done = pixyproxy(
            tmp_path, "copy-database", "--to", "mysql", **mysql_settings.environment(), PIXYPROXY_PORT=port
        )
    assert done.returncode == 1
    assert f"a service is running at 127.0.0.1 port {port}: stop it first" in done.stderr


def test_what_is_missing_is_said(tmp_path: Path, mysql_server: MySQLSettings) -> None:
    done = pixyproxy(tmp_path, "copy-database", "--to", "mysql")
    assert done.returncode == 2
    assert "DB_HOST: is missing; pixyproxy copy-database copies to or from that server" in done.stderr
    with fresh_database(mysql_server) as settings:
        settings.query("DELETE FROM schema_migrations WHERE version > 12")
        done = pixyproxy(tmp_path, "copy-database", "--to", "mysql", **settings.environment())
        assert done.returncode == 2
        assert "run `pixyproxy migrate`. (with PIXYPROXY_REPOSITORY=mysql)" in done.stderr


def test_a_database_that_was_never_used_is_not_copied(tmp_path: Path, mysql_settings: MySQLSettings) -> None:
    done = pixyproxy(tmp_path, "copy-database", "--to", "mysql", **mysql_settings.environment())
    assert done.returncode == 1
    assert "The database to copy from is not bound to a blob store" in done.stderr
