"""Error responses: messages, codes and documents."""

import json
from typing import Any

import pytest

from pixyproxy.adapters.openai.error_messages import (
    MAX_MESSAGE_CHARS,
    read_error_document,
    read_error_message,
    sanitize,
)
from pixyproxy.adapters.openai.error_translation import DocumentRefusal, Refusal, translate
from pixyproxy.domain.errors import (
    GeneratorConnectionLostError,
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorQuotaError,
    GeneratorRateLimitedError,
    GeneratorRequestError,
    GeneratorUnavailableError,
    PromptRejectedError,
)

KEY = "my-local-key-without-a-known-form"


@pytest.mark.parametrize(
    ("body", "message", "codes", "is_own_word"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "c"}}', "m", {"t", "c"}, True),
        (b'{"error": {"message": "m", "type": null, "code": 404}}', "m", set(), True),
        (b'{"message": "m", "code": "c"}', "m", {"c"}, False),
        (b'{"detail": "m"}', "m", set(), True),
        (b'{"error": "m"}', "m", set(), True),
        (b'"m"', "m", set(), False),
        (b"m", "m", set(), False),
        (b'\xef\xbb\xbf{"error": {"message": "m"}}', "m", set(), True),
        (b'[{"error": {"message": "m"}}]', "m", set(), True),
        (b'{"error": null}', "", set(), False),
        (b'{"error": null, "message": "m"}', "m", set(), False),
        (b'{"error": {"message": {"deep": 1}}}', "", set(), True),
        (b'{"error": {"message": {"message": "m"}}}', "m", set(), True),
        (b'{"error": {"code": "c"}, "message": "m"}', "m", {"c"}, True),
        (b'{"detail": [{"loc": ["body", "size"], "msg": "m"}, {"msg": "o"}]}', "body.size: m; o", set(), True),
        (b'{"errors": {"size": ["m", "o"]}}', "size: m; size: o", set(), True),
        (b'{"fault": {"faultstring": "m"}}', "m", set(), True),
        (b"[]", "", set(), False),
        (b"17", "", set(), False),
        (b"<html>", "", set(), False),
        (b" <!DOCTYPE html>", "", set(), False),
        (b"", "", set(), False),
    ],
)
def test_error_messages(body: bytes, message: str, codes: set[str], is_own_word: bool) -> None:
    assert read_error_message(body, KEY)[:3] == (message, codes, is_own_word)


@pytest.mark.parametrize("body", [b"\xff\xfe\xfa", b"[" * 60_000, b'{"error":' * 60_000, b"x" * 60_000])
def test_the_message_of_an_odd_document_is_bounded(body: bytes) -> None:
    assert len(read_error_message(body, KEY).message) <= MAX_MESSAGE_CHARS


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} is wrong",
        "Incorrect API key provided: sk-proj-abc***********wxyz. Sorry.",
        "Incorrect API key provided: my-lo******form. Sorry.",
        "header Authorization: Bearer abcdef",
        "header authorization: bearer abcdef",
        "limit for org-AbC123 reached",
    ],
)
def test_secrets_are_removed(text: str) -> None:
    words = sanitize(text, KEY)
    assert "[…]" in words
    for secret in (KEY, "abc", "AbC", "wxyz", "my-lo", "form", "bearer abcdef"):
        assert secret not in words


def test_foreign_text_becomes_one_short_line() -> None:
    words = sanitize("a\r\nREQUEST END\x1b[31m\x00 \u202e\u2028 b " + "x" * 100_000, "")
    assert words.startswith("a REQUEST END [31m b xxx")
    assert words.isprintable()
    assert len(words) == MAX_MESSAGE_CHARS


def test_common_words_are_kept() -> None:
    text = "Invalid size '1x1'. Use a risk-free, org-wide *bold* value: ask sk."
    assert sanitize(text, KEY) == text.replace("org-wide", "[…]")


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"message": "Ungültig: 'huge' 🦆.", "type": "invalid_request_error", "param": None, "code": "c"}},
        {"error": {"message": "m", "inner": {"deep": [1, 2.5, True, None, {"a": "b"}]}}, "request_id": "req_1"},
        {"error": {}},
    ],
)
def test_a_document_is_passed_on_unchanged(document: dict[str, Any]) -> None:
    assert read_error_document(json.dumps(document).encode(), KEY) == document
    assert read_error_document(json.dumps(document, ensure_ascii=False).encode(), KEY) == document


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"error": {"message": f"key {KEY}"}}),
        json.dumps({"error": {"message": "m"}, "debug": [{"headers": [f"x{KEY}y"]}]}),
        json.dumps({"error": {KEY: "m"}}),
        json.dumps({"error": {"message": "Incorrect API key provided: sk-abc"}}),
        json.dumps({"error": {"message": "abcdef*****xyz"}}),
        json.dumps({"error": {"message": "m", "org": "org-AbC123"}}),
        json.dumps({"error": {"message": "m", "header": "bearer abcdef"}}),
        '{"error": {"message": "my-local-\\u006bey-without-a-known-form"}}',
    ],
)
def test_a_document_with_a_secret_anywhere_is_not_passed_on(body: str) -> None:
    assert read_error_document(body.encode(), KEY) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b'"error"', b"17", b'{"message": "m"}', b'{"error": "m"}', b'{"error": null}',
        b'{"error": [1]}', b"\xff\xfe\xfa", b"[" * 10_000, b'{"error": {"cost": NaN}}', b'{"error": {"cost": 1e999}}',
        b'{"error": {"message": "\\ud800"}}',
        b'{"error": {"message": "%s"}}' % (b"x" * 20_000),
        b'{"error": %s1%s}' % (b'{"a":' * 20, b"}" * 20),
        b'{"error": {"a": %s%s}}' % (b"[" * 900, b"]" * 900),
    ],
    ids=lambda body: str(body[:30]),
)  # fmt: skip
def test_other_or_too_large_documents_are_not_passed_on(body: bytes) -> None:
    assert read_error_document(body, KEY) is None


def translated(status: int, error: dict[str, Any], *, requested: bool = False) -> GeneratorError:
    body = json.dumps({"error": error}).encode()
    return translate(Refusal(status, {}, body), api_key=KEY, model="m", model_requested=requested)


@pytest.mark.parametrize("status", [400, 402, 409, 422, 429, 500, 503, 504])
def test_a_refusal_carries_its_document(status: int) -> None:
    error = {"message": "why", "type": "t", "param": "size", "code": "c"}
    assert translated(status, error).document == {"error": error}


@pytest.mark.parametrize(
    ("status", "code"), [(401, "c"), (403, "c"), (404, "c"), (404, "model_not_found"), (403, "model_not_found")]
)
def test_an_error_for_the_operator_carries_no_document(status: int, code: str) -> None:
    assert translated(status, {"message": "why", "code": code}).document is None


def test_an_unknown_requested_model_carries_the_document() -> None:
    error = {"message": "no such model", "code": "model_not_found"}
    assert translated(404, error, requested=True).document == {"error": error}


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        ({"code": "moderation_blocked", "type": "image_generation_user_error"}, PromptRejectedError),
        ({"code": "content_policy_violation", "type": "invalid_request_error"}, PromptRejectedError),
        ({"code": "invalid_value", "type": "invalid_request_error"}, GeneratorRequestError),
        ({"code": None, "type": "image_generation_user_error"}, GeneratorRequestError),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, GeneratorCredentialsError),
        ({"code": "rate_limit_exceeded", "type": "requests"}, GeneratorRateLimitedError),
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, GeneratorQuotaError),
        ({"code": "billing_hard_limit_reached", "type": "billing_limit_user_error"}, GeneratorQuotaError),
        ({"code": "model_not_found", "type": "invalid_request_error"}, GeneratorUnavailableError),
        ({"code": None, "type": "server_error"}, GeneratorUnavailableError),
        ({"code": "made_up_tomorrow"}, GeneratorUnavailableError),
        ({}, GeneratorUnavailableError),
    ],
)
def test_an_error_in_a_stream_is_recognised_by_its_codes(codes: dict[str, Any], kind: type[GeneratorError]) -> None:
    error = {"message": "why", **codes}
    for document in ({"type": "error", "error": error}, {"error": error}, error):
        refusal = DocumentRefusal(document, begun=False)
        failure = translate(refusal, api_key=KEY, model="m", model_requested=False)
        assert type(failure) is kind
        assert "HTTP" not in failure.message
        if codes.get("code") != "model_not_found":
            assert failure.document == (None if isinstance(failure, GeneratorCredentialsError) else {"error": error})
        # After a partial image, work was done: only errors that the caller can correct are final.
        begun = translate(DocumentRefusal(document, begun=True), api_key=KEY, model="m", model_requested=False)
        assert type(begun) is (kind if failure.is_final else GeneratorConnectionLostError)
        assert begun.document == failure.document
