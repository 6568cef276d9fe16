"""`python -m benchmarks.scale`: how long a page of a search takes among ten thousand images and among a million."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.report import scale_table
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.ports.image_repository import ImageRepository
from tests.fixtures.sql.many_images import CHUNK, Rows, chunks, fill_mysql, fill_sqlite
from tests.fixtures.sql.mysql_servers import PrivateMariaDB, fresh_database
from tests.fixtures.sql.search_shapes import shapes

BUFFER_POOL = "1G"
ROUNDS = 60

Tell = Callable[[int], None]


@dataclass
class Place:
    """A database with so many images."""

    database: str
    size: int
    repository: ImageRepository
    fill: Callable[[Rows], None]


@dataclass
class Measured:
    """The times of one kind of query on one database, in ms by size, and the page that was found."""

    shape: str
    times: dict[int, list[float]] = field(default_factory=dict)
    pages: dict[int, Page] = field(default_factory=dict)

    def median(self, size: int) -> float:
        """The time of half of the pages."""
        return statistics.median(self.times[size])

    def p99(self, size: int) -> float:
        """The time of all but one of a hundred pages."""
        return statistics.quantiles(self.times[size], n=100, method="inclusive")[98]

    def found(self, size: int) -> str:
        """How many images the page has, and whether it is short although the search goes on."""
        page = self.pages[size]
        return f"{len(page.items)}{' …' if page.next_cursor and len(page.items) < 50 else ''}"

    @property
    def growth(self) -> float:
        """The median of the largest by that of the smallest."""
        return self.median(max(self.times)) / self.median(min(self.times))

    @property
    def is_flat(self) -> bool:
        """Whether it takes at most twice as long, or less than 5 ms."""
        return self.growth <= 2 or self.median(max(self.times)) < 5


@contextmanager
def sqlite_places(sizes: Sequence[int]) -> Iterator[list[Place]]:
    """A file for each size."""
    with tempfile.TemporaryDirectory(prefix="pixyproxy-scale-") as folder:
        places = []
        for size in sizes:
            path = Path(folder, f"{size}.sqlite3")
            asyncio.run(migrate(path))
            repository = SQLiteImageRepository(SQLiteDatabase(path))
            places.append(Place("SQLite", size, repository, lambda rows, path=path: fill_sqlite(path, rows)))
        yield places


@contextmanager
def mysql_places(sizes: Sequence[int]) -> Iterator[list[Place]]:
    """A database for each size, on a MariaDB server for the time of the run."""
    server = PrivateMariaDB(
        f"--innodb-buffer-pool-size={BUFFER_POOL}",
        "--innodb-log-file-size=512M",
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-log-bin",
    )
    with server, ExitStack() as stack:
        places = []
        for size in sizes:
            settings = stack.enter_context(fresh_database(server.settings))
            repository = MySQLImageRepository(settings.database())
            places.append(
                Place("MariaDB", size, repository, lambda rows, settings=settings: fill_mysql(settings, rows))
            )
        yield places


def fill(places: Sequence[Place], tell: Tell) -> None:
    """Write the images, which are made once for all sizes: those of a smaller one are the first of a larger."""
    for rows in chunks(max(place.size for place in places)):
        first = rows.images[0][0]
        for place in places:
            if place.size >= first:
                part = rows.up_to(place.size)
                place.fill(part)
                tell(len(part.images))


async def measure(places: Sequence[Place], rounds: int, tell: Tell) -> dict[str, list[Measured]]:
    """Search by turns in all databases, so that what else the machine does touches all of them."""
    queries = {place.size: shapes(place.size) for place in places}
    found: dict[str, list[Measured]] = {place.database: [] for place in places}
    for place in places:
        await place.repository.open()
    for shape in next(iter(queries.values())):
        measured = {name: Measured(shape) for name in found}
        for turn in range(rounds + 1):
            for place in places:
                took, page = await _search(place, queries[place.size][shape])
                if turn:  # the first fills the caches
                    measured[place.database].times.setdefault(place.size, []).append(took)
                    measured[place.database].pages[place.size] = page
        for name, result in measured.items():
            found[name].append(result)
        tell(1)
    for place in places:
        await place.repository.close()
    return found


async def _search(place: Place, query: ImageQuery) -> tuple[float, Page]:
    start = time.perf_counter()
    page = await place.repository.search(query)
    return (time.perf_counter() - start) * 1000, page


def main() -> None:
    """Fill, measure and print; everything is removed at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="numbers of images, comma-separated")
    parser.add_argument("--database", default="sqlite,mysql", help="sqlite, mysql, or both, comma-separated")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pages of each kind, {ROUNDS} if left out")
    arguments = parser.parse_args()
    sizes = sorted(int(size) for size in arguments.sizes.split(","))
    kinds = {"sqlite": sqlite_places, "mysql": mysql_places}
    chosen = arguments.database.split(",")
    if unknown := set(chosen) - set(kinds):
        parser.error(f"there is no database {', '.join(sorted(unknown))}")
    console = Console() if sys.stdout.isatty() else Console(width=140)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        places: list[Place] = []
        for name in chosen:
            try:
                places += stack.enter_context(kinds[name](sizes))
            except pytest.skip.Exception as reason:
                console.print(f"[red]not measured:[/red] {name}: {reason}")
        if not places:
            return
        progress = stack.enter_context(Progress(*columns, console=console))
        filling = progress.add_task("images", total=sum(place.size for place in places))
        fill(places, lambda count: progress.advance(filling, count))
        searching = progress.add_task("kinds of queries", total=len(shapes(CHUNK)))
        found = asyncio.run(measure(places, arguments.rounds, lambda count: progress.advance(searching, count)))
    for database, measured in found.items():
        console.print(scale_table(database, sizes, measured))


if __name__ == "__main__":
    main()
