"""Content from the filesystem store against bytes from memory, on the same repository."""

from contextlib import ExitStack
from statistics import median

from benchmarks.compare import Report, Row, in_turns, ratio
from benchmarks.fill import add_images
from benchmarks.load import LoadGenerator, get
from benchmarks.plan import Bench
from benchmarks.services import service

_CLIENTS = 32
_SIZES = {"30 kB": 30_000, "1.5 MB": 1_500_000}
_IMAGES = 16
_AIM = 0.75


def steps(bench: Bench) -> int:
    """How often `measure` tells of progress."""
    return bench.plan.rounds * len(_SIZES) * 2


def measure(bench: Bench, upstream_url: str) -> Report:
    """Requests per second from each store."""
    generator = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": upstream_url}
    rows = []
    with LoadGenerator() as load, ExitStack() as stack:
        urls = []
        for store in ("memory", "filesystem"):
            home = bench.folder / f"content-{store}"
            home.mkdir()
            urls.append(stack.enter_context(service(home, PIXYPROXY_BLOB_STORE=store, **generator)))
        for name, size in _SIZES.items():
            bench.tell(f"content {name}: making pictures")
            requests = [
                [("content", get(f"/image/{guid}/content")) for guid in add_images(url, _IMAGES, size)] for url in urls
            ]
            bench.tell(f"content {name}")
            samples = [
                lambda url=url, paths=paths: (
                    load.run(url, paths, connections=_CLIENTS, seconds=bench.plan.sample_s).rate
                )
                for url, paths in zip(urls, requests, strict=True)
            ]
            base, rates = in_turns(samples, bench.plan.rounds, bench.on_step)
            rows.append(
                Row(
                    f"{name} from the filesystem, {_CLIENTS} clients",
                    median(rates),
                    median(base),
                    ratio(rates, base),
                    at_least=_AIM,
                )
            )
    return Report("Content", "requests/s", "memory", rows)
