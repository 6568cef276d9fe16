"""Opens connections to MySQL or MariaDB, with or without TLS, and sets up their sessions."""

import os
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import conversions

from pixyproxy.adapters.mysql.error_translation import translate
from pixyproxy.adapters.mysql.sockets import CONNECT_SECONDS, TLSCapable, TLSOverSockets, connect_patiently
from pixyproxy.domain.errors import DBConnectionError

_ANSWER_SECONDS = 4
_LOCK_SECONDS = 2
"""So short that a second try after a lock timeout still fits into a caller's patience."""

# Times are read as text: the mapping is the same as for SQLite, and quicker than the driver's.
_CONVERSIONS = {k: v for k, v in conversions.items() if k not in {FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP}}

_SESSION = (
    "SET time_zone = '+00:00', "
    "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION', "
    f"innodb_lock_wait_timeout = {_LOCK_SECONDS}, lock_wait_timeout = {_LOCK_SECONDS}, "
    # Two indexes intersected lose the order that either has, and all that matches is read and sorted for one page.
    "optimizer_switch = 'index_merge_intersection=off'"
)


OpenSocket = Callable[[str, int, float], TLSCapable]
"""Connects to a host and port; the socket waits so many seconds for any one answer."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is and how to log in; `ssl_ca` is the path of a CA file, None for no verified TLS."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    ssl_ca: str | None = None

    @property
    def needs_blocking_sockets(self) -> bool:
        """Whether only Python's own sockets will do: for TLS with DB_SSL_CA, and where loops cannot watch sockets."""
        return self.ssl_ca is not None or os.name != "posix"

    def connect(
        self,
        *,
        to_database: bool = True,
        answer_seconds: float = _ANSWER_SECONDS,
        open_socket: OpenSocket = connect_patiently,
    ) -> "Connection[Any]":
        """A new connection that commits by itself between transactions.

        `answer_seconds` is how long it waits for any one answer. `open_socket` is used unless only Python's own sockets
        will do. Raises pymysql.MySQLError, or
        DBConnectionError where nothing that could be MySQL answers or the CA file cannot be read.
        """
        tls = self._tls()
        patient = not self.needs_blocking_sockets
        try:
            connection = pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password.encode(),  # the driver would encode text as Latin-1
                database=self.name if to_database else None,
                charset="utf8mb4",
                collation="utf8mb4_bin",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=None if patient else answer_seconds,
                write_timeout=None if patient else answer_seconds,
                autocommit=True,
                # Several statements in one packet: `MySQLSession` says which. Every value in them is escaped.
                client_flag=CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS,
                conv=_CONVERSIONS,
                ssl=tls,
                init_command=_SESSION,
                defer_connect=True,
            )
            driver: Any = connection  # of whose types this is no part
            if patient:
                # Unasked the driver takes TLS, unverified, from a server that offers it.
                driver.ctx = TLSOverSockets(driver.ctx)
            driver.connect(open_socket(self.host, self.port, answer_seconds) if patient else None)
        except (LookupError, ValueError, AssertionError, struct.error) as error:
            # The driver stumbles in these ways over the greeting of another kind of server.
            message = "What answers is no MySQL or MariaDB server: check DB_HOST and DB_PORT."
            raise DBConnectionError(message) from error
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                # What the client no longer waits for the server should not go on computing.
                cursor.execute("SELECT VERSION()")
                if "MariaDB" in str(cursor.fetchone()):
                    # No image is looked up twice in a statement: to remember the results takes as long as to find them.
                    switch = "optimizer_switch = 'subquery_cache=off'"
                    cursor.execute(f"SET max_statement_time = {answer_seconds}, {switch}")
                else:
                    cursor.execute(f"SET max_execution_time = {int(answer_seconds * 1000)}")
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
            raise DBConnectionError("The file that DB_SSL_CA names cannot be read as CA certificates.") from error
        # MySQL makes itself certificates that lack extensions which Python 3.13 insists on.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


class ServerLink:
    """One thread's connection to the server: opened when needed, dropped when broken, then opened anew."""

    def __init__(self, server: Server, open_socket: OpenSocket = connect_patiently) -> None:
        self._server = server
        self._open_socket = open_socket
        self._connection: Connection[Any] | None = None

    def connection(self) -> "Connection[Any]":
        """The open connection; raises DBConnectionError if none can be had."""
        if self._connection is None:
            try:
                self._connection = self._server.connect(open_socket=self._open_socket)
            except pymysql.MySQLError as error:
                raise translate(error) from error
        return self._connection

    def close(self) -> None:
        """Close the connection if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
