"""An outage of the collector is logged when it begins, with its reason, and when it is over."""

import logging
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from pixyproxy.adapters.opentelemetry.reporting_exporter import ReportingExporter

SDK = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
QUEUE = logging.getLogger("opentelemetry.sdk._shared_internal")


class FlakyExporter(SpanExporter):
    """An exporter that logs as the SDK's does, while it is away."""

    is_away = False
    shutdowns = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if not self.is_away:
            return SpanExportResult.SUCCESS
        SDK.warning("Transient error: refused")
        SDK.error("Failed to export")
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.shutdowns += 1


def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    flaky = FlakyExporter()
    exporter = ReportingExporter(flaky)
    for outage in range(2):
        for is_away in (False, True, True, True):
            flaky.is_away = is_away
            exporter.export([])
            if is_away:
                QUEUE.warning("Queue full, dropping %s.", "Span")
        assert caplog.messages[-2:] == [
            "Transient error: refused",
            "traces cannot be exported: spans are dropped until the collector is back",
        ]
        assert len(caplog.messages) == 2 + outage * 3
    flaky.is_away = False
    for _ in range(2):
        assert exporter.export([]) is SpanExportResult.SUCCESS
    assert caplog.messages[-1] == "traces are exported again"
    assert len(caplog.messages) == 6


def test_it_is_shut_down_once() -> None:
    flaky = FlakyExporter()
    exporter = ReportingExporter(flaky)
    for _ in range(2):
        exporter.shutdown()
    assert flaky.shutdowns == 1
    assert exporter.force_flush()
