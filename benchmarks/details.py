"""Details by GUID from SQLite and MySQL against the same route without a database."""

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
from benchmarks.services import bare_application, command, service

CLIENTS = (1, 32)
_IMAGES = 64
_USER, _PASSWORD = "bench", "a password of the benchmark"
_AIM = {("MySQL", 32): 0.5}


@dataclass(frozen=True, slots=True)
class _Variant:
    name: str
    url: str
    requests: list[tuple[str, str]]


def steps(bench: Bench) -> int:
    """How often `measure` tells of progress at most."""
    return bench.plan.rounds * len(CLIENTS) * 5


def measure(bench: Bench, upstream_url: str) -> Report:
    """Requests per second of each variant."""
    rows = []
    with LoadGenerator() as load, _variants(bench, upstream_url) as variants, bare_application(bench.folder) as bare:
        for clients in CLIENTS:
            bench.tell(f"details by guid, {clients} clients")
            samples = [
                lambda variant=variant, clients=clients: (
                    load.run(variant.url, variant.requests, connections=clients, seconds=bench.plan.sample_s).rate
                )
                for variant in variants
            ]
            base, *others = in_turns(samples, bench.plan.rounds, bench.on_step)
            for variant, rates in zip(variants[1:], others, strict=True):
                rows.append(
                    Row(
                        f"{variant.name}, {_count(clients)}",
                        median(rates),
                        median(base),
                        ratio(rates, base),
                        at_least=_AIM.get((variant.name, clients)),
                    )
                )
        ceiling = load.run(bare, [("bare", get("/"))], connections=clients, seconds=bench.plan.sample_s).rate
        bench.note(f"A bare ASGI application answers the load generator {ceiling:,.0f} times a second here.")
    return Report("Details by guid", "requests/s", "no database", rows)


@contextmanager
def _variants(bench: Bench, upstream_url: str) -> Iterator[list[_Variant]]:
    """Running services: first the one without a database, then each database without and with a login."""
    generator = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": upstream_url}
    databases = {"memory": {"PIXYPROXY_REPOSITORY": "memory"}, "SQLite": {"PIXYPROXY_REPOSITORY": "sqlite"}}
    with ExitStack() as stack:
        try:
            databases["MySQL"] = stack.enter_context(mysql_database())
        except NoServerError as error:
            bench.note(f"MySQL is left out: {error}")
        found = []
        for name, database in databases.items():
            bench.tell(f"details by guid: filling {name}")
            settings = database | generator
            home = bench.folder / f"details-{name}"
            home.mkdir()
            if name != "memory":
                command(home, "migrate", **settings)
                command(home, "user", "add", _USER, typed=f"{_PASSWORD}\n", **settings)
            url = stack.enter_context(service(home, **settings))
            paths = [f"/image/{guid}" for guid in add_images(url, _IMAGES, 3000)]
            found.append(_Variant(name, url, [("details", get(path)) for path in paths]))
            if name != "memory":
                token = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
                requests = [("details", get(path, {"Authorization": f"Basic {token}"})) for path in paths]
                found.append(_Variant(f"{name} with a login", url, requests))
        yield found


def _count(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"
