"""The rights of the two database users: the service changes rows and no tables."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import httpx2
import pymysql
import pytest

from pixyproxy.adapters.sql.migrations import split_statements
from tests.fixtures.service import Service, pixyproxy
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB

PASSWORD = "correct horse battery staple"


@pytest.fixture
def service_user(private_mariadb: PrivateMariaDB) -> Iterator[MySQLSettings]:
    """Yield the login of the service to the database of the administrator's script."""
    server = private_mariadb.settings
    script = files("pixyproxy.adapters.mysql").joinpath("scripts", "0000_create_database_and_user.sql")
    for _ in range(2):  # an administrator may run it again
        for statement in split_statements(script.read_text(encoding="utf-8")):
            with closing(server.connect()) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
    for name in ("pixyproxy", "pixyproxy_migrate"):
        server.query(f"ALTER USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'")
    yield replace(server, user="pixyproxy", password=PASSWORD, name="pixyproxy")
    server.query("DROP DATABASE pixyproxy")
    server.query("DROP USER 'pixyproxy'@'%', 'pixyproxy_migrate'@'%'")


def test_the_service_works_without_rights_to_tables(tmp_path: Path, service_user: MySQLSettings) -> None:
    values = service_user.environment() | {"PIXYPROXY_REPOSITORY": "mysql"}

    def run(*arguments: str, stdin: str = "", **more: str) -> str:
        done = pixyproxy(tmp_path, *arguments, stdin=stdin, **values | more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    refused = pixyproxy(tmp_path, "migrate", **values)
    assert refused.returncode != 0
    assert "0000_create_database_and_user.sql" in refused.stderr
    run("migrate", DB_USER="pixyproxy_migrate")
    run("migrate")  # nothing is left to do

    run("user", "add", "alice", stdin=f"{PASSWORD}\n")
    key = run("key", "add", "alice").splitlines()[0]
    with Service(tmp_path, **values) as service, httpx2.Client(base_url=service.url) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        image = client.post("/image", json={"prompt": "a duck", "tags": ["a"]}, headers={"Idempotency-Key": "1"})
        address = f"/image/{image.raise_for_status().json()['guid']}"
        edit = client.post("/image", json={"prompt": "a goose"}).raise_for_status().json()
        client.patch(address, json={"tags": ["b"], "visibility": "private"}).raise_for_status()
        assert len(client.get("/image?prompt=duck&tag=b").raise_for_status().json()) == 1
        assert client.get(address + "/content").raise_for_status().content
        assert client.get(address + "/thumbnail").raise_for_status().content
        client.delete(f"/image/{edit['guid']}").raise_for_status()
    run("check", "--deep")
    run("reconcile", "--apply")
    service_user.query("DELETE FROM images")
    run("rebuild")
    assert service_user.query("SELECT COUNT(*) FROM images") == ((1,),)
    run("user", "passwd", "alice", stdin=f"{PASSWORD}!\n")
    run("user", "remove", "alice")
    for statement in ("DROP TABLE images", "CREATE TABLE x (y INT)", "ALTER TABLE images ADD x INT"):
        with pytest.raises(pymysql.OperationalError, match="denied"):
            service_user.query(statement)
