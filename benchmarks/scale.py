"""`python -m benchmarks.scale`: times pages of searches among ten thousand images and among a million."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.ports.image_repository import ImageRepository
from tests.fixtures.sql.many_images import CHUNK, Rows, chunks, fill_mysql, fill_sqlite
from tests.fixtures.sql.mysql_servers import PrivateMariaDB, fresh_database
from tests.fixtures.sql.search_queries import search_queries

BUFFER_POOL = "1G"
ROUNDS = 60
MOST_GROWTH = 2
"""The aim: a page takes at most so many times as long among the most images as among the fewest, …"""
MOST_MS = 10
"""… or at most so many milliseconds."""

Advance = Callable[[int], None]
"""Moves a progress bar on."""


@dataclass
class FilledDatabase:
    """A database with a number of images."""

    kind: str
    size: int
    repository: ImageRepository
    fill: Callable[[Rows], None]


@dataclass
class Measurement:
    """The times of one kind of query in milliseconds and the last page found, by number of images."""

    query: str
    times: dict[int, list[float]] = field(default_factory=dict)
    pages: dict[int, Page] = field(default_factory=dict)

    def median(self, size: int) -> float:
        """Return the median time."""
        return statistics.median(self.times[size])

    def p99(self, size: int) -> float:
        """Return the 99th percentile of the times."""
        return statistics.quantiles(self.times[size], n=100, method="inclusive")[98]

    def found(self, size: int) -> str:
        """Return the number of images on the page, with a mark if it is short although the search goes on."""
        page = self.pages[size]
        return f"{len(page.items)}{' …' if page.next_before_id and len(page.items) < 50 else ''}"

    @property
    def growth(self) -> float:
        """The median among the most images divided by the median among the fewest."""
        return self.median(max(self.times)) / self.median(min(self.times))

    @property
    def is_flat(self) -> bool:
        """True if the aim is met."""
        return self.growth <= MOST_GROWTH or self.median(max(self.times)) <= MOST_MS


@contextmanager
def sqlite_databases(sizes: Sequence[int]) -> Iterator[list[FilledDatabase]]:
    """Provide an SQLite file for each size."""
    with tempfile.TemporaryDirectory(prefix="pixyproxy-scale-") as folder:
        databases = []
        for size in sizes:
            path = Path(folder, f"{size}.sqlite3")
            asyncio.run(migrate(path))
            repository = SQLImageRepository(SQLiteDatabase(path))
            databases.append(FilledDatabase("SQLite", size, repository, partial(fill_sqlite, path)))
        yield databases


@contextmanager
def mysql_databases(sizes: Sequence[int]) -> Iterator[list[FilledDatabase]]:
    """Provide a database for each size on a MariaDB server of its own."""
    server = PrivateMariaDB(
        f"--innodb-buffer-pool-size={BUFFER_POOL}",
        "--innodb-log-file-size=512M",
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-log-bin",
    )
    with server, ExitStack() as stack:
        databases = []
        for size in sizes:
            settings = stack.enter_context(fresh_database(server.settings))
            repository = SQLImageRepository(settings.database())
            databases.append(FilledDatabase("MariaDB", size, repository, partial(fill_mysql, settings)))
        yield databases


def fill(databases: Sequence[FilledDatabase], advance: Advance) -> None:
    """Write the images: a smaller database has the first images of a larger one."""
    for rows in chunks(max(database.size for database in databases)):
        first = rows.images[0][0]
        for database in databases:
            if database.size >= first:
                part = rows.up_to(database.size)
                database.fill(part)
                advance(len(part.images))


async def measure(databases: Sequence[FilledDatabase], rounds: int, advance: Advance) -> dict[str, list[Measurement]]:
    """Search in all databases in turns, so that other load on the machine slows down all of them alike."""
    queries = {database.size: search_queries(database.size) for database in databases}
    found: dict[str, list[Measurement]] = {database.kind: [] for database in databases}
    for database in databases:
        await database.repository.open()
    for query in search_queries(CHUNK):
        measured = {name: Measurement(query) for name in found}
        for turn in range(rounds + 1):
            for database in databases:
                took, page = await _search(database, queries[database.size][query])
                if turn:  # the first turn fills the caches
                    measured[database.kind].times.setdefault(database.size, []).append(took)
                    measured[database.kind].pages[database.size] = page
        for name, result in measured.items():
            found[name].append(result)
        advance(1)
    for database in databases:
        await database.repository.close()
    return found


async def _search(database: FilledDatabase, query: ImageQuery) -> tuple[float, Page]:
    start = time.perf_counter()
    page = await database.repository.search(query)
    return (time.perf_counter() - start) * 1000, page


def scale_table(kind: str, sizes: Sequence[int], measured: Sequence[Measurement]) -> Table:
    """Return a table with a row for each kind of query: times, what a page held, the growth and the aim."""
    result = Table(title=f"{kind}: a page of 50, median / p99 in ms, and how many it held", title_justify="left")
    result.add_column("")
    for size in sizes:
        result.add_column(f"{size:,}", justify="right")
        result.add_column("", justify="right")
    result.add_column("growth", justify="right")
    result.add_column(f"≤ {MOST_GROWTH} or ≤ {MOST_MS} ms")
    for row in measured:
        cells = []
        for size in sizes:
            cells += [f"{row.median(size):.2f} / {row.p99(size):.2f}", row.found(size)]
        aim = "[green]met[/green]" if row.is_flat else "[red]not met[/red]"
        result.add_row(row.query, *cells, f"{row.growth:.2f}", aim)
    return result


def main() -> None:
    """Fill the databases, measure, print the tables and remove everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="numbers of images, comma-separated")
    parser.add_argument("--database", default="sqlite,mysql", help="sqlite, mysql, or both, comma-separated")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="pages of each kind of query")
    arguments = parser.parse_args()
    sizes = sorted(int(size) for size in arguments.sizes.split(","))
    kinds = {"sqlite": sqlite_databases, "mysql": mysql_databases}
    chosen = arguments.database.split(",")
    if unknown := set(chosen) - set(kinds):
        parser.error(f"there is no database {', '.join(sorted(unknown))}")
    console = Console() if sys.stdout.isatty() else Console(width=140)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        databases: list[FilledDatabase] = []
        for name in chosen:
            try:
                databases += stack.enter_context(kinds[name](sizes))
            except pytest.skip.Exception as reason:
                console.print(f"[red]not measured:[/red] {name}: {reason}")
        if not databases:
            return
        progress = stack.enter_context(Progress(*columns, console=console))
        filling = progress.add_task("images", total=sum(database.size for database in databases))
        fill(databases, lambda count: progress.advance(filling, count))
        searching = progress.add_task("kinds of queries", total=len(search_queries(CHUNK)))
        found = asyncio.run(measure(databases, arguments.rounds, lambda count: progress.advance(searching, count)))
    for kind, measured in found.items():
        console.print(scale_table(kind, sizes, measured))


if __name__ == "__main__":
    main()
