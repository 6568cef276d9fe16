"""Format of log lines: one event per line, with the id of the request that is being served."""

import contextvars
import logging
import re
import sys
import threading
import time

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
        # The request log names the function that handles the request instead of the one that logs.
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
    """Log everything at this level or above to standard error, through one handler.

    Libraries that log addresses and headers of their own requests stay at WARNING.
    """
    # The format does not show these (Python's logging howto, section "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("openai", "httpx2", "httpcore2", "PIL", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
