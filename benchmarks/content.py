"""Content from the filesystem against memory, behind nginx against nginx alone, and `304 Not Modified`."""

import json
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from benchmarks.compare import Report, Row, in_turns, ratio
from benchmarks.fill import add_images
from benchmarks.load import LoadGenerator, get
from benchmarks.plan import Bench
from benchmarks.services import service
from pixyproxy.adapters.filesystem.reader import SETTLED_NS
from tests.fixtures.nginx_server import PREFIX, Nginx, binary

_CLIENTS = 32
_SIZES = {"30 kB": 30_000, "1.5 MB": 1_500_000}
_IMAGES = 16
_AIMS = {"30 kB": None, "1.5 MB": 0.75}
_AIM_BEHIND_NGINX = 0.85
_AIM_NOT_MODIFIED = 1.0

Side = tuple[str, list[tuple[str, str]]]
"""A base URL and the requests to send there."""


def steps(bench: Bench) -> int:
    """Return how many steps of progress `measure` reports at most."""
    return bench.plan.rounds * (len(_SIZES) + 2) * 2


def measure(bench: Bench, upstream_url: str) -> list[Report]:
    """Measure requests per second, each in turns with its base."""
    generator = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": upstream_url}
    stores, again, behind = [], [], []
    with LoadGenerator() as load, ExitStack() as stack:
        urls = []
        for store in ("memory", "filesystem"):
            home = bench.folder / f"content-{store}"
            home.mkdir()
            urls.append(stack.enter_context(service(home, PIXYPROXY_BLOB_STORE=store, **generator)))
        for name, size in _SIZES.items():
            bench.tell(f"content {name}: making pictures")
            guids = [add_images(url, _IMAGES, size) for url in urls]
            _settle()
            bench.tell(f"content {name}")
            sides = [(url, _contents(some)) for url, some in zip(urls, guids, strict=True)]
            what = f"{name} from the filesystem, {_CLIENTS} clients"
            stores.append(_compare(bench, load, what, sides, _AIMS[name]))
        bench.tell("content not modified")
        etags = [_etag(urls[1], guid) for guid in guids[1]]
        conditional = [
            ("304", get(f"/image/{guid}/content", {"If-None-Match": etag}))
            for guid, etag in zip(guids[1], etags, strict=True)
        ]
        details = [("details", get(f"/image/{guid}")) for guid in guids[1]]
        again.append(
            _compare(
                bench,
                load,
                f"304, {_CLIENTS} clients",
                [(urls[1], details), (urls[1], conditional)],
                _AIM_NOT_MODIFIED,
            )
        )
    if binary() is None:
        bench.note("Content behind nginx is left out: no nginx is installed here.")
    else:
        behind.append(_behind_nginx(bench, generator))
    return [
        Report("Content", "requests/s", "memory", stores),
        Report("Content not modified", "requests/s", "details", again),
        *([Report("Content behind nginx", "requests/s", "nginx alone", behind)] if behind else []),
    ]


def _behind_nginx(bench: Bench, generator: dict[str, str]) -> Row:
    """Compare pictures that nginx sends for the service with the same files from the same nginx alone."""
    home = bench.folder / "content-nginx"
    home.mkdir()
    images = home / "images"
    with LoadGenerator() as load, service(home, PIXYPROXY_ACCEL_PREFIX=PREFIX, **generator) as url:
        bench.tell("content behind nginx: making pictures")
        guids = add_images(url, _IMAGES, _SIZES["1.5 MB"])
        # By default nginx closes a connection after a thousand requests, an error to the load generator.
        alone = f"keepalive_requests 1000000; location /alone/ {{ alias {images}/; sendfile on; tcp_nopush on; }}"
        with Nginx(url, images, alone) as nginx:
            bench.tell("content behind nginx")
            files = [("file", get(f"/alone/{guid[:2]}/{guid[2:4]}/{guid}.bin")) for guid in guids]
            sides = [(nginx.url, files), (nginx.url, _contents(guids))]
            return _compare(bench, load, f"1.5 MB behind nginx, {_CLIENTS} clients", sides, _AIM_BEHIND_NGINX)


def _compare(bench: Bench, load: LoadGenerator, what: str, sides: Sequence[Side], aim: float | None) -> Row:
    """Compare the second of two sides with the first."""
    samples = [
        lambda url=url, requests=requests: (
            load.run(url, requests, connections=_CLIENTS, seconds=bench.plan.sample_s).rate
        )
        for url, requests in sides
    ]
    base, rates = in_turns(samples, bench.plan.rounds, bench.on_step)
    return Row(what, median(rates), median(base), ratio(rates, base), at_least=aim)


def _contents(guids: Sequence[str]) -> list[tuple[str, str]]:
    return [("content", get(f"/image/{guid}/content")) for guid in guids]


def _settle() -> None:
    """Wait until pictures are old enough that their checksum is not computed for each request."""
    time.sleep(SETTLED_NS / 1e9 + 0.1)


def _etag(url: str, guid: str) -> str:
    with urllib.request.urlopen(f"{url}/image/{guid}") as response:
        return f'"{json.load(response)["sha256"]}"'
