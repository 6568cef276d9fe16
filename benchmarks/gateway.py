"""Generations through this service and through LiteLLM's proxy, of one upstream that responds at once."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks import memory
from benchmarks.compare import Report, Row, in_turns, ratio
from benchmarks.database import NoServerError, mysql_database
from benchmarks.gateway_litellm import MASTER_KEY, litellm_proxy
from benchmarks.load import LoadError, LoadGenerator, Responses, post
from benchmarks.plan import Bench
from benchmarks.services import command, running_service

CLIENTS = (1, 16, 64)
_SIZES = {"30 kB": 30_000, "1.5 MB": 1_500_000}
_PATH = "/images/generations"
_MODEL = "gpt-image-1"
_USER, _PASSWORD = "bench", "a password of the benchmark"
_MOST_PER_S = 2000
"""Requests per second for which there are prompts that do not repeat."""
_AIMS = {("30 kB", 16): 3.5, ("1.5 MB", 16): 2.3}
_MEMORY_AIM = 1 / 2

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class _Gateway:
    url: str
    key: str
    pid: int


@dataclass(frozen=True, slots=True)
class _Sample:
    """A measurement: requests per second, latencies in milliseconds, and the peak of memory in MB."""

    rate: float
    p50: float
    p99: float
    memory: float


def steps(bench: Bench) -> int:
    """Return how many steps of progress `measure` reports."""
    return bench.plan.gateway_rounds * len(_SIZES) * len(CLIENTS) * 2


def measure(bench: Bench, upstream_url: str) -> list[Report]:
    """Measure requests per second, latencies and memory of both gateways in turns."""
    rates, latencies, peaks = [], [], []
    with LoadGenerator() as load, _gateways(bench, upstream_url) as gateways:
        for name, size in _SIZES.items():
            bench.tell(f"generations {name}: the upstream by itself")
            alone = _sample(load, _Gateway(upstream_url.removesuffix("/v1"), "none", gateways[0].pid), size, 16, bench)
            bench.note(f"Without a gateway the upstream serves {alone.rate:,.0f} requests/s of {name}.")
            for clients in CLIENTS:
                bench.tell(f"generations {name}, {clients} clients")
                samples = [
                    lambda gateway=gateway, size=size, clients=clients: _sample(load, gateway, size, clients, bench)
                    for gateway in gateways
                ]
                ours, theirs = in_turns(samples, bench.plan.gateway_rounds, bench.on_step)
                what = f"{name}, {clients} client{'s' * (clients > 1)}"
                aim = _AIMS.get((name, clients))
                rates.append(_row(what, "rate", ours, theirs, at_least=aim))
                latencies.append(_row(f"p50 of {what}", "p50", ours, theirs))
                latencies.append(_row(f"p99 of {what}", "p99", ours, theirs))
                peaks.append(_row(what, "memory", ours, theirs, at_most=_MEMORY_AIM if aim else None))
    against = "LiteLLM"
    return [
        Report("Generations through a gateway", "requests/s", against, rates),
        Report("Time of a generation", "ms", against, latencies),
        Report("Peak of memory", "MB", against, peaks),
    ]


def _sample(load: LoadGenerator, gateway: _Gateway, size: int, clients: int, bench: Bench) -> _Sample:
    memory.reset_peak(gateway.pid)
    seconds = bench.plan.gateway_sample_s
    headers = {"Authorization": f"Bearer {gateway.key}"}
    requests = [
        ("generations", post(f"/v1{_PATH}", _document(size), headers)) for _ in range(round(seconds * _MOST_PER_S))
    ]
    result = load.run(gateway.url, requests, connections=clients, seconds=seconds)
    answers = result.kinds["generations"]
    _check_bytes(answers, size)
    return _Sample(result.rate, 1000 * answers.p50, 1000 * answers.p99, memory.peak_mb(gateway.pid))


def _document(size: int) -> dict[str, object]:
    """Return the body of a request with a prompt of its own."""
    number = next(_numbers)
    prompt = f"a rubber duck on a sink, study {number} of the light at {number % 24} o'clock [[fast size={size}]]"
    return {"model": _MODEL, "prompt": prompt, "n": 1, "size": "1024x1024"}


def _check_bytes(answers: Responses, size: int) -> None:
    """Raise LoadError unless every picture arrived whole."""
    # The fake's pictures have about this size, and base64 adds a third.
    if answers.bytes < answers.requests * size * 1.3:
        raise LoadError(f"{answers.requests} responses had {answers.bytes} bytes: too few for pictures of {size} bytes")


def _row(
    what: str,
    name: str,
    ours: list[_Sample],
    theirs: list[_Sample],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    values, bases = ([float(getattr(sample, name)) for sample in samples] for samples in (ours, theirs))
    return Row(what, median(values), median(bases), ratio(values, bases), at_least=at_least, at_most=at_most)


@contextmanager
def _gateways(bench: Bench, upstream_url: str) -> Iterator[list[_Gateway]]:
    """Run both gateways: this service with a login, durable files and rows on MySQL, and LiteLLM's proxy."""
    settings = {
        "PIXYPROXY_GENERATOR": "openai",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": upstream_url,
        "PIXYPROXY_ANONYMOUS": "none",
    }
    with ExitStack() as stack:
        try:
            settings |= stack.enter_context(mysql_database())
        except NoServerError as error:
            bench.note(f"SQLite takes the place of MySQL: {error}")
        homes = [bench.folder / f"gateway-{name}" for name in ("pixyproxy", "litellm")]
        for home in homes:
            home.mkdir()
        bench.tell("generations: starting both gateways")
        command(homes[0], "migrate", **settings)
        command(homes[0], "user", "add", _USER, typed=f"{_PASSWORD}\n", **settings)
        key = command(homes[0], "key", "add", _USER, **settings).strip()
        ours = stack.enter_context(running_service(homes[0], **settings))
        theirs = stack.enter_context(litellm_proxy(homes[1], _MODEL, upstream_url))
        yield [_Gateway(ours.url, key, ours.pid), _Gateway(theirs.url, MASTER_KEY, theirs.pid)]
