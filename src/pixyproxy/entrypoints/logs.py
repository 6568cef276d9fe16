"""Formats of log lines: one event per line, with the id of the request that is being served."""

import contextvars
import json
import logging
import re
import sys
import threading
import time
from typing import Literal

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")
"""Id of the request being served, in every task that serves it; `-` outside of requests."""

# Everything that ends a line or changes how it is displayed: C0, DEL, C1, Unicode's line and paragraph separators,
# and its controls of text direction.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
    **{code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))},
}


MAX_LINE_BYTES = 8 * 1024
"""Bytes of a line with its end: what is longer is cut, because many collectors of logs cut it too, or lose it."""
_MAX_TRACE_CHARS = 64 * 1024
_MAX_MESSAGE_BYTES = 4 * 1024
_MAX_WHERE_CHARS = 200
"""Bounds of an entry in JSON, which leave room for a traceback in a line."""


def escaped(text: str) -> str:
    """Return the text on one line, with control characters escaped as in Python, so that it cannot forge a line."""
    # Most text is printable, and then nothing in it needs escaping.
    return text if text.isprintable() else text.translate(_ESCAPES)


def escaped_word(text: str) -> str:
    """Return the text as one word, so that it cannot forge a field of a line: blanks, `=`, `"` and `\\` are escaped."""
    return re.sub(r'[\s="\\]', lambda found: f"\\u{ord(found[0]):04x}", text)


class LineFormatter(logging.Formatter):
    """Formatter for `YYYY-MM-DD HH:MM:SS,mmm LEVEL request-id [thread-id] [method:line] text`, in UTC.

    A traceback follows on indented lines.
    """

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        line = (
            f"{self.formatTime(record)} {record.levelname} {request_id.get()} "
            f"[{threading.get_native_id()}] [{_where(record)}] {escaped(record.getMessage()[:MAX_LINE_BYTES])}"
        )
        line = _cut(line)
        if record.exc_info:
            trace = self.formatException(record.exc_info)[:_MAX_TRACE_CHARS]
            line = "\n".join([line, *(_cut(f"    | {escaped(part)}") for part in trace.splitlines())])
        return line


class JsonFormatter(logging.Formatter):
    """Formatter for one JSON object a line, in ASCII, with the fields of `LineFormatter`.

    `time` is UTC in ISO 8601; a traceback is in `exception`, without its beginning where it is too long.
    """

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, str | int] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "request_id": request_id.get(),
            "thread": threading.get_native_id(),
            "where": _where(record)[:_MAX_WHERE_CHARS],
            "message": _cut_json(record.getMessage(), _MAX_MESSAGE_BYTES),
        }
        if record.exc_info:
            used = len(_json(entry))
            trace = self.formatException(record.exc_info)[-_MAX_TRACE_CHARS:]
            entry["exception"] = _cut_json(trace, MAX_LINE_BYTES - used - 32, keep_end=True)
        return _json(entry)


def _where(record: logging.LogRecord) -> str:
    """Return `method:line`; the request log names the function that handles the request, not the one that logs."""
    return getattr(record, "where", None) or f"{record.funcName}:{record.lineno}"


def _json(value: object) -> str:
    """Return JSON in printable ASCII."""
    return json.dumps(value).replace("\x7f", r"\u007f")


def _cut_json(text: str, most: int, *, keep_end: bool = False) -> str:
    """Return the text, or as much of it as has `most` bytes in JSON, with `…` where it was cut."""
    text = text[-most:] if keep_end else text[: most + 1]
    cut = text
    while (size := len(_json(cut))) > most:
        length = len(cut) * most // size - 1
        cut = f"…{text[-length:]}" if keep_end else f"{text[:length]}…"
    return cut


def _cut(line: str) -> str:
    """Return the line, or as much of it as a line may have."""
    if len(line) < MAX_LINE_BYTES // 4:  # no character has more than four bytes
        return line
    encoded = line.encode(errors="backslashreplace")
    if len(encoded) < MAX_LINE_BYTES:
        return line
    return encoded[: MAX_LINE_BYTES - len("…\n".encode())].decode(errors="ignore") + "…"


def configure(level: str, form: Literal["text", "json"] = "text") -> None:
    """Log everything at this level or above to standard error, through one handler, as text or as JSON.

    Libraries that log addresses and headers of their own requests stay at WARNING.
    """
    # The format does not show these (Python's logging howto, section "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("openai", "httpx2", "httpcore2", "PIL", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
