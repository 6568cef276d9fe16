"""Details by GUID on SQLite and MySQL, against the same route without a database and a bare application."""

import base64
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks.compare import Report, Row, in_turns, ratio
from benchmarks.database import NoServerError, mysql_database
from benchmarks.fill import add_images
from benchmarks.load import LoadGenerator, get
from benchmarks.plan import Bench
from benchmarks.services import bare_application, command, service, service_without_database

CLIENTS = (1, 32)
_IMAGES = 64
_USER, _PASSWORD = "bench", "a password of the benchmark"
_NO_DATABASE, _BARE = "no database", "a bare application"
_AIM, _AIM_WITH_LOGIN = 0.65, 0.55


@dataclass(frozen=True, slots=True)
class _Variant:
    database: str
    login: bool
    url: str
    requests: list[tuple[str, str]]

    @property
    def name(self) -> str:
        return f"{self.database} with a login" if self.login else self.database


def steps(bench: Bench) -> int:
    """Return how many steps of progress `measure` reports at most."""
    return bench.plan.rounds * len(CLIENTS) * 7


def measure(bench: Bench, upstream_url: str) -> list[Report]:
    """Measure requests per second of each variant in turns."""
    same_route, bare_route = [], []
    with LoadGenerator() as load, bare_application(bench.folder) as bare, _variants(bench, upstream_url) as variants:
        sides = [_Variant(_BARE, False, bare, [("bare", get("/"))]), *variants]
        for clients in CLIENTS:
            bench.tell(f"details by guid, {clients} clients")
            samples = [
                lambda side=side, clients=clients: (
                    load.run(side.url, side.requests, connections=clients, seconds=bench.plan.sample_s).rate
                )
                for side in sides
            ]
            found = dict(
                zip([side.name for side in sides], in_turns(samples, bench.plan.rounds, bench.on_step), strict=True)
            )
            for variant in variants:
                rates, what = found[variant.name], f"{variant.name}, {_count(clients)}"
                has_aim = variant.database == "MySQL" and clients > 1
                aim = _AIM_WITH_LOGIN if variant.login else _AIM
                if variant.database != _NO_DATABASE:
                    base = found[f"{_NO_DATABASE} with a login" if variant.login else _NO_DATABASE]
                    same_route.append(_row(what, rates, base, aim if has_aim else None))
                bare_route.append(_row(what, rates, found[_BARE], None))
    return [
        Report("Details by guid", "requests/s", _NO_DATABASE, same_route),
        Report("Details by guid", "requests/s", _BARE, bare_route),
    ]


@contextmanager
def _variants(bench: Bench, upstream_url: str) -> Iterator[list[_Variant]]:
    """Run a service without a database and one on each; yield two variants of each, without and with a login."""
    generator = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": upstream_url}
    databases = {_NO_DATABASE: {}, "SQLite": {"PIXYPROXY_REPOSITORY": "sqlite"}}
    token = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
    with ExitStack() as stack:
        try:
            databases["MySQL"] = stack.enter_context(mysql_database())
        except NoServerError as error:
            bench.note(f"MySQL is left out: {error}")
        found: list[_Variant] = []
        for name, database in databases.items():
            bench.tell(f"details by guid: filling {name}")
            settings = database | generator
            home = bench.folder / f"details-{len(found)}"
            home.mkdir()
            if name == _NO_DATABASE:
                url = stack.enter_context(service_without_database(home, _USER, _PASSWORD, **settings))
            else:
                command(home, "migrate", **settings)
                command(home, "user", "add", _USER, typed=f"{_PASSWORD}\n", **settings)
                url = stack.enter_context(service(home, **settings))
            paths = [f"/image/{guid}" for guid in add_images(url, _IMAGES, 3000)]
            for login in (False, True):
                headers = {"Authorization": f"Basic {token}"} if login else {}
                found.append(_Variant(name, login, url, [("details", get(path, headers)) for path in paths]))
        yield found


def _row(what: str, rates: list[float], base: list[float], aim: float | None) -> Row:
    return Row(what, median(rates), median(base), ratio(rates, base), at_least=aim)


def _count(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"
