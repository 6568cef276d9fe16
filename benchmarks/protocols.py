"""Reads through h11 against the same reads through httptools: `python -m benchmarks protocols`."""

from collections.abc import Sequence
from statistics import median

from benchmarks.compare import Report, Row, in_turns, ratio
from benchmarks.fill import add_images
from benchmarks.load import LoadGenerator, get
from benchmarks.plan import Bench
from benchmarks.services import service, service_on_h11

_CLIENTS = (1, 32)
_READS = {"details": (3000, ""), "30 kB": (30_000, "/content"), "1.5 MB": (1_500_000, "/content")}
"""The size of the pictures and the end of the path of each kind of read."""
_IMAGES = 16


def steps(bench: Bench) -> int:
    """Return how many steps of progress `measure` reports at most."""
    return bench.plan.rounds * len(_READS) * len(_CLIENTS) * 2


def measure(bench: Bench, upstream_url: str) -> list[Report]:
    """Measure requests per second of two services on the same database and folder."""
    rows = []
    home = bench.folder / "protocols"
    home.mkdir()
    settings = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": upstream_url}
    with LoadGenerator() as load, service(home, **settings) as base, service_on_h11(home, **settings) as other:
        for what, (size, end) in _READS.items():
            requests = [(what, get(f"/image/{guid}{end}")) for guid in add_images(base, _IMAGES, size)]
            for clients in _CLIENTS:
                bench.tell(f"protocols: {what}, {clients} at once")
                rows.append(_compare(bench, load, f"{what}, {clients} at once", (base, other), requests, clients))
    return [Report("Reads through h11", "requests/s", "httptools", rows)]


def _compare(
    bench: Bench,
    load: LoadGenerator,
    what: str,
    urls: Sequence[str],
    requests: Sequence[tuple[str, str]],
    clients: int,
) -> Row:
    samples = [
        lambda url=url: load.run(url, requests, connections=clients, seconds=bench.plan.sample_s).rate for url in urls
    ]
    base, rates = in_turns(samples, bench.plan.rounds, bench.on_step)
    return Row(what, median(rates), median(base), ratio(rates, base))
