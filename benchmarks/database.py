"""A MySQL or MariaDB database for the time of a run; the server is that of the tests."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql


class NoServerError(Exception):
    """There is no MySQL server to measure on; the message says where one was looked for."""


@contextmanager
def mysql_database() -> Iterator[dict[str, str]]:
    """A new, empty database, dropped at the end; yields the service's settings for it. Raises NoServerError."""
    host = os.environ.get("TEST_DB_HOST", "127.0.0.1")
    port = int(os.environ.get("TEST_DB_PORT", "3306"))
    user = os.environ.get("TEST_DB_USER", "root")
    password = os.environ.get("TEST_DB_PASSWORD", "")
    name = f"pixyproxy_bench_{secrets.token_hex(4)}"
    try:
        connection = pymysql.connect(host=host, port=port, user=user, password=password, connect_timeout=3)
    except pymysql.MySQLError as error:
        raise NoServerError(
            f"no MySQL server answers at {host}:{port} (TEST_DB_HOST, TEST_DB_PORT): {error}"
        ) from error
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
            try:
                yield {
                    "PIXYPROXY_REPOSITORY": "mysql",
                    "DB_HOST": host,
                    "DB_PORT": str(port),
                    "DB_USER": user,
                    "DB_PASSWORD": password,
                    "DB_NAME": name,
                }
            finally:
                connection.ping(reconnect=True)
                cursor.execute(f"DROP DATABASE `{name}`")
    finally:
        connection.close()
