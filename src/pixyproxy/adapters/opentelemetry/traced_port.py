"""Spans around the methods of any adapter."""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar, cast

from opentelemetry.trace import SpanKind, get_current_span

from pixyproxy.adapters.opentelemetry.tracer import Attributes, OpenTelemetryTracer

T = TypeVar("T")


def traced(adapter: T, tracer: OpenTelemetryTracer, name: str, kind: SpanKind, attributes: Attributes) -> T:
    """Return the adapter with a span, `name.method`, around each call of its coroutine methods.

    Calls outside of a trace, such as those of the maintenance, are not recorded: each would be a trace of its own.
    """
    return cast("T", TracedPort(adapter, tracer, name, kind, attributes))


class TracedPort:
    """A proxy of an adapter; what is no coroutine method is the adapter's own."""

    def __init__(
        self, adapter: object, tracer: OpenTelemetryTracer, name: str, kind: SpanKind, attributes: Attributes
    ) -> None:
        self._adapter = adapter
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._attributes = attributes

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._adapter, name)
        if not inspect.iscoroutinefunction(value):
            return value
        method = self._recorded(f"{self._name}.{name}", value)
        setattr(self, name, method)  # it is found at once from now on
        return method

    def _recorded(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(method)
        async def call(*arguments: Any, **options: Any) -> Any:
            if not get_current_span().get_span_context().trace_flags.sampled:
                return await method(*arguments, **options)
            with self._tracer.recorded(name, self._kind, self._attributes):
                return await method(*arguments, **options)

        return call
