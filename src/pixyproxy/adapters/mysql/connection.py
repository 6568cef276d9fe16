"""Opens connections to MySQL or MariaDB, with or without TLS, and sets up their sessions."""

import math
import ssl
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import conversions
from pymysql.cursors import Cursor

from pixyproxy.adapters.mysql.error_translation import PRIVILEGE_DENIED, code_of, translate
from pixyproxy.domain.errors import DBRefusedError

CONNECT_SECONDS = 3
"""Time limit for connecting to one address of the server."""
_RESPONSE_SECONDS = 4
_READ_ONLY_SECONDS = 1
"""Time after which a connection to a server that takes no writes is replaced: the next may lead to another server."""
_LOCK_SECONDS = 2
"""Time limit for a lock, so short that a second attempt still meets a caller's deadline."""

_VARIABLES = ("log_bin", "binlog_format", "max_statement_time", "max_execution_time", "optimizer_switch")
_FORMAT_IS_FIXED = {1193, 1238, 1290}  # there is no such variable, it cannot be set, the server's options forbid it
IS_READ_ONLY = "SELECT @@global.read_only, @@global.innodb_read_only"

# Times are read as text: the mapping is the same as for SQLite, and faster than the driver's.
_CONVERSIONS = {k: v for k, v in conversions.items() if k not in {FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP}}

_SESSION = (
    "SET time_zone = '+00:00', "
    "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION', "
    # A server may have other defaults for all of these.
    "sql_safe_updates = 0, sql_big_selects = 1, sql_select_limit = 18446744073709551615, completion_type = 0, "
    "foreign_key_checks = 1, unique_checks = 1, "
    f"innodb_lock_wait_timeout = {_LOCK_SECONDS}, lock_wait_timeout = {_LOCK_SECONDS}, "
    # Intersecting two indexes loses their order: all matches would be read and sorted for one page.
    "optimizer_switch = 'index_merge_intersection=off'"
)


class _LightConnection(Connection):
    """A connection that loads the system's certificates, which takes longer than a login, only to verify with them."""

    def _create_ssl_ctx(self, options: Any) -> ssl.SSLContext:
        if options:
            context: ssl.SSLContext = super()._create_ssl_ctx(options)  # type: ignore[misc]
            return context
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Server:
    """The address of the database and its account; `ssl_ca` is the path of a CA file, None for no verified TLS."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    ssl_ca: str | None = None

    def connect(self, *, to_database: bool = True, response_seconds: float = _RESPONSE_SECONDS) -> "Connection[Any]":
        """Return a new connection in autocommit mode, which waits `response_seconds` for any one response.

        Raises:
            pymysql.MySQLError: The server cannot be reached or refuses the login.
            DBRefusedError: The response is not MySQL's, or the CA file cannot be read.
        """
        tls = self._tls()
        try:
            connection = _LightConnection(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password.encode(),  # the driver would encode text as Latin-1
                database=self.name if to_database else None,
                charset="utf8mb4",
                collation="utf8mb4_bin",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=response_seconds,
                write_timeout=response_seconds,
                autocommit=True,
                # `MySQLSession` sends several statements in one packet; every value in them is escaped.
                client_flag=CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS,
                conv=_CONVERSIONS,
                ssl=tls,
                init_command=_SESSION,
            )
        except (LookupError, ValueError, AssertionError, struct.error) as error:
            # The driver fails in these ways on the greeting of another kind of server.
            message = "The server that answers is not MySQL or MariaDB: check DB_HOST and DB_PORT."
            raise DBRefusedError(message) from error
        try:
            with connection.cursor() as cursor:
                _set_up(cursor, response_seconds)
        except BaseException:
            connection.close()
            raise
        return connection

    def _tls(self) -> ssl.SSLContext | None:
        if self.ssl_ca is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ssl_ca)
        except (OSError, ValueError) as error:
            raise DBRefusedError("The file that DB_SSL_CA names cannot be read as CA certificates.") from error
        # Certificates that MySQL generates lack extensions which Python 3.13 requires.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def _set_up(cursor: Cursor, response_seconds: float) -> None:
    """Set what depends on the server, which its variables tell; the version that it reports can be set to anything."""
    cursor.execute(f"SHOW VARIABLES WHERE Variable_name IN ({', '.join(map(repr, _VARIABLES))})")
    variables = dict(cursor.fetchall())
    isolation = "READ COMMITTED"
    if variables.get("log_bin") == "ON" and variables.get("binlog_format") == "STATEMENT":
        try:
            cursor.execute("SET SESSION binlog_format = 'ROW'")
        except pymysql.MySQLError as error:
            if code_of(error) not in {PRIVILEGE_DENIED, *_FORMAT_IS_FIXED}:
                raise
            # InnoDB logs statements at this level and above only. More locks are held, and more writes repeated.
            isolation = "REPEATABLE READ"
    cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
    # The server should stop a statement when the client no longer waits for it.
    if "max_statement_time" in variables:
        cursor.execute(f"SET max_statement_time = {response_seconds}")
    elif "max_execution_time" in variables:
        cursor.execute(f"SET max_execution_time = {int(response_seconds * 1000)}")
    if "subquery_cache=on" in variables.get("optimizer_switch", ""):
        # No image is looked up twice in a statement: caching the results takes as long as finding them.
        cursor.execute("SET optimizer_switch = 'subquery_cache=off'")


def is_read_only(values: Sequence[object]) -> bool:
    """Return whether the values of `IS_READ_ONLY` say that the server takes no writes."""
    return any(str(value).upper() not in {"0", "OFF"} for value in values)


class Era:
    """The time during which one server takes the writes; all connections of a pool share it."""

    def __init__(self) -> None:
        self.number = 0


class ServerConnection:
    """A thread's connection to the server: opened when needed, and again after it was lost or in a new era."""

    def __init__(self, server: Server, era: Era) -> None:
        self._server = server
        self._connection: Connection[Any] | None = None
        self._common_era = era
        self._era = era.number
        self._until = math.inf

    def get(self) -> "Connection[Any]":
        """Return the open connection.

        Raises:
            DBConnectionError: The server does not take one.
        """
        if self._era != self._common_era.number or time.monotonic() > self._until:
            self.close()
        if self._connection is None:
            self._era, self._until = self._common_era.number, math.inf
            try:
                self._connection = self._server.connect()
                with self._connection.cursor() as cursor:
                    cursor.execute(IS_READ_ONLY)
                    if is_read_only(cursor.fetchone() or ()):
                        self._until = time.monotonic() + _READ_ONLY_SECONDS
            except pymysql.MySQLError as error:
                self.close()
                raise translate(error) from error
        return self._connection

    def end_era(self) -> None:
        """Close this connection now, and those of the other threads before their next use.

        Another server may take the writes now, and reads of the old one would be stale.
        """
        if self._era == self._common_era.number:
            self._common_era.number += 1
        self.close()

    def close(self) -> None:
        """Close the connection if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
