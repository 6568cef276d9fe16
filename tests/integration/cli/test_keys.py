"""`pixyproxy key`, run as a separate process."""

import re
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pixyproxy.entrypoints.cli.main import app
from tests.fixtures.service import Service, pixyproxy

KEY = r"pxy_[0-9A-Za-z]{43}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def opens(service: Service, token: str) -> bool:
    with service.client() as client:
        return client.get("/user/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def add_user(folder: Path, name: str) -> None:
    assert pixyproxy(folder, "user", "add", name, stdin="secret of one\n").returncode == 0


def add_key(folder: Path, *arguments: str) -> str:
    """Add a key; only the key is on standard output."""
    done = pixyproxy(folder, "key", "add", *arguments)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(KEY + "\n", done.stdout)
    token = done.stdout.strip()
    assert done.stderr == f"The key is not shown again. It is revoked with: pixyproxy key revoke {token[:12]}\n"
    return token


def said_of_usage(*arguments: str) -> str:
    """Return the message for wrong usage, which needs no settings."""
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    return done.stderr


def stored(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "data" / "pixyproxy.sqlite3")) as connection, connection:
        return connection.execute(sql).fetchall()


def test_keys_are_managed_while_the_service_runs(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        service.add_user("älice", "secret of one")
        service.add_user("bob", "secret of one")
        assert pixyproxy(tmp_path, "key", "list").stdout == ""
        one = add_key(tmp_path, "älice", "--name", "my laptop", "--expires", "30d")
        two = add_key(tmp_path, "bob")
        assert one != two
        assert opens(service, one)
        assert opens(service, two)

        listed = pixyproxy(tmp_path, "key", "list").stdout
        lines = [line.split("\t") for line in listed.splitlines()]
        assert [line[:3] for line in lines] == [[f"{two[:12]}…", "bob", "-"], [f"{one[:12]}…", "älice", "my laptop"]]
        assert re.fullmatch(TIME, lines[0][3])
        assert lines[0][4:] == ["never"]
        assert datetime.fromisoformat(lines[1][4]) - datetime.fromisoformat(lines[1][3]) == timedelta(days=30)
        assert one not in listed
        assert pixyproxy(tmp_path, "key", "list", "bob").stdout == listed.splitlines()[0] + "\n"
        assert pixyproxy(tmp_path, "key", "list", "nobody").stdout == ""

        done = pixyproxy(tmp_path, "key", "revoke", two[:12])
        assert (done.returncode, done.stdout, done.stderr) == (0, f"revoked {two[:12]}\n", "")
        assert not opens(service, two)
        assert opens(service, one)
        again = pixyproxy(tmp_path, "key", "revoke", two[:12])
        assert (again.returncode, again.stdout, again.stderr) == (1, "", "pixyproxy: There is no such key.\n")

        assert pixyproxy(tmp_path, "user", "remove", "älice").returncode == 0
        assert not opens(service, one)
        assert pixyproxy(tmp_path, "key", "list").stdout == ""
        assert one[12:] not in service.log


def test_a_key_is_revoked_by_its_id_in_any_form(tmp_path: Path) -> None:
    add_user(tmp_path, "alice")
    for form in ("pxy_{}", "{}", "pxy_{}…", " {}..."):
        key_id = add_key(tmp_path, "alice")[4:12]
        assert pixyproxy(tmp_path, "key", "revoke", form.format(key_id)).stdout == f"revoked pxy_{key_id}\n"
    assert pixyproxy(tmp_path, "key", "list").stdout == ""
    for text in ("", "…", "pxy_AbCdEfG"):
        assert pixyproxy(tmp_path, "key", "revoke", text).returncode == 1


def test_a_whole_key_is_refused_as_an_argument(tmp_path: Path) -> None:
    add_user(tmp_path, "alice")
    token = add_key(tmp_path, "alice")
    done = pixyproxy(tmp_path, "key", "revoke", token)
    assert (done.returncode, done.stdout) == (2, "")
    said = [done.stderr] + [said_of_usage("key", "revoke", form) for form in (token[4:], token[:-5], token + "…")]
    for text in said:
        assert "a whole key must not be an argument" in text
        assert f"pixyproxy key revoke {token[:12]}" in text
        assert token[12:20] not in text
    assert len(stored(tmp_path, "SELECT 1 FROM api_keys")) == 1


def test_only_a_hash_is_stored(tmp_path: Path) -> None:
    add_user(tmp_path, "alice")
    token = add_key(tmp_path, "alice", "--name", "a name")
    [(key_id, digest, name)] = stored(tmp_path, "SELECT key_id, digest, name FROM api_keys")
    assert (key_id, name) == (token[4:12], "a name")
    assert re.fullmatch("[0-9a-f]{64}", str(digest))
    for file in (tmp_path / "data").iterdir():
        assert token[12:].encode() not in file.read_bytes()


ENDS: list[tuple[str, str | timedelta]] = [
    ("2100-01-31", "2100-01-31T00:00:00Z"),
    ("2100-01-31T18:00", "2100-01-31T18:00:00Z"),
    ("2100-01-31T18:00:30+01:00", "2100-01-31T17:00:30Z"),
    ("2100-01-31 18:00Z", "2100-01-31T18:00:00Z"),
    ("12h", timedelta(hours=12)),
    ("30d", timedelta(days=30)),
    ("9999w", timedelta(weeks=9999)),
]


def test_the_end_of_a_key(tmp_path: Path) -> None:
    add_user(tmp_path, "alice")
    for when, _ in ENDS:
        add_key(tmp_path, "alice", "--expires", when)
    # Keys are listed in order of creation.
    lines = [line.split("\t") for line in pixyproxy(tmp_path, "key", "list").stdout.splitlines()]
    for (when, expected), [*_, made, end] in zip(ENDS, lines, strict=True):
        if isinstance(expected, str):
            assert end == expected, when
        else:
            assert datetime.fromisoformat(end) - datetime.fromisoformat(made) == expected, when


def test_an_invalid_end_is_refused(tmp_path: Path) -> None:
    add_user(tmp_path, "alice")
    for when in (
        "",
        "soon",
        "30",
        "d",
        "-1d",
        "1.5d",
        "30D",
        "30 d",
        "99999d",
        "٣d",
        "2100-02-30",
        "2100-01-31T25:00",
        "9999-12-31T23:59:59-12:00",
    ):
        assert "30d" in said_of_usage("key", "add", "alice", f"--expires={when}"), when
    for when in ("0h", "1999-12-31"):
        done = pixyproxy(tmp_path, "key", "add", "alice", "--expires", when)
        assert (done.returncode, done.stdout) == (1, ""), when
        assert "  expires: must be " in done.stderr
    assert pixyproxy(tmp_path, "key", "list").stdout == ""


def test_an_expired_key_is_marked_and_refused(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        service.add_user("alice", "secret of one")
        token = add_key(tmp_path, "alice", "--expires", "1h")
        assert opens(service, token)
        stored(tmp_path, "UPDATE api_keys SET expires_at = '2020-01-01 00:00:00.000000'")
        assert not opens(service, token)
    line = pixyproxy(tmp_path, "key", "list").stdout
    assert line.endswith("\t2020-01-01T00:00:00Z\texpired\n")


def test_a_key_that_cannot_be_added_gives_the_reason(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "key", "add", "alice")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "pixyproxy: There is no such user.\n")
    done = pixyproxy(tmp_path, "key", "add", "a:b", "--name", "x" * 65)
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["pixyproxy", "  username", "  name"]


def test_a_name_in_the_database_cannot_forge_a_line(tmp_path: Path) -> None:
    add_user(tmp_path, "alice")
    add_key(tmp_path, "alice")
    stored(tmp_path, "UPDATE api_keys SET name = 'two' || char(10) || 'lines' || char(9) || 'and a tab'")
    [line] = pixyproxy(tmp_path, "key", "list").stdout.splitlines()
    assert line.split("\t")[2] == "two\\nlines\\tand a tab"


def test_processes_share_the_secret(tmp_path: Path) -> None:
    given = {"PIXYPROXY_SECRET_KEY": "0123456789abcdef0123456789abcdef"}
    with Service(tmp_path, **given) as service:
        service.add_user("alice", "secret of one")
        good = pixyproxy(tmp_path, "key", "add", "alice", **given).stdout.strip()
        assert opens(service, good)
        assert not (tmp_path / "data" / "secret.key").exists()
        # Created with another secret: the one in the file, which is used if none is configured.
        other = add_key(tmp_path, "alice")
        assert not opens(service, other)
        assert given["PIXYPROXY_SECRET_KEY"] not in service.log + service.announced
    kept = tmp_path / "data" / "secret.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    with Service(tmp_path) as service:
        assert opens(service, other)
        assert not opens(service, good)


def test_an_invalid_secret_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key").write_bytes(b"")
    for command in (["serve"], ["key", "list"]):
        done = pixyproxy(tmp_path, *command)
        assert (done.returncode, done.stdout) == (2, ""), done
        [line] = done.stderr.splitlines()
        assert line.startswith("pixyproxy: PIXYPROXY_DATA_DIR, PIXYPROXY_SECRET_KEY: ")
        assert "secret.key" in line
    done = pixyproxy(tmp_path, "check")
    assert done.returncode == 1
    assert re.search(r"^secret +FAILED +The file .*secret\.key", done.stdout, re.MULTILINE)
    assert (tmp_path / "data" / "secret.key").read_bytes() == b""
    done = pixyproxy(tmp_path, "serve", PIXYPROXY_SECRET_KEY="short")
    assert (done.returncode, "PIXYPROXY_SECRET_KEY: must have at least 32 characters" in done.stderr) == (2, True)
    assert "short" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("key", ["add", "list", "revoke"]),
        ("key add", ["user", "--name", "--expires", "12h, 30d", "ISO 8601", "UTC"]),
        ("key list", ["user"]),
        ("key revoke", ["key_id", "pxy_AbCdEfGh", "never the whole key"]),
    ],
)
def test_every_command_has_help(command: str, words: list[str]) -> None:
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0
    for word in words:
        assert word in done.output, done.output


def test_wrong_usage_is_status_2() -> None:
    for arguments in (["key"], ["key", "add"], ["key", "revoke"], ["key", "add", "alice", "a name"]):
        assert CliRunner().invoke(app, arguments).exit_code == 2, arguments
