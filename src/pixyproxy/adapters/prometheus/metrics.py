"""Metrics in the text format of Prometheus, of this process or of all workers of a folder."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.observation.metrics import CallTimes, Metrics, Survey

_MAX_MODELS = 50
_MAX_MODEL_CHARS = 100
_UPSTREAM_BUCKETS_S = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300)
_WAIT_BUCKETS_S = (0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800)
_OWN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# These tell the time of the start beside each series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types


class PrometheusMetrics(Metrics):
    """Counts in this process, or in files of a folder that all workers share (`shared_files.share`)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._registry = registry = CollectorRegistry()
        self._models: set[str] = set()
        self._requests = Counter(
            "pixyproxy_requests", "Requests that ended.", ["method", "route", "status"], registry=registry
        )
        self._generations = Counter(
            "pixyproxy_generations", "Pictures by outcome.", ["upstream", "model", "outcome"], registry=registry
        )
        self._costs = Counter(
            "pixyproxy_cost_usd", "US dollars that pictures cost.", ["upstream", "model", "state"], registry=registry
        )
        self._stored = Counter("pixyproxy_written_bytes", "Bytes of pictures that were stored.", registry=registry)
        self._in_flight = Gauge(
            "pixyproxy_calls_in_flight", "Upstream calls that run.", registry=registry, multiprocess_mode="livesum"
        )
        self._waits = Histogram(
            "pixyproxy_queue_wait_seconds",
            "Time from the submission of a call to its start.",
            ["upstream"],
            registry=registry,
            buckets=_WAIT_BUCKETS_S,
        )
        self._upstream = Histogram(
            "pixyproxy_upstream_seconds",
            "Time that a call spent in the generator.",
            ["upstream"],
            registry=registry,
            buckets=_UPSTREAM_BUCKETS_S,
        )
        self._own = Histogram(
            "pixyproxy_own_seconds",
            "Time that a call spent in the service itself: rows, bytes, thumbnails.",
            ["upstream"],
            registry=registry,
            buckets=_OWN_BUCKETS_S,
        )

    def request_ended(self, method: str, route: str, status: int) -> None:
        self._requests.labels(method, route, str(status)).inc()

    def call_began(self) -> None:
        self._in_flight.inc()

    def call_ended(self, generator: str, times: CallTimes) -> None:
        self._in_flight.dec()
        self._waits.labels(generator).observe(times.waited_s)
        self._upstream.labels(generator).observe(times.upstream_s)
        self._own.labels(generator).observe(times.own_s)

    def picture_ended(self, image: Image) -> None:
        generator, model = image.request.generator, self._model_of(image)
        self._generations.labels(generator, model, image.status.value).inc()
        if image.result is not None:
            self._stored.inc(image.result.size_bytes)
            if (cost := image.result.cost) is not None:
                self._costs.labels(generator, model, cost.state.value).inc(float(cost.usd or 0))

    async def exposition(self, survey: Survey) -> bytes:
        """Read the files of all workers in a thread."""
        return await asyncio.to_thread(self._exposition, survey)

    def _exposition(self, survey: Survey) -> bytes:
        registry = self._registry
        if self._folder is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call]  # has no types
        gauges = CollectorRegistry()
        gauges.register(_SurveyCollector(survey))
        return generate_latest(registry) + generate_latest(gauges)

    def _model_of(self, image: Image) -> str:
        """Return the label of a model; callers choose its name, and only those that were made become labels."""
        model = (image.request.model or "default")[:_MAX_MODEL_CHARS].encode(errors="replace").decode()
        if model not in self._models:
            if image.status is not Status.READY or len(self._models) >= _MAX_MODELS:
                return "other"
            self._models.add(model)
        return model


class _SurveyCollector(Collector):
    """Gauges of the database."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey

    def collect(self) -> Iterator[GaugeMetricFamily]:
        survey = self._survey
        gauges = {
            "pixyproxy_database_available": ("1 if the database answered.", int(survey.available)),
            "pixyproxy_queued": ("Pictures that wait for their turn.", survey.queued),
            "pixyproxy_unknown": ("Pictures that may have been billed and are not there.", survey.unknown),
            "pixyproxy_reservations": ("Charges of calls that run.", survey.reservations),
            "pixyproxy_reserved_usd": ("US dollars reserved for calls that run.", survey.reserved_usd),
            "pixyproxy_possibly_billed_usd": ("US dollars that may have been billed.", survey.possibly_billed_usd),
            "pixyproxy_images": ("Pictures that are stored.", survey.images),
            "pixyproxy_stored_bytes": ("Bytes of the pictures that are stored.", survey.stored_bytes),
        }
        for name, (documentation, value) in gauges.items():
            if value is not None:
                yield GaugeMetricFamily(name, documentation, value=float(value))
