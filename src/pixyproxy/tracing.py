"""Traces: the tracer that the settings choose, and the parts of the service whose steps become spans."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dependency_injector import providers

from pixyproxy.adapter_choices import OPENAI_URL
from pixyproxy.plugins import BlobStorage, Repositories
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.observation.tracer import Tracer
from pixyproxy.settings import Settings, SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import TracerProvider

    from pixyproxy.adapters.opentelemetry.tracer import OpenTelemetryTracer

_DISABLE = "or set OTEL_SDK_DISABLED=true to have no traces"
_PROTOCOL = "http/protobuf"
_PORTS = {"http": 80, "https": 443}


def create_tracer(settings: Settings) -> Tracer:
    """Return a tracer that exports as the settings say, or one that records nothing.

    Raises:
        SettingsError: if OpenTelemetry's SDK is not installed, or has no such exporter.
    """
    if settings.traces_exporter is None:
        from pixyproxy.adapters.opentelemetry.no_tracer import NoTracer

        return NoTracer()
    try:
        new_exporter = _exporter_of(settings)
        from pixyproxy.adapters.opentelemetry.tracer import OpenTelemetryTracer
    except ImportError:
        names = "OTEL_EXPORTER_OTLP_ENDPOINT" if settings.otel_traces_exporter is None else "OTEL_TRACES_EXPORTER"
        raise SettingsError(
            f"{names}: needs OpenTelemetry's SDK: run `pip install 'pixyproxy[otel]'`, {_DISABLE}"
        ) from None
    return OpenTelemetryTracer(new_exporter, version("pixyproxy"))


def _exporter_of(settings: Settings) -> "Callable[[], SpanExporter]":
    """Return the class of the exporter, which takes its options from the environment."""
    if settings.traces_exporter == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter
    if settings.traces_exporter != "otlp":
        raise SettingsError(
            f"OTEL_TRACES_EXPORTER: {settings.traces_exporter!r} is not known; use one of console, none, otlp"
        )
    if (protocol := settings.otlp_traces_protocol or settings.otlp_protocol or _PROTOCOL) != _PROTOCOL:
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not known; use {_PROTOCOL}, for which collectors listen on "
            f"port 4318, {_DISABLE}"
        )
    for name, url in (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", settings.otlp_endpoint),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", settings.otlp_traces_endpoint),
    ):
        if url is not None and not url.startswith(("http://", "https://")):
            raise SettingsError(
                f"{name}: must be an http:// or https:// URL, such as http://127.0.0.1:4318, {_DISABLE}"
            )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter


def request_tracer_provider(settings: Settings, tracer: "OpenTelemetryTracer") -> "TracerProvider | None":
    """Return the provider with which FastAPI records requests, None if there are no traces."""
    if settings.traces_exporter is None:
        return None
    from pixyproxy.adapters.opentelemetry.request_tracer_provider import RequestTracerProvider

    return RequestTracerProvider(tracer)


def trace_parts(
    settings: Settings,
    tracer: providers.Provider[Tracer],
    repositories: providers.Selector[Repositories],
    blob_storage: providers.Selector[BlobStorage],
    generator: providers.Selector[ImageGenerator],
) -> None:
    """Have every choice of these parts return a part whose steps become spans."""
    functions: list[tuple[providers.Selector[Any], Callable[..., Any]]] = [
        (repositories, _traced_repositories),
        (blob_storage, _traced_blob_storage),
        (generator, _traced_generator),
    ]
    for selector, function in functions:
        selector.set_providers(
            **{
                name: providers.ThreadSafeSingleton(function, provider, tracer, name, settings)
                for name, provider in selector.providers.items()
            }
        )


def _tracing(tracer: "OpenTelemetryTracer", attribute: str, value: str, *, is_client: bool) -> Callable[..., Any]:
    """Return a function that takes a part and its name, and returns the part with spans that have this attribute."""
    from opentelemetry.trace import SpanKind

    from pixyproxy.adapters.opentelemetry.traced_port import traced

    kind = SpanKind.CLIENT if is_client else SpanKind.INTERNAL
    return partial(traced, tracer=tracer, kind=kind, attributes={attribute: value})


def _traced_repositories(
    repositories: Repositories, tracer: "OpenTelemetryTracer", name: str, _: Settings
) -> Repositories:
    trace = _tracing(tracer, "db.system.name", name, is_client=True)
    return replace(
        repositories,
        images=trace(repositories.images, name="images"),
        maintenance=trace(repositories.maintenance, name="maintenance"),
        users=trace(repositories.users, name="users"),
        api_keys=trace(repositories.api_keys, name="api_keys"),
        ledger=trace(repositories.ledger, name="ledger"),
        sessions=trace(repositories.sessions, name="sessions"),
    )


def _traced_blob_storage(storage: BlobStorage, tracer: "OpenTelemetryTracer", name: str, _: Settings) -> BlobStorage:
    trace = _tracing(tracer, "pixyproxy.blob_store", name, is_client=False)
    return replace(
        storage,
        blobs=trace(storage.blobs, name="blobs"),
        maintenance=trace(storage.maintenance, name="blob_maintenance"),
        thumbnails=trace(storage.thumbnails, name="thumbnails"),
    )


def _traced_generator(
    generator: ImageGenerator, tracer: "OpenTelemetryTracer", name: str, settings: Settings
) -> ImageGenerator:
    from pixyproxy.adapters.opentelemetry.image_generator import TracedImageGenerator

    if name == "sketch":
        return TracedImageGenerator(generator, tracer, None)
    server: dict[str, str | int] = {}
    if name == "openai":
        url = urlsplit(settings.openai_base_url or OPENAI_URL)
        server = {"server.address": url.hostname or "", "server.port": url.port or _PORTS[url.scheme]}
    return TracedImageGenerator(generator, tracer, server)
