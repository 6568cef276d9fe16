"""`python -m benchmarks.capacity`: bytes that an image takes in the database, by table, and in files."""

import argparse
import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pixyproxy.adapters.mysql.migrations import migrate as migrate_mysql
from pixyproxy.adapters.sqlite.migrations import migrate as migrate_sqlite
from tests.fixtures.sql.many_images import Rows, chunks, fill_mysql, fill_sqlite
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database

_COLUMNS = "guid, caller, class_key, model, reserved_at, reserved, cost, state, tokens_in, tokens_out"
_SIZES = """SELECT table_name, data_length + index_length FROM information_schema.tables
    WHERE table_schema = %s AND table_name IN ('images', 'image_postings', 'charges')"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description="Bytes of an image.")
    parser.add_argument("--images", type=int, default=50_000, help="number of images")
    count = parser.parse_args().images
    console = Console(width=120)
    with console.status("filling"):
        found = {"SQLite": _sqlite(count), "MariaDB": _mariadb(count)}
    shown = Table("bytes of an image in", *found, title=f"{count:,} images")
    for name in ("images", "image_postings", "charges", "all"):
        shown.add_row(name, *(f"{sizes[name] / count:,.0f}" if name in sizes else "" for sizes in found.values()))
    console.print(shown)


def _charges(made: Rows) -> Iterator[tuple[Any, ...]]:
    for row in made.images:
        at = datetime(2026, 11, 1, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        yield row[1], f"user {row[6]}", "class 1", "gpt-image-2", at, 40_000, 31_740, "priced", 12, 1056


def _sqlite(count: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="pixyproxy-bench-") as name:
        path = Path(name, "pixyproxy.sqlite3")
        asyncio.run(migrate_sqlite(path))
        empty = path.stat().st_size
        for made in chunks(count):
            fill_sqlite(path, made)
            with closing(sqlite3.connect(path)) as connection, connection:
                marks = ", ".join("?" * 10)
                connection.executemany(f"INSERT INTO charges ({_COLUMNS}) VALUES ({marks})", _charges(made))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return {"all": path.stat().st_size - empty}


def _mariadb(count: int) -> dict[str, int]:
    with PrivateMariaDB() as server, fresh_database(server.settings, migrated=False) as settings:
        asyncio.run(migrate_mysql(settings.database().server))
        for made in chunks(count):
            fill_mysql(settings, made)
            _fill_charges(settings, made)
        settings.query("ANALYZE TABLE images, image_postings, charges")
        sizes = {str(name): int(size) for name, size in settings.query(_SIZES, settings.name)}
        return sizes | {"all": sum(sizes.values())}


def _fill_charges(settings: MySQLSettings, made: Rows) -> None:
    with closing(settings.connect()) as connection, connection.cursor() as cursor:
        connection.begin()
        marks = ", ".join(["%s"] * 10)
        cursor.executemany(f"INSERT INTO charges ({_COLUMNS}) VALUES ({marks})", _charges(made))
        connection.commit()


if __name__ == "__main__":
    main()
