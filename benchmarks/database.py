"""A MySQL or MariaDB database for one run, on the server of the tests."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql


class NoServerError(Exception):
    """No MySQL server can be reached; the message names its address."""


@contextmanager
def mysql_database() -> Iterator[dict[str, str]]:
    """Create an empty database and drop it at the end; yield the service's settings for it. Raises NoServerError."""
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
