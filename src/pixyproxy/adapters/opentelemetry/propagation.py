"""The fields of a request to another service that make its spans part of the trace."""

from opentelemetry.propagate import inject

_FILLED_BY_CALLERS = ("baggage", "tracestate")


def trace_fields() -> dict[str, str]:
    """Return `traceparent`, or what OTEL_PROPAGATORS says, for the current span; none outside of a trace.

    Fields that callers of this service may have filled are left out: the other service may be anybody's.
    """
    fields: dict[str, str] = {}
    inject(fields)
    return {name: value for name, value in fields.items() if name not in _FILLED_BY_CALLERS}
