"""Fields by which another service joins a trace."""

from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from pixyproxy.adapters.opentelemetry.propagation import trace_fields


def test_there_is_none_outside_of_a_trace() -> None:
    assert trace_fields() == {}


def test_what_callers_may_have_filled_is_left_out() -> None:
    state = TraceState([("vendor", "of-the-caller")])
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state))
    token = context.attach(baggage.set_baggage("user", "alice"))
    try:
        with trace.use_span(span):
            assert trace_fields() == {"traceparent": f"00-{1:032x}-{2:016x}-01"}
    finally:
        context.detach(token)
