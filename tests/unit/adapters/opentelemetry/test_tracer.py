"""Spans as the tracer records them, and what it does with those that are left when it is closed."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pixyproxy.adapters.opentelemetry.tracer import OpenTelemetryTracer
from pixyproxy.domain.errors import PixyProxyException
from tests.fixtures.traces import recording


async def test_a_span_within_another_is_its_child() -> None:
    async with recording() as made:
        with made.tracer.span("generation", guid="g"):
            made.tracer.annotate(request_id="r")
            with made.tracer.span("queue.wait"):
                await asyncio.sleep(0)
        outer, inner = made.spans["generation"], made.spans["queue.wait"]
    assert outer.context is not None
    assert inner.parent is not None
    assert (inner.parent.span_id, outer.parent) == (outer.context.span_id, None)
    assert dict(outer.attributes or {}) == {"pixyproxy.guid": "g", "pixyproxy.request_id": "r"}
    assert outer.status.is_unset


async def test_a_task_that_outlives_a_span_goes_on_in_its_trace() -> None:
    async with recording() as made:

        async def work() -> None:
            with made.tracer.span("generation"):
                await asyncio.sleep(0.01)

        with made.tracer.span("request"):
            task = asyncio.create_task(work())
        await task
        request, generation = made.spans["request"], made.spans["generation"]
    assert request.context is not None
    assert generation.parent is not None
    assert generation.parent.span_id == request.context.span_id


async def test_an_error_is_recorded_by_its_class_and_without_its_message() -> None:
    async with recording() as made:
        with pytest.raises(ValueError, match="a secret prompt"), made.tracer.span("generation"):
            raise ValueError("a secret prompt")
        span = made.spans["generation"]
    assert dict(span.attributes or {}) == {"error.type": "ValueError"}
    assert not span.status.is_ok
    assert "secret" not in span.to_json()


async def test_the_service_has_a_name_which_the_environment_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    for name, expected in ((None, "pixyproxy"), ("pictures", "pictures")):
        if name is not None:
            monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        async with recording() as made:
            with made.tracer.span("generation"):
                pass
            resource = made.spans["generation"].resource.attributes
        assert resource["service.name"] == expected
        assert resource["service.version"] == "1.2.3"


async def test_spans_that_are_left_are_exported_at_the_end() -> None:
    exporter = InMemorySpanExporter()
    tracer = OpenTelemetryTracer(lambda: exporter, "1.2.3")
    await tracer.open()
    with tracer.span("generation"):
        pass
    await tracer.close()
    assert [span.name for span in exporter.get_finished_spans()] == ["generation"]


class StuckExporter(SpanExporter):
    """An exporter that is stuck until it is shut down."""

    def __init__(self) -> None:
        self.is_shut_down = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_shut_down.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.is_shut_down.set()


async def test_the_end_waits_for_a_stuck_exporter_for_a_bounded_time() -> None:
    exporter = StuckExporter()
    tracer = OpenTelemetryTracer(lambda: exporter, "1.2.3", flush_s=0.05)
    await tracer.open()
    with tracer.span("generation"):
        pass
    began = time.monotonic()
    await tracer.close()
    assert exporter.is_shut_down.is_set()
    assert time.monotonic() - began < 20  # the SDK's own limit is 30 s


@pytest.mark.parametrize(("name", "value"), [("OTEL_BSP_MAX_QUEUE_SIZE", "-1")])
async def test_a_variable_that_cannot_be_used_is_an_error_at_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PixyProxyException, match="OpenTelemetry cannot be set up: "):
        await OpenTelemetryTracer(InMemorySpanExporter, "1.2.3").open()
