"""How long reads take while slow generations are in flight against when there are none."""

import time
from statistics import median

from benchmarks.compare import Report, Row, ratio
from benchmarks.fill import add_images, prompt
from benchmarks.load import Answers, LoadGenerator, get, post
from benchmarks.plan import Bench
from benchmarks.services import service

_IN_FLIGHT = 200
_DELAY_S = 5.0
_SIZES = {"30 kB": 30_000, "1.5 MB": 1_500_000}
_READERS = 16
_READS_PER_S = 400
_AIM = 2.0


def steps(bench: Bench) -> int:
    """How often `measure` tells of progress."""
    return bench.plan.latency_rounds * len(_SIZES)


def measure(bench: Bench, upstream_url: str) -> Report:
    """Latencies of reads, idle and beside generations of each size."""
    home = bench.folder / "generations"
    home.mkdir()
    settings = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": upstream_url}
    rows = []
    with LoadGenerator() as readers, LoadGenerator() as writers, service(home, **settings) as url:
        guids = add_images(url, 16, 30_000)
        reads = [
            read
            for guid in guids
            for read in (("details", get(f"/image/{guid}")), ("content 30 kB", get(f"/image/{guid}/content")))
        ]

        def latencies() -> dict[str, Answers]:
            readers.start(url, reads, connections=_READERS, seconds=bench.plan.in_flight_s, rate=_READS_PER_S)
            return readers.result().kinds

        for name, size in _SIZES.items():
            posts = [("generations", post("/image", prompt(number, size, _DELAY_S))) for number in range(_IN_FLIGHT)]
            idle, busy = [], []
            for _ in range(bench.plan.latency_rounds):
                bench.tell("reads while nothing is generated")
                idle.append(latencies())
                bench.tell(f"reads beside {_IN_FLIGHT} generations of {name}")
                # After the ramp all are in flight, and as many end in each second as begin.
                writers.start(url, posts, connections=_IN_FLIGHT, seconds=_DELAY_S + bench.plan.in_flight_s, ramp_s=_DELAY_S)
                time.sleep(_DELAY_S)
                busy.append(latencies())
                writers.result()
                bench.on_step()
            rows += [_row(kind, quantile, name, idle, busy) for kind in sorted(idle[0]) for quantile in ("p50", "p99")]
    return Report(f"Reads with {_IN_FLIGHT} generations of {_DELAY_S:g} s in flight", "ms", "idle", rows)


def _row(kind: str, quantile: str, name: str, idle: list[dict[str, Answers]], busy: list[dict[str, Answers]]) -> Row:
    values = [1000 * getattr(answers[kind], quantile) for answers in busy]
    bases = [1000 * getattr(answers[kind], quantile) for answers in idle]
    return Row(
        f"{quantile} of {kind}, pictures of {name}",
        median(values),
        median(bases),
        ratio(values, bases),
        at_most=_AIM if quantile == "p99" else None,
    )
