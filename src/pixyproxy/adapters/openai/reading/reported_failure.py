"""Failures that come with a status of success, and tasks of upstreams that work asynchronously."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

_ERRORS = ("error", "errors", "Error")
_REPORTS = ("response", "Response", "output", "result", "data", "base_resp", "header")
"""Names of members in which an upstream reports on a call, beside its pictures or around them."""
_MAX_REPORTS = 100
_FLAGS = ("success", "ok", "Success")
_STATUSES = ("status", "task_status", "taskStatus", "state")
_CODES = ("code", "Code", "status_code", "statusCode", "error_code", "errorCode", "errcode", "ret", "retcode")
_REASONS = ("message", "Message", "msg", "status_msg", "error_message", "error_msg", "errorMessage", "errorMsg",
            "errmsg", "detail", "reason", "failure_reason", "fail_reason")  # fmt: skip
_FINE = ("ok", "success", "succeed")
"""Beginnings of codes and reasons of a call that succeeded."""
_GOES_ON = (
    "success",
    "成功",
    "submitted",
    "accepted",
    "queue",
    "process",
    "progress",
    "running",
    "generating",
    "排队",
    "处理中",
)
"""Parts of the reasons of a call that goes on, or succeeded."""
_FAILED = {"failed", "failure", "fail", "error", "canceled", "cancelled", "rejected", "blocked", "expired",
           "content moderated", "request moderated"}  # fmt: skip
_PENDING = {"queued", "pending", "processing", "in_progress", "in-progress", "starting", "started", "running",
            "submitted", "created", "accepted", "waiting", "in_queue", "not_started"}  # fmt: skip
_TASKS = ("task_id", "taskId", "taskUUID", "job_id", "jobId", "prediction_id", "generationId", "generation_id")
"""Names of the ids of tasks; other calls have such names as well, but not instead of a picture."""
_IDS = ("request_id", "id")
_ENDS = {name.replace("_", "") for name in ("refusal", "finish_message", "finish_reason", "block_reason",
                                            "block_reason_message", "stop_reason")}  # fmt: skip
"""Names, without underscores and in small letters, of the words with which a model ends an answer."""
_USUAL_ENDS = {"stop", "length", "end_turn", "max_tokens", "success"}
_MAX_DEPTH = 8


def find_error(document: Any) -> dict[str, Any] | None:
    """Return an error that came with a status of success, as a document in OpenAI's shape; or None.

    It is at the top, in a report on the call, or in `data[]` instead of a picture.
    """
    for report in _reports(document):
        for name in _ERRORS:
            if error := report.get(name):
                return {"error": _without(report, name) if error is True else error}
    return None


def find_failure(document: Any) -> dict[str, Any] | None:
    """Return a report that tells by a status, a flag or a code only that the call failed, as `find_error` does."""
    return next(({"error": dict(report)} for report in _reports(document) if _has_failed(report)), None)


def find_task(document: Any, *, is_pending: bool) -> tuple[str | None, bool]:
    """Return the id of a task, None if there is none, and True if it is still to be done.

    With `is_pending` the response itself says that it is.
    """
    reports = list(_reports(document))
    for names in (_TASKS, _IDS):
        for report in reports:
            waits = is_pending or _status(report) in _PENDING
            task = next((one for name in names if isinstance(one := report.get(name), (str, int)) and one), None)
            is_task = names is _TASKS or waits or "polling_url" in report
            if task is not None and is_task and _status(report) not in _FAILED:
                return f"{task!r:.200}", waits
    return ("unnamed", True) if is_pending else (None, False)


def find_end(document: Any, depth: int = 0) -> str | None:
    """Return the words with which a model says why it ended without a picture, None if it says nothing unusual."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(document, Mapping):
        for name, value in document.items():
            is_end = name.replace("_", "").lower() in _ENDS and isinstance(value, str)
            if is_end and value.strip() and value.strip().lower() not in _USUAL_ENDS:
                return str(value)
    inner = document.values() if isinstance(document, Mapping) else document if isinstance(document, list) else ()
    return next((end for one in islice(inner, _MAX_REPORTS) if (end := find_end(one, depth + 1)) is not None), None)


def _reports(document: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects that may report on a call."""
    first = [one for one in (document if isinstance(document, list) else [document]) if isinstance(one, Mapping)]
    inner = [report.get(name) for report in first[:_MAX_REPORTS] for name in _REPORTS]
    listed = (one for value in inner for one in (value if isinstance(value, list) else [value]))
    yield from islice((*first, *(one for one in listed if isinstance(one, Mapping))), _MAX_REPORTS)


def _status(report: Mapping[str, Any]) -> str:
    return next((text.lower() for name in _STATUSES if isinstance(text := report.get(name), str)), "")


def _has_failed(report: Mapping[str, Any]) -> bool:
    if _status(report) in _PENDING:
        return False
    if any(report.get(name) is False for name in _FLAGS) or _status(report) in _FAILED:
        return True
    reason = next((text for name in _REASONS if isinstance(text := report.get(name), str) and text.strip()), None)
    if reason is None or reason.lower().lstrip().startswith(_FINE) or any(part in reason.lower() for part in _GOES_ON):
        return False
    return any(_is_failure(report[name]) for name in _CODES if name in report)


def _is_failure(code: object) -> bool:
    """Return whether a code is that of a failure: no number of success, and no word for it."""
    text = str(code).strip().lower() if isinstance(code, (str, int)) and not isinstance(code, bool) else ""
    if text.removeprefix("-").isdecimal() and len(text) < 20:
        return int(text) != 0 and not 200 <= int(text) < 300
    return text != "" and not text.startswith(_FINE)


def _without(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in report.items() if other != name}
