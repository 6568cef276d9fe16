"""The tracer on OpenTelemetry's SDK, which takes its options from the environment."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from typing import TypeAlias

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode

from pixyproxy.adapters.opentelemetry.reporting_exporter import ReportingExporter
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.ports.observation.tracer import Tracer

Attributes: TypeAlias = Mapping[str, str | int | bool]

_NAME = "pixyproxy"
FLUSH_S = 5.0
"""Seconds that the last spans may take to reach the collector when the service ends."""


class OpenTelemetryTracer(Tracer):
    """Hands spans to a thread, which exports them in batches; what its queue cannot hold is dropped.

    It sets none of OpenTelemetry's global objects. While it is closed its spans are recorded nowhere.
    """

    def __init__(self, new_exporter: Callable[[], SpanExporter], version: str, *, flush_s: float = FLUSH_S) -> None:
        """Take a function that creates an exporter, and the version of the service."""
        self._new_exporter = new_exporter
        self._version = version
        self._flush_s = flush_s
        self._exporter: ReportingExporter | None = None
        self._provider: TracerProvider | None = None
        self._tracer: trace.Tracer = trace.NoOpTracer()

    @property
    def provider(self) -> trace.TracerProvider:
        """The provider of OpenTelemetry's tracers, as long as this is open."""
        return self._provider or trace.NoOpTracerProvider()

    async def open(self) -> None:
        """Start the thread. Raises PixyProxyException for a variable of OpenTelemetry that cannot be used."""
        if self._provider is not None:
            return
        try:
            self._exporter = ReportingExporter(self._new_exporter())
            processor = BatchSpanProcessor(self._exporter)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise PixyProxyException(f"OpenTelemetry cannot be set up: {error}") from error
        self._provider = TracerProvider(resource=_resource(self._version), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_NAME, self._version)

    async def close(self) -> None:
        """Export what is left, for a few seconds at most."""
        provider, self._provider, self._tracer = self._provider, None, trace.NoOpTracer()
        if provider is None or self._exporter is None:
            return
        # It may try to export for 30 s, and a thread of the loop's pool would hold up the end of the process.
        flushing = Thread(target=provider.shutdown, daemon=True)
        flushing.start()
        await asyncio.to_thread(flushing.join, self._flush_s)
        self._exporter.shutdown()

    @contextmanager
    def span(self, name: str, **attributes: str) -> Iterator[None]:
        with self.recorded(name, SpanKind.INTERNAL, _own(attributes)):
            yield

    def annotate(self, **attributes: str) -> None:
        trace.get_current_span().set_attributes(_own(attributes))

    @contextmanager
    def recorded(self, name: str, kind: SpanKind, attributes: Attributes) -> Iterator[Span]:
        """Record the work in this context as a span of a kind, with attributes by their full names."""
        span = self.begin(name, kind, attributes)
        with current(span):
            try:
                yield span
            except BaseException as error:
                fail(span, error)
                raise
            finally:
                span.end()

    def begin(self, name: str, kind: SpanKind, attributes: Attributes) -> Span:
        """Return a new span, which is not yet the current one and has to be ended."""
        return self._tracer.start_span(name, kind=kind, attributes=attributes)


def current(span: Span) -> AbstractContextManager[Span]:
    """Make a span the current one in this context; it is not ended, and no error is recorded."""
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def fail(span: Span, error: BaseException) -> None:
    """Record the class of an error, but not its message, which may repeat a prompt."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)


def _own(attributes: Mapping[str, str]) -> Attributes:
    return {f"{_NAME}.{name}": value for name, value in attributes.items()}


def _resource(version: str) -> Resource:
    """Return the description of this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before ours."""
    found = Resource.create()
    resource = Resource({SERVICE_NAME: _NAME, SERVICE_VERSION: version}).merge(found)
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _NAME}))
    return resource
