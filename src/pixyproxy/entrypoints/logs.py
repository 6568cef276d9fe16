"""The form of log lines: one event a line, with the id of the request in whose service it was written."""

import contextvars
import logging
import sys
import threading
import time

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")
"""The id of the request being served, in every task that serves it; `-` outside of any."""

# Everything that ends a line or steers how it shows: C0, DEL, C1, Unicode's line and paragraph separators,
# and its controls of the direction of writing.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
    **{code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))},
}


def escaped(text: str) -> str:
    """The text on one line, with control characters escaped as in Python, so that it can forge nothing."""
    # Most text is printable, and nothing that needs to be escaped is.
    return text if text.isprintable() else text.translate(_ESCAPES)


class LineFormatter(logging.Formatter):
    """`YYYY-MM-DD HH:MM:SS,mmm LEVEL request-id [thread-id] [method:line] text`; a traceback follows indented."""

    _second = (-1, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the base's name
        """The local time to the millisecond; the seconds are written out once for all lines of a second."""
        second = int(record.created)
        if self._second[0] != second:
            self._second = (second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second)))
        return f"{self._second[1]},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, plus indented lines for a traceback."""
        # A line may be written for a function other than the one that logs: the request log names the handler.
        where = getattr(record, "where", None) or f"{record.funcName}:{record.lineno}"
        line = (
            f"{self.formatTime(record)} {record.levelname} {request_id.get()} "
            f"[{threading.get_native_id()}] [{where}] {escaped(record.getMessage())}"
        )
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    | {escaped(part)}" for part in trace.splitlines())
        return line


def configure(level: str) -> None:
    """Send everything at this level or above to standard error, through one handler.

    Chatty libraries stay at WARNING: they would log requests of their own, with addresses and headers.
    """
    # What no line shows need not be found out (logging howto of Python, section "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("openai", "httpx2", "httpcore2", "aiohttp", "PIL", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
