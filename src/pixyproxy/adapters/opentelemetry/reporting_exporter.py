"""An exporter whose outages are logged once."""

import logging
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)


class _FirstLine(logging.Filter):
    """Lets one line pass, until it is reset."""

    has_passed = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return true for the first line."""
        passes, self.has_passed = not self.has_passed, True
        return passes


# Of every attempt the SDK logs a line: that of the exporter names the reason, that of the queue says that it is full.
_sdk_lines = _FirstLine()
for _name in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal"):
    logging.getLogger(_name).addFilter(_sdk_lines)


class ReportingExporter(SpanExporter):
    """Exports by another exporter, and logs when an outage of the collector begins and when it is over.

    Of the SDK's own lines about an outage only the first is logged.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_away = self._is_shut_down = False
        _sdk_lines.has_passed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans; those that cannot be exported are dropped."""
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            logger.warning("traces cannot be exported: spans are dropped until the collector is back")
        elif self._is_away and not is_away:
            logger.info("traces are exported again")
        _sdk_lines.has_passed = self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """Export no more, and end an attempt that is being made."""
        if not self._is_shut_down:
            self._is_shut_down = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return true: nothing waits here."""
        return True
