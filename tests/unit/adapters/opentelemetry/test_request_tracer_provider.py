"""Spans of requests without their paths and queries."""

from opentelemetry.trace import SpanKind

from pixyproxy.adapters.opentelemetry.request_tracer_provider import RequestTracerProvider
from tests.fixtures.traces import recording

ATTRIBUTES = {"url.path": "/user/alice", "url.query": "prompt=a+secret", "url.scheme": "http"}


async def test_path_and_query_are_left_out() -> None:
    async with recording() as made:
        tracer = RequestTracerProvider(made.tracer).get_tracer("fastapi", "1", "https://schema.example")
        tracer.start_span("GET", kind=SpanKind.SERVER, attributes=ATTRIBUTES).end()
        with tracer.start_as_current_span("POST", attributes=ATTRIBUTES):
            pass
        spans = made.spans
    for span in spans.values():
        assert dict(span.attributes or {}) == {"url.scheme": "http"}
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == "fastapi"
    assert spans["GET"].kind is SpanKind.SERVER


async def test_a_tracer_from_before_the_opening_records_after_it_and_not_after_the_end() -> None:
    async with recording() as made:
        tracer = RequestTracerProvider(made.tracer).get_tracer("fastapi")
        await made.tracer.close()
        assert not tracer.start_span("GET").is_recording()
        await made.tracer.open()
        assert tracer.start_span("GET").is_recording()
