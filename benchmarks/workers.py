"""Two and three workers against one: details by GUID, and generations of an upstream that answers at once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from benchmarks.compare import Report, Row, in_turns, ratio
from benchmarks.database import NoServerError, mysql_database
from benchmarks.fill import add_images, prompt
from benchmarks.load import LoadGenerator, get, post
from benchmarks.plan import Bench
from benchmarks.services import command, service

_WORKERS = (1, 2, 3)
_CLIENTS = 32
_IMAGES = 64
_GENERATIONS = {"30 kB": 30_000, "1.5 MB": 1_500_000}


def steps(bench: Bench) -> int:
    """Return how many steps of progress `measure` reports at most."""
    return bench.plan.rounds * (1 + len(_GENERATIONS)) * 2 * len(_WORKERS)


def measure(bench: Bench, upstream_url: str) -> list[Report]:
    """Measure requests per second on each database, in turns."""
    rows = []
    with LoadGenerator() as load, _databases(bench) as databases:
        for name, database in databases.items():
            with _services(bench, name, database, upstream_url) as urls:
                guids = add_images(urls[0], _IMAGES, 3000)
                details = [("details", get(f"/image/{guid}")) for guid in guids]
                rows += _compare(bench, load, f"details, {name}", urls, details)
                for size_name, size in _GENERATIONS.items():
                    posts = [("generations", post("/image", prompt(number, size))) for number in range(1000)]
                    rows += _compare(bench, load, f"generations {size_name}, {name}", urls, posts)
    return [Report(f"Workers, {_CLIENTS} clients", "requests/s", "one worker", rows)]


def _compare(
    bench: Bench, load: LoadGenerator, what: str, urls: list[str], requests: list[tuple[str, str]]
) -> list[Row]:
    bench.tell(f"workers: {what}")
    samples = [
        lambda url=url: load.run(url, requests, connections=_CLIENTS, seconds=bench.plan.sample_s).rate for url in urls
    ]
    one, *more = in_turns(samples, bench.plan.rounds, bench.on_step)
    return [
        Row(f"{what}, {count} workers", median(rates), median(one), ratio(rates, one))
        for count, rates in zip(_WORKERS[1:], more, strict=True)
    ]


@contextmanager
def _databases(bench: Bench) -> Iterator[dict[str, dict[str, str]]]:
    databases = {"SQLite": {"PIXYPROXY_REPOSITORY": "sqlite"}}
    with ExitStack() as stack:
        try:
            databases["MySQL"] = stack.enter_context(mysql_database())
        except NoServerError as error:
            bench.note(f"MySQL is left out: {error}")
        yield databases


@contextmanager
def _services(bench: Bench, name: str, database: dict[str, str], upstream_url: str) -> Iterator[list[str]]:
    """Start a service for each number of workers, on the same database and folder; yield their addresses."""
    home = bench.folder / f"workers-{name}"
    home.mkdir()
    settings = database | {
        "PIXYPROXY_GENERATOR": "openai",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": upstream_url,
    }
    command(home, "migrate", **settings)
    with ExitStack() as stack:
        yield [stack.enter_context(service(home, **settings, PIXYPROXY_WORKERS=str(count))) for count in _WORKERS]
