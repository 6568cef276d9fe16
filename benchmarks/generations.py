"""Latency of reads and peak of memory while 500 slow generations wait and while their pictures arrive."""

import time
from statistics import median

from benchmarks import memory
from benchmarks.compare import Report, Row, ratio
from benchmarks.fill import add_images, prompt
from benchmarks.load import LoadGenerator, Responses, get, post
from benchmarks.plan import Bench
from benchmarks.services import running_service

_IN_FLIGHT = 500
_DELAY_S = 12.0
_RAMP_S = 2.0
_BEGUN_S = 7.0
"""Seconds until all generations have certainly begun, which is work: those who read then are beside waiting alone."""
_SIZE = 1_500_000
_READERS = 16
_READS_PER_S = 600
_AIM = 2.0
_MOST_MS = 100.0
_MOST_MB = 400.0

Latencies = dict[str, Responses]


def steps(bench: Bench) -> int:
    """Return how many steps of progress `measure` reports."""
    return bench.plan.latency_rounds * 3


def measure(bench: Bench, upstream_url: str) -> list[Report]:
    """Measure latencies of reads at a steady rate far below the capacity of the service."""
    home = bench.folder / "generations"
    home.mkdir()
    settings = {
        "PIXYPROXY_GENERATOR": "openai",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": upstream_url,
        "PIXYPROXY_MAX_GENERATIONS": str(_IN_FLIGHT),
    }
    idle: list[Latencies] = []
    waiting: list[Latencies] = []
    arriving: list[Latencies] = []
    with LoadGenerator() as readers, LoadGenerator() as writers, running_service(home, **settings) as running:
        url = running.url
        guids = add_images(url, 16, 30_000)
        paths = {"details": "/image/{}", "content 30 kB": "/image/{}/content"}
        reads = [(kind, get(path.format(guid))) for guid in guids for kind, path in paths.items()]
        posts = [("generations", post("/image", prompt(n, _SIZE, _DELAY_S))) for n in range(_IN_FLIGHT)]

        def latencies(seconds: float) -> Latencies:
            readers.start(url, reads, connections=_READERS, seconds=seconds, rate=_READS_PER_S)
            found = readers.result().kinds
            bench.on_step()
            return found

        memory.reset_peak(running.pid)
        for _ in range(bench.plan.latency_rounds):
            bench.tell("reads while nothing is generated")
            idle.append(latencies(bench.plan.in_flight_s))
            bench.tell(f"reads while {_IN_FLIGHT} generations wait")
            began = time.monotonic()
            writers.start(url, posts, connections=_IN_FLIGHT, seconds=_DELAY_S - 1, ramp_s=_RAMP_S)
            _sleep_until(began + _BEGUN_S)
            waiting.append(latencies(bench.plan.in_flight_s))
            bench.tell(f"reads while {_IN_FLIGHT} pictures arrive")
            _sleep_until(began + _DELAY_S)
            arriving.append(latencies(_RAMP_S + 1))
            writers.result()
        peak = memory.peak_mb(running.pid)
    rows = [
        _row(f"{quantile} of {kind}, {phase}", kind, quantile, busy, idle, aim if quantile == "p99" else None)
        for phase, busy, aim in (("while all wait", waiting, _AIM), ("while 1.5 MB each arrive", arriving, None))
        for kind in paths
        for quantile in ("p50", "p99")
    ]
    limits = [
        _limited(f"p99 of {kind}", median(1000 * answers[kind].p99 for answers in arriving), _MOST_MS) for kind in paths
    ]
    return [
        Report(f"Reads beside {_IN_FLIGHT} generations of {_DELAY_S:g} s", "ms", "idle", rows),
        Report(f"Reads while {_IN_FLIGHT} pictures of 1.5 MB arrive", "ms", "limit", limits),
        Report(f"Peak of memory with {_IN_FLIGHT} generations", "MB", "limit", [_limited("service", peak, _MOST_MB)]),
    ]


def _row(
    what: str, kind: str, quantile: str, busy: list[Latencies], idle: list[Latencies], at_most: float | None
) -> Row:
    values = [1000 * getattr(answers[kind], quantile) for answers in busy]
    bases = [1000 * getattr(answers[kind], quantile) for answers in idle]
    return Row(what, median(values), median(bases), ratio(values, bases), at_most=at_most)


def _limited(what: str, value: float, limit: float) -> Row:
    return Row(what, value, limit, value / limit, at_most=1.0)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
