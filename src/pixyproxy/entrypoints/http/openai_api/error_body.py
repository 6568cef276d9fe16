"""Errors below `/v1` as OpenAI words them (https://platform.openai.com/docs/guides/error-codes)."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.representation.problems import CHALLENGE, headers_of, log_fault, status_of
from pixyproxy.entrypoints.http.route_table import RouteTable

logger = logging.getLogger(__name__)

PREFIX = "/v1"

# Where its clients are used to another status than the one that fits best elsewhere.
_STATUS_OF: Mapping[type[errors.PixyProxyException], int] = {
    errors.DataValidationError: 400,
    errors.PromptRejectedError: 400,
    errors.GeneratorRequestError: 400,
    errors.GeneratorQuotaError: 429,
}
_CODE_OF: Mapping[type[errors.PixyProxyException], str] = {
    errors.AuthenticationError: "invalid_api_key",
    errors.DataValidationError: "invalid_value",
    errors.PromptRejectedError: "moderation_blocked",
    errors.GeneratorRateLimitedError: "rate_limit_exceeded",
    errors.GeneratorQuotaError: "insufficient_quota",
    errors.ModelNotFoundError: "model_not_found",
}
_WRONG_KEY = "Incorrect API key provided."
"""OpenAI's words: there are clients that look for them, and take any other 401 for a bad request."""
_TYPE_OF_STATUS = {403: "permission_error", 429: "rate_limit_error"}


def is_below(path: str) -> bool:
    """Whether a path belongs to this API."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class OpenAIErrorHandler:
    """Turns any exception into the answer to a request."""

    def __init__(self, routes: RouteTable) -> None:
        self._routes = routes

    async def __call__(self, request: Request, error: Exception) -> Response:
        """The answer; what is the service's own fault is logged and not told."""
        if isinstance(error, HTTPException):
            return self._of_http(request, error)
        document = document_of(error)
        if not isinstance(error, errors.PixyProxyException):
            logger.error("unexpected error", exc_info=error)
            # At what moment it happened nobody knows: it may have been after the payment.
            return _response(document, 500, {"x-should-retry": "false"})
        status = _status(error)
        log_fault(status, error)
        headers = headers_of(error, status)
        if status == 401:
            headers["WWW-Authenticate"] = f'{CHALLENGE}, Bearer realm="pixyproxy"'
            if "authorization" in request.headers:
                document["error"]["message"] = f"{_WRONG_KEY} {error.message}"
        if not may_be_repeated(error):
            # Else the SDKs do so by themselves.
            headers["x-should-retry"] = "false"
        return _response(document, status, headers)

    def _of_http(self, request: Request, error: HTTPException) -> Response:
        """An error of HTTP itself."""
        headers = dict(error.headers or {})
        message = error.detail
        if error.status_code == 404:
            message = f"Invalid URL ({request.method} {request.scope['path']})"
        elif error.status_code == 405:
            headers["Allow"] = ", ".join(self._routes.allowed(request.scope["path"]))
            message = f"Not allowed to {request.method} on {request.scope['path']}: use {headers['Allow']}."
        kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
        return _response(_envelope(message, kind), error.status_code, headers)


def may_be_repeated(error: errors.PixyProxyException) -> bool:
    """Whether a repeat costs nothing twice and may fare better."""
    if isinstance(error, errors.GeneratorQuotaError):
        return False
    return not (error.may_have_been_paid or (isinstance(error, errors.GeneratorError) and error.is_final))


def document_of(error: Exception) -> dict[str, Any]:
    """The error document; the generator's own where it gave one, since the clients know its words."""
    if not isinstance(error, errors.PixyProxyException):
        return _envelope("Something went wrong here; the log of the server knows more.", "server_error")
    if isinstance(error, errors.GeneratorError) and error.document is not None:
        return dict(error.document)
    code = next((_CODE_OF[kind] for kind in type(error).__mro__ if kind in _CODE_OF), error.code)
    param, message = None, error.message
    if isinstance(error, errors.DataValidationError) and error.errors:
        param = ".".join(map(str, error.errors[0].loc)) or None
        message = " ".join(f"{'.'.join(map(str, loc)) or 'body'}: {msg}." for loc, msg in error.errors)
    document = _envelope(message, _type(error), param, code)
    if error.guid is not None:
        document["error"]["guid"] = error.guid
    return document


def _type(error: errors.PixyProxyException) -> str:
    if isinstance(error, errors.PromptRejectedError):
        return "image_generation_user_error"
    if isinstance(error, errors.GeneratorQuotaError):
        return "insufficient_quota"
    status = _status(error)
    return _TYPE_OF_STATUS.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _status(error: errors.PixyProxyException) -> int:
    if isinstance(error, errors.GeneratorRequestError) and _upstream_code(error) == "model_not_found":
        return 404
    return next((_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF), status_of(error))


def _upstream_code(error: errors.GeneratorError) -> object:
    inner = (error.document or {}).get("error")
    return inner.get("code") if isinstance(inner, Mapping) else None


def _envelope(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _response(document: Mapping[str, Any], status: int, headers: dict[str, str]) -> Response:
    content = json.dumps(document, ensure_ascii=False).encode(errors="backslashreplace")
    return Response(content, status, {**headers, "Cache-Control": "no-store"}, media_type="application/json")
