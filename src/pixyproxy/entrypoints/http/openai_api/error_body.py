"""Errors below `/v1` in OpenAI's envelope (https://platform.openai.com/docs/guides/error-codes)."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.middleware.authentication import has_credentials
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.problems import error_headers, guid_of_fault, log_error, status_of

PREFIX = "/v1"
_ROUTE_ENDS = (
    (re.compile(r".*/images/+generations?/*", re.IGNORECASE), f"{PREFIX}/images/generations"),
    (re.compile(r".*/images/+edits?/*", re.IGNORECASE), f"{PREFIX}/images/edits"),
    (re.compile(r"(/+(v1|api|openai))*/+models(/.*)?", re.IGNORECASE), f"{PREFIX}/models"),
)
"""Ends of paths that clients with a wrong base URL ask for, and the right paths."""

# OpenAI's clients know these by another status than the one that fits best elsewhere.
_STATUS_OF: Mapping[type[errors.PixyProxyException], int] = {
    errors.DataValidationError: 400,
    errors.PromptRejectedError: 400,
    errors.GeneratorRequestError: 400,
    errors.GeneratorQuotaError: 429,
    errors.BudgetExceededError: 429,
    errors.UnpricedModelError: 429,
}
_CODE_OF: Mapping[type[errors.PixyProxyException], str] = {
    errors.AuthenticationError: "invalid_api_key",
    errors.DataValidationError: "invalid_value",
    errors.PromptRejectedError: "moderation_blocked",
    errors.GeneratorRateLimitedError: "rate_limit_exceeded",
    errors.TooManyLoginsError: "rate_limit_exceeded",
    errors.GeneratorQuotaError: "insufficient_quota",
    errors.BudgetExceededError: "insufficient_quota",
    errors.UnpricedModelError: "insufficient_quota",
    errors.ModelNotFoundError: "model_not_found",
}
_QUOTA_ERRORS = (errors.GeneratorQuotaError, errors.BudgetExceededError, errors.UnpricedModelError)
_WRONG_KEY = "Incorrect API key provided."
"""OpenAI's text: some clients search for it, and take any other 401 for a bad request."""
_TYPE_OF_STATUS = {403: "permission_error", 429: "rate_limit_error"}


def is_openai_path(path: str) -> bool:
    """Return true if a path belongs to OpenAI's API, or only a client of that API asks for it."""
    return path == PREFIX or path.startswith((f"{PREFIX}/", "/openai/", "/images/")) or right_path(path) is not None


def right_path(path: str) -> str | None:
    """Return the path of OpenAI's API that was meant by one with a wrong base, None if the path tells nothing."""
    return next((right for end, right in _ROUTE_ENDS if end.fullmatch(path) and path != right), None)


def openai_error_response(request: Request, error: Exception) -> Response:
    """Return the response to any error; unexpected ones are logged and not described."""
    body = error_body(error, guid_of_fault(request.scope, error))
    if isinstance(error, errors.PixyProxyException):
        status = _status(error)
    else:
        status = error.status_code if isinstance(error, HTTPException) else 500
    log_error(error, status)
    headers = error_headers(request, error, status)
    if not may_be_repeated(error):
        # The SDKs would repeat the request by themselves.
        headers["x-should-retry"] = "false"
    if status == 401:
        headers["WWW-Authenticate"] += ', Bearer realm="pixyproxy"'
        if has_credentials(request.headers):
            body["error"]["message"] = f"{_WRONG_KEY} {body['error']['message']}"
    elif isinstance(error, HTTPException) and status == 404:
        body["error"]["message"] = f"Invalid URL ({request.method} {request.scope['path']})"
        if right := right_path(request.scope["path"]):
            body["error"]["message"] += f". Use {right}: the base URL of a client ends in {PREFIX}."
    elif status == 405:
        message = f"Not allowed to {request.method} on {request.scope['path']}: use {headers['Allow']}."
        body["error"]["message"] = message
    return json_response(body, status, headers)


def may_be_repeated(error: Exception) -> bool:
    """Return true if a repeat pays for nothing twice and may succeed."""
    if isinstance(error, HTTPException):
        return True
    if isinstance(error, _QUOTA_ERRORS) or not isinstance(error, errors.PixyProxyException):
        # An unexpected error may have come after the payment.
        return False
    return not (error.may_have_been_paid or (isinstance(error, errors.GeneratorError) and error.is_final))


def error_body(error: Exception, guid: str | None = None) -> dict[str, Any]:
    """Return the body of an error: the generator's own if it gave one, because the clients know its texts.

    `guid` names the image that an unexpected error concerns, if there is one.
    """
    if isinstance(error, HTTPException):
        return _envelope(error.detail, _type_of(error.status_code))
    if not isinstance(error, errors.PixyProxyException):
        return _envelope("An unexpected error occurred; the server's log has its details.", "server_error", guid=guid)
    if isinstance(error, errors.GeneratorError) and error.document is not None:
        return _passed_on(error.document, error)
    code = next((_CODE_OF[kind] for kind in type(error).__mro__ if kind in _CODE_OF), error.code)
    param, message = None, error.detail
    if isinstance(error, errors.DataValidationError) and error.errors:
        param = ".".join(map(str, error.errors[0].loc)) or None
        message = " ".join(f"{'.'.join(map(str, loc)) or 'body'}: {msg}." for loc, msg in error.errors)
    return _envelope(message, _type(error), param, code, error.guid)


def _passed_on(document: Mapping[str, Any], error: errors.GeneratorError) -> dict[str, Any]:
    """Return the generator's own document, with the GUID of the image and with the advice if it may have been paid."""
    inner = document.get("error")
    if not error.may_have_been_paid or not isinstance(inner, Mapping):
        return dict(document)
    ours: dict[str, Any] = {} if error.guid is None else {"guid": error.guid}
    if error.advice is not None and isinstance(inner.get("message"), str):
        ours["message"] = f"{inner['message']} {error.advice}".lstrip()
    return {**document, "error": {**inner, **ours}}


def _type(error: errors.PixyProxyException) -> str:
    if isinstance(error, errors.PromptRejectedError):
        return "image_generation_user_error"
    if isinstance(error, _QUOTA_ERRORS):
        return "insufficient_quota"
    return _type_of(_status(error))


def _type_of(status: int) -> str:
    return _TYPE_OF_STATUS.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _status(error: errors.PixyProxyException) -> int:
    if isinstance(error, errors.GeneratorRequestError) and _upstream_code(error) == "model_not_found":
        return 404
    return next((_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF), status_of(error))


def _upstream_code(error: errors.GeneratorError) -> object:
    inner = (error.document or {}).get("error")
    return inner.get("code") if isinstance(inner, Mapping) else None


def _envelope(
    message: str, kind: str, param: str | None = None, code: str | None = None, guid: str | None = None
) -> dict[str, Any]:
    ours = {} if guid is None else {"guid": guid}
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **ours}}
