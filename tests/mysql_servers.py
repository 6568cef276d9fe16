"""MySQL for tests: fresh databases on the server that TEST_DB_* names, and MariaDB servers of a test's own."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pymysql
import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.migrations import migrate

T = TypeVar("T")


@dataclass(frozen=True)
class MySQLSettings:
    """A database on a server, and how to log in; `name` is empty where no database is meant."""

    host: str
    port: int
    user: str
    password: str
    name: str = ""

    def database(self, **options: Any) -> MySQLDatabase:
        return MySQLDatabase(self.host, self.port, self.user, self.password, self.name, **options)

    def environment(self) -> dict[str, str]:
        """The settings of a pixyproxy process that is to use this database."""
        return {
            "DB_HOST": self.host,
            "DB_PORT": str(self.port),
            "DB_USER": self.user,
            "DB_PASSWORD": self.password,
            "DB_NAME": self.name,
        }

    def connect(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=self.name or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=3,
        )

    def query(self, sql: str, *parameters: Any) -> tuple[tuple[Any, ...], ...]:
        """Run one statement on a connection of its own, past every adapter, and return its rows."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall()
        finally:
            connection.close()

    def connections(self) -> int:
        """How many connections to the database are open."""
        server = replace(self, name="")
        return server.query("SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s", self.name)[0][0]


def missing(reason: str) -> None:
    """Skip the test, or fail it where MySQL is required."""
    if os.environ.get("PIXYPROXY_REQUIRE_MYSQL") == "1":
        pytest.fail(f"PIXYPROXY_REQUIRE_MYSQL=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def shared_server() -> MySQLSettings:
    """The server that TEST_DB_HOST, _PORT, _USER and _PASSWORD name; skips or fails where none answers."""
    server = MySQLSettings(
        os.environ.get("TEST_DB_HOST", "127.0.0.1"),
        int(os.environ.get("TEST_DB_PORT", "3306")),
        os.environ.get("TEST_DB_USER", "root"),
        os.environ.get("TEST_DB_PASSWORD", ""),
    )
    try:
        server.query("SELECT 1")
    except pymysql.MySQLError as error:
        missing(f"no MySQL server answers at {server.host}:{server.port} (see TEST_DB_HOST): {error}")
    return server


@contextmanager
def fresh_database(server: MySQLSettings, *, migrated: bool = True) -> Iterator[MySQLSettings]:
    """A new database on the server, dropped at the end whatever happens."""
    settings = replace(server, name=f"pixyproxy_test_{os.getpid()}_{uuid.uuid4().hex[:8]}")
    try:
        if migrated:
            in_thread(lambda: migrate(settings.database()))
        else:
            server.query(f"CREATE DATABASE {settings.name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        yield settings
    finally:
        server.query(f"DROP DATABASE IF EXISTS {settings.name}")


def in_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of a coroutine run on an event loop in a thread of its own, for fixtures that are not async."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(work())).result()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PrivateMariaDB:
    """A MariaDB server in a folder of its own, that a test may stop, kill and start again; root has no password."""

    def __init__(self, *options: str) -> None:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
        self._binary = shutil.which("mariadbd", path=path)
        installer = shutil.which("mariadb-install-db", path=path)
        if self._binary is None or installer is None:
            missing("no MariaDB server is installed here (mariadbd, mariadb-install-db)")
        self._folder = Path(tempfile.mkdtemp(prefix="pixyproxy-mariadb-"))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.settings = MySQLSettings("127.0.0.1", free_port(), "root", "")
        self._user = ["--user=root"] if os.geteuid() == 0 else []
        try:
            command = [str(installer), "--no-defaults", f"--datadir={self._folder}/data", "--skip-test-db"]
            command += ["--auth-root-authentication-method=normal", *self._user]
            subprocess.run(command, check=True, capture_output=True)
        except BaseException:
            shutil.rmtree(self._folder)
            raise

    def __enter__(self) -> "PrivateMariaDB":
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [str(self._binary), "--no-defaults", f"--datadir={self._folder}/data", *self._user]
        command += [f"--port={self.settings.port}", "--bind-address=127.0.0.1", f"--socket={self._folder}/socket"]
        command += [f"--pid-file={self._folder}/pid", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"]
        with Path(self._folder, "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)
        end = time.monotonic() + 60
        while True:
            try:
                self.settings.query("SELECT 1")
            except pymysql.MySQLError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(Path(self._folder, "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Shut the server down in good order and wait for its end."""
        self._end(lambda process: process.terminate())

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self._end(lambda process: process.kill())

    def restart(self) -> None:
        self.stop()
        self.start()

    def remove(self) -> None:
        """End the server and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, signal: Callable[["subprocess.Popen[bytes]"], None]) -> None:
        process, self._process = self._process, None
        if process is not None:
            signal(process)
            process.wait(60)
