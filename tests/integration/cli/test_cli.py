"""The command line, run as a separate process."""

import csv
import io
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pixyproxy.entrypoints.cli.main import app
from tests.fixtures.forked_process import PRELOADED
from tests.fixtures.openai.upstream import MODELS, FakeUpstream, RefusingPort
from tests.fixtures.service import COMMAND, PATIENCE_S, Deadline, Service, environment, pixyproxy
from tests.fixtures.sql.mysql_servers import MySQLSettings, fresh_database


@pytest.fixture
def empty_database(mysql_server: MySQLSettings) -> Iterator[dict[str, str]]:
    """Return the settings of a MySQL database without tables."""
    with fresh_database(mysql_server, migrated=False) as database:
        yield {"PIXYPROXY_REPOSITORY": "mysql", **database.environment()}


# --- help and usage -------------------------------------------------------------------------------------------


def test_help_needs_no_settings(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "--help", PIXYPROXY_GENERATOR="wrong")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("serve", "migrate", "generate", "check", "user", "--install-completion", "--version"):
        assert word in done.stdout
    script = subprocess.run(
        [Path(sys.executable).with_name("pixyproxy"), "--help"],
        env=environment(tmp_path),
        capture_output=True,
        check=True,
    )
    assert b"Usage: pixyproxy " in script.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["serve", "--version"]),
        ("serve", ["SIGTERM", "--host", "--port"]),
        ("migrate", ["SQL scripts"]),
        ("generate", ["prompt", "--output", "-o", "--size", "--tag"]),
        ("check", ["exit status 1"]),
        ("copy-database", ["--to", "mysql|sqlite", "Stop the service first"]),
        ("user", ["add", "list", "passwd", "remove", "role", "pause", "resume", "import"]),
        ("user import", ["file", "--dry-run", "--keys", "all or nothing"]),
        ("user add", ["name", "--class-key", "--role", "student|teacher|admin", "--take-over", "standard input"]),
        ("user role", ["name", "student|teacher|admin"]),
        ("user pause", ["name", "every login is refused"]),
        ("user resume", ["name"]),
        ("user passwd", ["name", "standard input"]),
        ("user remove", ["name"]),
        ("user list", ["--help"]),
    ],
)
def test_every_command_has_help(command: str, words: list[str]) -> None:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    done = runner.invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert runner.invoke(app, [*command.split(), "-h"]).output == done.output
    for word in words:
        assert word in done.output
    assert not re.search(r"--password|PASSWORD", done.output)


def test_the_version_needs_no_settings(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "--version", PIXYPROXY_GENERATOR="wrong")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"pixyproxy {version('pixyproxy')}\n", "")


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("pixyproxy se", {"serve", "settle"}),
        ("pixyproxy user pa", {"passwd", "pause"}),
        ("pixyproxy serve --p", {"--port"}),
    ],
)
def test_a_shell_completes_commands_and_options(typed: str, completions: set[str], tmp_path: Path) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_PIXYPROXY_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [Path(sys.executable).with_name("pixyproxy")],
        env=environment(tmp_path, PIXYPROXY_GENERATOR="wrong", **words),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (set(done.stdout.split()), done.stderr) == (completions, "")


def test_wrong_usage_is_status_2(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "serve", "--prot", "5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option" in done.stderr
    for arguments in ([], ["nonsense"], ["serve", "--port", "70000"],
                      ["serve", "--port", "http"], ["user"], ["user", "add"], ["generate"],
                      ["user", "add", "alice", "secret"],
                      ["user", "add", "alice", "--password", "secret"]):  # fmt: skip
        assert CliRunner().invoke(app, arguments).exit_code == 2, arguments
    assert list(tmp_path.iterdir()) == []


def test_the_modules_that_forked_commands_need_exist() -> None:
    assert [name for name in PRELOADED if find_spec(name) is None] == []


# --- serve ----------------------------------------------------------------------------------------------------


class ServiceOfShell(Service):
    """A service in a Python of its own, as people start it."""

    command = (*COMMAND, "serve")


def test_the_start_block_lists_the_adapters(tmp_path: Path) -> None:
    with ServiceOfShell(tmp_path) as service:
        said = service.announced
        assert f"repository  sqlite ({tmp_path / 'data'})" in said
        assert "generator   sketch (offline and free)" in said
        assert f"blob store  filesystem ({tmp_path / 'images'})" in said
        assert "anonymous   may see public images and create new ones" in said
        assert f"address     {service.url} " in said
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", service.url)


def test_the_start_block_holds_no_secret(tmp_path: Path) -> None:
    with FakeUpstream() as upstream:
        settings = {
            "PIXYPROXY_GENERATOR": "openai",
            "OPENAI_API_KEY": "sk-secret-012345",
            "OPENAI_BASE_URL": upstream.base_url,
        }
        with Service(tmp_path, **settings, PIXYPROXY_OPENAI_MODEL="some-model") as service:
            assert f"generator   openai (some-model at {upstream.base_url})" in service.announced
            assert "anonymous   may see public images; a login is needed" in service.announced
            assert "sk-secret" not in service.announced + service.log
        # It may request the list of models meanwhile, to warn of the shutdown of the configured one.
        assert {request.path for request in upstream.requests} <= {MODELS}


def test_it_listens_at_the_configured_address(tmp_path: Path) -> None:
    with Service(tmp_path, PIXYPROXY_HOST="::1") as service:
        assert re.fullmatch(r"http://\[::1\]:\d+", service.url)


class ServiceWithOptions(Service):
    """A service whose address is given by options."""

    command = (*COMMAND, "serve", "--host", "127.0.0.2", "--port", "0")


def test_options_go_before_the_settings_of_the_address(tmp_path: Path) -> None:
    with ServiceWithOptions(tmp_path, PIXYPROXY_HOST="::1", PIXYPROXY_PORT="tcp://10.0.0.1:8001") as service:
        assert re.fullmatch(r"http://127\.0\.0\.2:\d+", service.url)


def test_a_database_that_is_late_is_waited_for(tmp_path: Path) -> None:
    assert pixyproxy(tmp_path, "migrate").returncode == 0
    with closing(sqlite3.connect(tmp_path / "data" / "pixyproxy.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        service = Service(tmp_path)
        (tmp_path / "log").touch()
        with ThreadPoolExecutor(1) as pool:
            start = pool.submit(service.start)
            deadline = Deadline("the service waits for the database")
            while "waiting up to 30 s for the database: The database file is locked" not in service.log:
                deadline.wait()
            other.execute("ROLLBACK")
            start.result()
        service.stop()
    assert service.log.count("waiting") == 1


def test_the_wait_for_a_database_ends(tmp_path: Path) -> None:
    nowhere = {**NOBODY, "DB_HOST": "nowhere.invalid", "PIXYPROXY_START_WAIT_S": "1"}
    done = pixyproxy(tmp_path, "serve", **nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    first, last = done.stderr.splitlines()
    assert first.startswith("pixyproxy: waiting up to 1 s for the database: The database server cannot be reached")
    assert last.startswith("pixyproxy: DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME: The database server cannot be")


def test_an_interrupt_shuts_down_cleanly(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.start()
    service.signal(signal.SIGINT)
    assert service.wait() == 0
    assert "Traceback" not in service.log


def test_it_can_be_stopped_while_it_starts(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve"], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()  # the first line of the start block: nothing is served yet
    process.terminate()
    try:
        _, log = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, log
    assert b"Traceback" not in log


def refuses(folder: Path, *parts: str, **values: str) -> None:
    """Assert that the start fails with status 2 and one line with these parts, the setting first."""
    done = pixyproxy(folder, "serve", **values)
    assert (done.returncode, done.stdout) == (2, ""), done
    [line] = done.stderr.splitlines()
    assert line.startswith(f"pixyproxy: {parts[0]}")
    for part in parts:
        assert part in line, (part, line)


NOBODY = {
    "PIXYPROXY_START_WAIT_S": "0",
    "PIXYPROXY_REPOSITORY": "mysql",
    "DB_HOST": "127.0.0.1",
    "DB_USER": "pixy",
    "DB_PASSWORD": "hush-hush",
}
WRONG: list[tuple[dict[str, str], list[str]]] = [
    ({"PIXYPROXY_GENERATOR": "dalle"}, ["PIXYPROXY_GENERATOR: ", "'dalle'", "openai, sketch"]),
    ({"PIXYPROXY_GENERATOR": "a\nb\x1b[2J"}, ["PIXYPROXY_GENERATOR: "]),
    ({"PIXYPROXY_GENERATOR": "openai"}, ["OPENAI_API_KEY: ", "missing", "PIXYPROXY_GENERATOR=sketch"]),
    ({"PIXYPROXY_REPOSITORY": "mysql"}, ["DB_HOST: ", "missing"]),
    ({"PIXYPROXY_PORT": "http"}, ["PIXYPROXY_PORT: ", "integer"]),
    ({"PIXYPROXY_ANONYMOUS": "all"}, ["PIXYPROXY_ANONYMOUS: ", "'none', 'read' or 'write'"]),
    ({"PIXYPROXY_IMAGES_DIR": "FILE"}, ["PIXYPROXY_IMAGES_DIR"]),
    ({"PIXYPROXY_DATA_DIR": "FILE"}, ["PIXYPROXY_DATA_DIR"]),
    ({"PIXYPROXY_IMAGES_DIR": "FILE/below"}, ["PIXYPROXY_IMAGES_DIR"]),
    ({"PIXYPROXY_DATA_DIR": "/proc/nothing/here"}, ["PIXYPROXY_DATA_DIR"]),
    ({"PIXYPROXY_PORT": "TAKEN"}, ["PIXYPROXY_HOST, PIXYPROXY_PORT: ", "(Address already in use)", "choose another"]),
    ({"PIXYPROXY_HOST": "a..b"}, ["PIXYPROXY_HOST, PIXYPROXY_PORT: ", "a..b", "no such host"]),
    ({"PIXYPROXY_HOST": "192.0.2.1"}, ["PIXYPROXY_HOST, PIXYPROXY_PORT: ", "192.0.2.1"]),
    ({**NOBODY, "DB_PORT": "REFUSING"}, ["DB_HOST, DB_PORT, DB_USER", "cannot be reached"]),
]


def test_a_wrong_setting_stops_the_start_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, RefusingPort() as nowhere, ThreadPoolExecutor(4) as executor:
        ports = {"TAKEN": str(taken.getsockname()[1]), "REFUSING": nowhere.rpartition(":")[2].partition("/")[0]}

        def check(number: int) -> None:
            values, parts = WRONG[number]
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "FILE").write_text("no folder")
            refuses(folder, *parts, **{name: ports.get(value, value) for name, value in values.items()})

        list(executor.map(check, range(len(WRONG))))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    refuses(tmp_path, "PIXYPROXY_IMAGES_DIR", PIXYPROXY_IMAGES_DIR=str(tmp_path / "closed"))
    refuses(tmp_path, "PIXYPROXY_DATA_DIR", PIXYPROXY_DATA_DIR=str(tmp_path / "closed"))


def test_a_refused_login_stops_the_start_without_the_password(tmp_path: Path, empty_database: dict[str, str]) -> None:
    done = pixyproxy(tmp_path, "serve", **empty_database | {"DB_USER": "pixy_nobody", "DB_PASSWORD": "hush-hush"})
    assert done.returncode == 2
    assert "check DB_USER and DB_PASSWORD" in done.stderr
    assert "hush" not in done.stderr


# --- migrate --------------------------------------------------------------------------------------------------


def test_mysql_is_migrated_by_the_command_only(tmp_path: Path, empty_database: dict[str, str]) -> None:
    refuses(tmp_path, "DB_HOST", "0001_create_tables.sql", "run `pixyproxy migrate`", **empty_database)
    first = pixyproxy(tmp_path, "migrate", **empty_database)
    assert (first.returncode, first.stderr) == (0, "")
    assert "applying 0001_create_tables.sql" in first.stdout
    again = pixyproxy(tmp_path, "migrate", **empty_database)
    assert (again.returncode, again.stdout) == (0, "0 scripts applied; the mysql database is up to date\n")
    with Service(tmp_path / "service", **empty_database) as service, service.client() as client:
        assert f"repository  mysql ({empty_database['DB_NAME']} on " in service.announced
        assert client.get("/readyz").status_code == 200


def test_sqlite_is_migrated_by_the_command_too(tmp_path: Path) -> None:
    first = pixyproxy(tmp_path, "migrate")
    assert (first.returncode, first.stderr) == (0, "")
    assert "applying 0001_create_tables.sql" in first.stdout
    assert pixyproxy(tmp_path, "migrate").stdout == "0 scripts applied; the sqlite database is up to date\n"
    assert (tmp_path / "data" / "pixyproxy.sqlite3").is_file()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    assert pixyproxy(tmp_path, "migrate").returncode == 0
    connection = sqlite3.connect(tmp_path / "data" / "pixyproxy.sqlite3")
    with connection:
        connection.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, '9999_new.sql', 'x')")
    connection.close()
    refuses(tmp_path, "PIXYPROXY_DATA_DIR", "9999_new.sql", "update this one")
    done = pixyproxy(tmp_path, "migrate")
    assert (done.returncode, "9999_new.sql" in done.stderr) == (1, True)


# --- generate -------------------------------------------------------------------------------------------------


def test_a_picture_without_a_server(tmp_path: Path) -> None:
    done = pixyproxy(
        tmp_path, "generate", "eine Ente 🦆", "-o", "ente.png", "--size", "96x64", "--tag", "Duck", "--tag", "b"
    )
    assert done.returncode == 0, done.stderr
    guid, name, size, *_ = done.stdout.split()
    assert (name, size) == (f"eine-ente-{guid[:8]}.png", "96x64")
    assert "written to ente.png" in done.stdout
    with Image.open(tmp_path / "ente.png") as picture:
        assert picture.size == (96, 64)
    with Service(tmp_path) as service, service.client() as client:
        detail = client.get(f"/image/{guid}").json()
        assert (detail["prompt"], detail["tags"], detail["author"]) == ("eine Ente 🦆", ["duck", "b"], None)
        assert client.get(detail["content_url"]).content == (tmp_path / "ente.png").read_bytes()


def test_a_bad_output_or_prompt_fails_before_anything_is_paid(tmp_path: Path) -> None:
    with FakeUpstream() as upstream:
        settings = {
            "PIXYPROXY_GENERATOR": "openai",
            "OPENAI_API_KEY": "sk-test-012345",
            "OPENAI_BASE_URL": upstream.base_url,
        }
        done = pixyproxy(tmp_path, "generate", "a duck", "--output", str(tmp_path / "none" / "x.png"), **settings)
        assert done.returncode == 2
        assert "there is no folder" in done.stderr
        done = pixyproxy(tmp_path, "generate", "a duck", "--output", str(tmp_path), **settings)
        assert done.returncode == 2
        assert "is a folder: name a file in it" in done.stderr
        done = pixyproxy(tmp_path, "generate", "a duck", "--output", "x" * 300, **settings)
        assert done.returncode == 2
        assert "cannot be written: File name too long" in done.stderr
        done = pixyproxy(tmp_path, "generate", "  ", **settings)
        assert done.returncode == 1
        assert "prompt: must not be blank" in done.stderr
        assert upstream.requests == []
        upstream.script("moderation")
        done = pixyproxy(tmp_path, "generate", "a duck", **settings)
        assert (done.returncode, done.stdout) == (1, "")
        assert "safety system" in done.stderr
        assert "Traceback" not in done.stderr
        done = pixyproxy(tmp_path, "generate", "a duck", "-o", "/dev/full", **settings)
        assert done.returncode == 1
        guid = done.stdout.split()[0]
        assert f"the image is stored as {guid}" in done.stderr
        assert len(upstream.charges) == 1


def test_a_generation_has_a_progress_display(tmp_path: Path) -> None:
    with FakeUpstream() as upstream:
        upstream.script("ok delay=1")
        settings = {
            "PIXYPROXY_GENERATOR": "openai",
            "OPENAI_API_KEY": "sk-test-012345",
            "OPENAI_BASE_URL": upstream.base_url,
        }
        status, said = in_terminal(tmp_path, ["generate", "a duck"], [], **settings)
        assert status == 0
        assert "openai is drawing" in said


# --- users ----------------------------------------------------------------------------------------------------


def in_terminal(folder: Path, arguments: list[str], answers: list[tuple[str, str]], **values: str) -> tuple[int, str]:
    """Run a command in a pseudo-terminal, typing each answer at its prompt; return status and output."""
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(folder, **values) | {"TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    waiting = list(answers)
    seen = 0
    try:
        while True:
            try:
                piece = os.read(control, 4096)
            except OSError:  # EIO: the other end is closed
                break
            if not piece:
                break
            shown += piece
            while waiting and (at := shown.find(waiting[0][0].encode(), seen)) >= 0:
                seen = at + len(waiting[0][0])
                os.write(control, waiting.pop(0)[1].encode() + b"\n")
        return process.wait(PATIENCE_S), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(control)


def works(service: Service, name: str, password: str) -> bool:
    with service.client((name, password)) as client:
        return client.get("/user/me").status_code == 200


@pytest.mark.parametrize("command", ["user add a", "user passwd a", "user remove a", "user list", "key add a"])
def test_accounts_are_not_left_to_a_memory_that_ends(command: str, tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, *command.split(), PIXYPROXY_REPOSITORY="memory", stdin="secret\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pixyproxy: PIXYPROXY_REPOSITORY: memory keeps users and keys in one process only")


def test_accounts_beside_a_service_that_keeps_its_own_elsewhere_are_told(tmp_path: Path) -> None:
    with Service(tmp_path / "service") as service:
        port = service.url.rpartition(":")[2]
        own = {"PIXYPROXY_PORT": port}
        (tmp_path / "other").mkdir()
        for arguments in (("user", "add", "bob"), ("user", "passwd", "bob")):
            password = f"pass:wörd of {arguments[1]}\n"
            done = pixyproxy(tmp_path / "other", *arguments, stdin=password, **own)
            assert done.returncode == 0
            [line] = done.stderr.splitlines()
            assert f"running at 127.0.0.1 port {port} does not know bob: it keeps its users elsewhere" in line
            assert f"the folder {tmp_path / 'other' / 'data'} (PIXYPROXY_DATA_DIR)" in line
            assert "wörd" not in line
            done = pixyproxy(tmp_path / "service", *arguments, stdin=password, **own)
            assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("response", [b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n", b"nonsense\r\n\r\n", b""])
def test_a_password_is_not_sent_to_another_program(tmp_path: Path, response: bytes) -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                received.append(connection.recv(65536))
                connection.sendall(response)

        pool.submit(serve)
        port = str(listener.getsockname()[1])
        done = pixyproxy(tmp_path, "user", "add", "bob", stdin="secret of one\n", PIXYPROXY_PORT=port)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(received) == 1
    assert b"authorization" not in received[0].lower()


def test_users_are_managed_while_the_service_runs(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        done = pixyproxy(tmp_path, "user", "add", "älice", "--class-key", "cs101", stdin="päss: wörd und mehr \n")
        assert (done.returncode, done.stdout, done.stderr) == (0, "added älice\n", "")
        assert pixyproxy(tmp_path, "user", "add", "bob", stdin="secret of two").returncode == 0
        assert pixyproxy(tmp_path, "user", "list").stdout == "bob\t-\tstudent\nälice\tcs101\tstudent\n"
        assert works(service, "älice", "päss: wörd und mehr ")
        assert works(service, "bob", "secret of two")

        again = pixyproxy(tmp_path, "user", "add", "bob", stdin="another secret\n")
        assert (again.returncode, again.stdout) == (1, "")
        assert "'bob' already" in again.stderr
        assert works(service, "bob", "secret of two")

        assert pixyproxy(tmp_path, "user", "passwd", "bob", stdin="changed secret\r\n").returncode == 0
        assert works(service, "bob", "changed secret")
        assert not works(service, "bob", "secret of two")
        assert pixyproxy(tmp_path, "user", "remove", "bob").stdout == "removed bob\n"
        assert not works(service, "bob", "changed secret")
        refused = pixyproxy(tmp_path, "user", "add", "BOB", stdin="another secret\n")
        assert (refused.returncode, "--take-over" in refused.stderr) == (1, True), refused
        for command in (["remove", "bob"], ["passwd", "bob"]):
            missing = pixyproxy(tmp_path, "user", *command, stdin="a secret for nobody\n")
            assert (missing.returncode, "no such user" in missing.stderr) == (1, True)
        assert (
            pixyproxy(tmp_path, "user", "add", "bob", "--take-over", stdin="another secret\n").stdout == "added bob\n"
        )


def test_roles_and_pauses(tmp_path: Path) -> None:
    add = ["user", "add", "miller", "--class-key", "9a", "--role", "teacher"]
    with Service(tmp_path) as service:
        assert "There is no administrator yet. Add one with: pixyproxy user add NAME --role admin" in service.announced
        assert pixyproxy(tmp_path, *add, stdin="secret of one\n").returncode == 0
        with service.client(("miller", "secret of one")) as client:
            assert client.get("/user/me").json()["role"] == "teacher"
            assert pixyproxy(tmp_path, "user", "role", "miller", "admin").stdout == "miller is admin now\n"
            assert client.get("/user/me").json()["role"] == "admin"
            assert pixyproxy(tmp_path, "user", "pause", "miller").stdout == "paused miller\n"
            refused = client.get("/user/me")
            assert (refused.status_code, refused.json()["code"]) == (403, "account-paused")
            assert pixyproxy(tmp_path, "user", "list").stdout == "miller\t9a\tadmin\tpaused\n"
            assert pixyproxy(tmp_path, "user", "resume", "miller").stdout == "resumed miller\n"
            assert client.get("/user/me").status_code == 200
    for command in (["pause", "nobody"], ["resume", "nobody"], ["role", "nobody", "admin"]):
        missing = pixyproxy(tmp_path, "user", *command)
        assert (missing.returncode, "no such user" in missing.stderr) == (1, True)
    for command in (["role", "miller", "head"], ["add", "bob", "--role", "Admin"]):
        wrong = pixyproxy(tmp_path, "user", *command, stdin="secret of one\n")
        assert (wrong.returncode, "'student', 'teacher', 'admin'" in wrong.stderr) == (2, True)
    with Service(tmp_path) as service:
        assert "administrator" not in service.announced


def test_a_file_of_users_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "9a.csv"
    file.write_text("\ufeffuser;class_key\r\nälice;9a\r\nbob;9a\r\n", encoding="utf-8")
    with Service(tmp_path) as service:
        dry = pixyproxy(tmp_path, "user", "import", str(file), "--dry-run")
        assert (dry.returncode, dry.stdout.count("would be added")) == (0, 2), dry
        done = pixyproxy(tmp_path, "user", "import", str(file), "--keys")
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader(io.StringIO(done.stdout.removeprefix("\ufeff"))))
        assert [(row["user"], row["result"], row["class_key"]) for row in rows] == [
            ("älice", "added", "9a"),
            ("bob", "added", "9a"),
        ]
        for row in rows:
            assert works(service, row["user"], row["password"])
            assert row["key"].startswith("pxy_")
        again = pixyproxy(tmp_path, "user", "import", str(file), "--keys")
        assert (again.returncode, again.stdout.count("unchanged"), again.stdout.count("pxy_")) == (0, 2, 0)
    file.write_text("user\ncarol\na:b\n", encoding="utf-8")
    refused = pixyproxy(tmp_path, "user", "import", str(file))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "line 3.user: must be printable" in refused.stderr
    assert "carol" not in pixyproxy(tmp_path, "user", "list").stdout
    missing = pixyproxy(tmp_path, "user", "import", str(tmp_path / "none.csv"))
    assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)


def test_a_bad_name_or_password_is_refused(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "user", "add", "a:b", stdin="\n")
    assert (done.returncode, done.stdout) == (1, "")
    first, *rest = done.stderr.splitlines()
    assert first == "pixyproxy: Not valid: username, password."
    assert [line.partition(":")[0] for line in rest] == ["  username", "  password"]
    assert pixyproxy(tmp_path, "user", "list").stdout == ""


def test_a_password_that_is_short_or_common_is_refused_with_the_reason(tmp_path: Path) -> None:
    for password, reason in (("11 letters.", "at least 12 characters"), ("password1234", "guessed too easily")):
        done = pixyproxy(tmp_path, "user", "add", "alice", stdin=f"{password}\n")
        assert (done.returncode, done.stdout) == (1, "")
        assert reason in done.stderr
        assert password not in done.stderr
    shorter = {"PIXYPROXY_PASSWORD_LENGTH": "10"}
    assert pixyproxy(tmp_path, "user", "add", "alice", stdin="11 letters.\n", **shorter).returncode == 0
    done = pixyproxy(tmp_path, "user", "passwd", "alice", stdin="11 letters!\n")
    assert (done.returncode, "at least 12 characters" in done.stderr) == (1, True)


def test_a_password_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "user", "add", "alice", stdin=b"\xff\xfe and more than that\n")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_terminal_prompts_twice_without_echo(tmp_path: Path) -> None:
    twice = [("Password: ", "s3cret-words"), ("Repeat for confirmation: ", "s3cret-words")]
    status, shown = in_terminal(tmp_path, ["user", "add", "alice"], twice)
    assert (status, "added alice" in shown) == (0, True)
    assert "s3cret" not in shown
    slip = [("Password: ", "s3cret-words-1"), ("Repeat for confirmation: ", "s3cret-words-2"),
            ("Password: ", "s3cret-words-3"), ("Repeat for confirmation: ", "s3cret-words-3")]  # fmt: skip
    status, shown = in_terminal(tmp_path, ["user", "passwd", "alice"], slip)
    assert (status, "changed the password of alice" in shown) == (0, True)
    assert "s3cret" not in shown
    with Service(tmp_path) as service:
        assert works(service, "alice", "s3cret-words-3")


# --- check ----------------------------------------------------------------------------------------------------


def lines_of(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """Return `ok` or `FAILED` for each part."""
    return {line[:12].strip(): line[12:].split()[0] for line in done.stdout.splitlines()}


def test_check_prints_a_line_for_each_part(tmp_path: Path, empty_database: dict[str, str]) -> None:
    good = {"settings": "ok", "database": "ok", "blob store": "ok", "identity": "ok", "generator": "ok", "secret": "ok"}
    done = pixyproxy(tmp_path, "check")
    assert (done.returncode, lines_of(done)) == (0, good), done
    assert pixyproxy(tmp_path, "migrate", **empty_database).returncode == 0
    done = pixyproxy(tmp_path, "check", **empty_database)
    assert (done.returncode, lines_of(done)) == (0, good), done
    with FakeUpstream() as upstream:
        settings = {
            "PIXYPROXY_GENERATOR": "openai",
            "OPENAI_API_KEY": "sk-test-012345",
            "OPENAI_BASE_URL": upstream.base_url,
        }
        done = pixyproxy(tmp_path, "check", **settings)
        assert (done.returncode, lines_of(done)) == (0, good), done
        assert upstream.charges == []


def test_check_reports_the_part_that_fails(tmp_path: Path) -> None:
    good = {"settings": "ok", "database": "ok", "blob store": "ok", "generator": "ok", "secret": "ok"}
    done = pixyproxy(tmp_path, "check", PIXYPROXY_GENERATOR="wrong")
    assert (done.returncode, lines_of(done)) == (1, {"settings": "FAILED"})
    (tmp_path / "file").write_text("no folder")
    done = pixyproxy(tmp_path, "check", PIXYPROXY_IMAGES_DIR=str(tmp_path / "file"))
    assert (done.returncode, lines_of(done)) == (1, good | {"blob store": "FAILED"})
    done = pixyproxy(tmp_path, "check", PIXYPROXY_DATA_DIR=str(tmp_path / "file"))
    assert (done.returncode, lines_of(done)) == (1, good | {"database": "FAILED", "secret": "FAILED"})
    with RefusingPort() as nowhere:
        port = nowhere.rpartition(":")[2].partition("/")[0]
        database = {"PIXYPROXY_REPOSITORY": "mysql", "DB_HOST": "127.0.0.1", "DB_PORT": port, "DB_USER": "pixy"}
        openai = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-secret-012345", "OPENAI_BASE_URL": nowhere}
        done = pixyproxy(tmp_path, "check", **database, **openai, DB_PASSWORD="hush-hush")
        assert (done.returncode, lines_of(done)) == (1, good | {"database": "FAILED", "generator": "FAILED"})
        assert "sk-secret" not in done.stdout + done.stderr
        assert "hush" not in done.stdout + done.stderr
    with FakeUpstream() as upstream:
        upstream.script("401", path="/v1/models")
        done = pixyproxy(tmp_path, "check", **(openai | {"OPENAI_BASE_URL": upstream.base_url}))
        assert (done.returncode, lines_of(done)) == (1, good | {"identity": "ok", "generator": "FAILED"})


def test_an_older_schema_fails_the_check_with_the_command_to_run(mysql_server: MySQLSettings, tmp_path: Path) -> None:
    with fresh_database(mysql_server, migrated=False) as database:
        done = pixyproxy(tmp_path, "check", PIXYPROXY_REPOSITORY="mysql", **database.environment())
    assert (done.returncode, lines_of(done)["database"]) == (1, "FAILED")
    assert "run `pixyproxy migrate`" in done.stdout
