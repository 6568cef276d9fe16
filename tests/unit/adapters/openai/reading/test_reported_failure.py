"""Failures with a status of success, and tasks."""

from typing import Any

import pytest

from pixyproxy.adapters.openai.reading.reported_failure import find_end, find_error, find_failure, find_task

ERROR = {"message": "m", "code": "c"}


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"error": ERROR}, ERROR),
        ({"error": "m"}, "m"),
        ({"errors": [ERROR]}, [ERROR]),
        ({"Response": {"Error": ERROR}}, ERROR),
        ({"response": {"error": ERROR}}, ERROR),
        ({"data": [{"b64_json": None}, {"error": ERROR}]}, ERROR),
        ({"result": {"error": ERROR}}, ERROR),
        ([{"error": ERROR}], ERROR),
        ({"error": True, "message": "m"}, {"message": "m"}),
    ],
    ids=str,
)
def test_an_error_is_found(document: Any, error: object) -> None:
    assert find_error(document) == {"error": error}


@pytest.mark.parametrize(
    "document",
    [
        None,
        5,
        "error",
        [],
        {},
        {"error": None},
        {"error": {}},
        {"errors": []},
        {"error": False},
        {"input": {"error": 1}},
    ],
    ids=str,
)
def test_there_is_no_error(document: Any) -> None:
    assert find_error(document) is None


@pytest.mark.parametrize(
    "report",
    [
        {"code": "InvalidParameter", "message": "m"},
        {"code": 1026, "msg": "m"},
        {"code": "1026", "msg": "m"},
        {"code": -1, "msg": "m"},
        {"code": 500, "detail": "m"},
        {"status_code": 1008, "status_msg": "m"},
        {"error_code": 17, "error_msg": "m"},
        {"errcode": 40001, "errmsg": "m"},
        {"ret": 1, "msg": "m"},
        {"success": False},
        {"ok": False, "description": "m"},
        {"status": "FAILED"},
        {"task_status": "failed", "message": "m"},
        {"state": "Request Moderated"},
    ],
    ids=str,
)
def test_a_failure_is_found_in_every_place(report: dict[str, Any]) -> None:
    for document in (report, [report], {"output": report}, {"base_resp": report}, {"data": report}, {"data": [report]}):
        assert find_failure(document) == {"error": report}


@pytest.mark.parametrize(
    "report",
    [
        {"code": 0, "message": "m"},
        {"code": 200, "message": "m"},
        {"code": "200", "message": "m"},
        {"code": "", "message": "m"},
        {"code": None, "message": "m"},
        {"code": True, "message": "m"},
        {"code": "Success", "message": "m"},
        {"code": 10000, "message": "Success"},
        {"code": 1, "msg": "成功"},
        {"code": 1, "description": "submitted"},
        {"code": 1, "message": "任务提交成功"},
        {"code": 22, "message": "In queue"},
        {"code": 102, "message": "Processing"},
        {"code": 7, "message": "m", "status": "running"},
        {"code": 1026},
        {"message": "m"},
        {"success": True},
        {"success": None},
        {"status": "completed"},
        {"status": 5},
        {"input": {"status": "failed"}},
        [],
        None,
    ],
    ids=str,
)
def test_there_is_no_failure(report: Any) -> None:
    assert find_failure(report) is None


@pytest.mark.parametrize(
    ("document", "is_pending", "task", "waits"),
    [
        ({"task_id": "t"}, False, "'t'", False),
        ({"data": {"taskId": "t"}}, False, "'t'", False),
        ({"data": [{"task_id": 7, "status": "submitted"}]}, False, "7", True),
        ({"request_id": "r", "output": {"task_id": "t", "task_status": "PENDING"}}, True, "'t'", True),
        ({"id": "i", "status": "IN_QUEUE"}, False, "'i'", True),
        ({"id": "i", "polling_url": "http://x/"}, False, "'i'", False),
        ({"id": "i"}, True, "'i'", True),
        ({}, True, "unnamed", True),
        ({"id": "i"}, False, None, False),
        ({"task_id": ""}, False, None, False),
        ({"task_id": "t", "status": "failed"}, False, None, False),
        (None, False, None, False),
    ],
    ids=str,
)
def test_a_task_is_found(document: Any, is_pending: bool, task: str | None, waits: bool) -> None:
    assert find_task(document, is_pending=is_pending) == (task, waits)


def test_very_many_reports_are_not_all_read() -> None:
    assert find_error({"data": [{}] * 1000 + [{"error": ERROR}]}) is None


@pytest.mark.parametrize(
    ("document", "end"),
    [
        ({"candidates": [{"finishReason": "IMAGE_SAFETY"}]}, "IMAGE_SAFETY"),
        ({"candidates": [{"finishReason": "STOP", "finishMessage": "Unable to show it."}]}, "Unable to show it."),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, "PROHIBITED_CONTENT"),
        ({"choices": [{"finish_reason": "content_filter", "message": {"content": None}}]}, "content_filter"),
        ({"choices": [{"finish_reason": "stop", "message": {"refusal": "I cannot."}}]}, "I cannot."),
        ({"choices": [{"finish_reason": "stop", "message": {"refusal": None}}]}, None),
        ({"choices": [{"finish_reason": "length"}]}, None),
        ({"finishReason": 5, "refusal": " "}, None),
        ([], None),
        (None, None),
    ],
    ids=str,
)
def test_the_end_of_a_model_is_found(document: Any, end: str | None) -> None:
    assert find_end(document) == end


def test_a_deep_end_is_not_looked_for() -> None:
    document: Any = {"finish_reason": "content_filter"}
    for _ in range(500):
        document = [document]
    assert find_end(document) is None
