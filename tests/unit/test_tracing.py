"""The tracer that settings choose, and the parts whose steps become spans."""

import sys

import pytest

from pixyproxy.adapters.opentelemetry.no_tracer import NoTracer
from pixyproxy.adapters.opentelemetry.tracer import OpenTelemetryTracer
from pixyproxy.containers import build_container
from pixyproxy.settings import Settings, SettingsError
from pixyproxy.tracing import create_tracer

ENDPOINT = "http://127.0.0.1:4318"
MEMORY = {"PIXYPROXY_REPOSITORY": "memory", "PIXYPROXY_BLOB_STORE": "memory"}


def settings(**values: str) -> Settings:
    return Settings(**(MEMORY | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "exporter"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{ENDPOINT}/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "zipkin"}, None),
    ],
)
def test_there_are_traces_if_the_environment_says_where_they_go(values: dict[str, str], exporter: str | None) -> None:
    assert settings(**values).traces_exporter == exporter
    assert isinstance(create_tracer(settings(**values)), NoTracer if exporter is None else OpenTelemetryTracer)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin' is not known; use one of console, none"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not known; use http/protobuf",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http:// or"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: must be an http:// or"),
    ],
)
def test_traces_that_cannot_be_exported_stop_the_start(values: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        create_tracer(settings(**values))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
    ],
)
def test_without_the_sdk_the_error_names_the_command(
    values: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [one for one in sys.modules if one.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(SettingsError, match=rf"{name}: needs .*pip install 'pixyproxy\[otel\]'"):
        create_tracer(settings(**values))
    assert isinstance(create_tracer(settings()), NoTracer)


def test_without_traces_no_part_is_another() -> None:
    container = build_container(settings())
    assert container.request_tracer_provider() is None
    assert type(container.image_repository()).__name__ == "MemoryImageRepository"
    assert type(container.blob_store()).__name__ == "MemoryBlobStore"
    assert type(container.generator()).__name__ == "SketchImageGenerator"
