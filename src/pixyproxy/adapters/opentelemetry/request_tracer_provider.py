"""The provider of the tracer with which FastAPI records requests."""

from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context

from pixyproxy.adapters.opentelemetry.tracer import OpenTelemetryTracer

_PRIVATE = frozenset({"url.path", "url.query"})
"""Attributes that hold prompts, in names of files and in searches, names of users, and signatures."""


class RequestTracerProvider(trace.TracerProvider):
    """A provider whose tracers leave the path and the query of a request out of its span; the route stays in it."""

    def __init__(self, tracer: OpenTelemetryTracer) -> None:
        self._tracer = tracer

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        """Return a tracer that records while the service's tracer is open."""
        scope = (instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        return _RequestTracer(self._tracer, scope)


class _RequestTracer(trace.NoOpTracer):
    def __init__(self, tracer: OpenTelemetryTracer, scope: tuple[Any, ...]) -> None:
        self._tracer = tracer
        self._scope = scope

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Any = None,
        links: Any = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Start a span without the private attributes."""
        kept = {name: value for name, value in (attributes or {}).items() if name not in _PRIVATE}
        return self._tracer.provider.get_tracer(*self._scope).start_span(
            name, context, kind, kept, links, start_time, record_exception, set_status_on_exception
        )
