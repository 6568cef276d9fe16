"""The tracer on OpenTelemetry's SDK, and the one without traces, keep the port's contract."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pixyproxy.adapters.opentelemetry.no_tracer import NoTracer
from pixyproxy.adapters.opentelemetry.tracer import OpenTelemetryTracer
from tests.conformance.contracts.tracer import TracerContract


class TestOpenTelemetryTracer(TracerContract):
    adapter = OpenTelemetryTracer

    @pytest.fixture
    def unopened(self) -> OpenTelemetryTracer:
        return OpenTelemetryTracer(InMemorySpanExporter, "1.2.3")


class TestNoTracer(TracerContract):
    adapter = NoTracer

    @pytest.fixture
    def unopened(self) -> NoTracer:
        return NoTracer()
