"""Errors as `application/problem+json` (RFC 9457): one table from error class to status, one handler."""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.route_table import RouteTable

logger = logging.getLogger(__name__)

CHALLENGE = 'Basic realm="pixyproxy", charset="UTF-8"'
"""What a 401 asks for (RFC 7617)."""

STATUS_OF: Mapping[type[errors.PixyProxyException], int] = {
    errors.PixyProxyException: 500,
    errors.DBConnectionError: 503,
    errors.SchemaVersionError: 503,
    errors.RecordNotFoundError: 404,
    errors.ImageNotFoundError: 404,
    errors.UserNotFoundError: 404,
    errors.ModelNotFoundError: 404,
    errors.ConstraintViolationError: 409,
    errors.IdempotencyKeyTakenError: 409,
    errors.IdempotencyKeyReusedError: 422,
    errors.ImageNotReadyError: 409,
    errors.DataValidationError: 422,
    errors.AuthenticationError: 401,
    errors.PermissionDeniedError: 403,
    errors.CapacityExceededError: 503,
    errors.GeneratorError: 502,
    errors.PromptRejectedError: 422,
    errors.GeneratorRequestError: 422,
    errors.EditingUnsupportedError: 400,
    errors.GeneratorRateLimitedError: 429,
    errors.GeneratorCredentialsError: 502,
    errors.GeneratorQuotaError: 502,
    errors.GeneratorUnavailableError: 502,
    errors.GeneratorConnectionLostError: 502,
    errors.GenerationInterruptedError: 502,
    errors.GeneratorTimeoutError: 504,
    errors.GeneratorResponseError: 502,
    errors.BlobStoreError: 503,
    errors.BlobMissingError: 500,
    errors.BlobCorruptError: 500,
    errors.BlobStoreFullError: 507,
}
"""The status of every error of the core; a test fails if one is missing."""

_CODE_OF_STATUS = {
    400: "malformed-request",
    401: "authentication-required",
    403: "permission-denied",
    404: "not-found",
    405: "method-not-allowed",
    412: "precondition-failed",
    413: "body-too-large",
    415: "unsupported-media-type",
    416: "range-not-satisfiable",
}
# As RFC 9110 has them; those of the standard library depend on the version of Python.
_TITLES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
_DEFAULT_RETRY_S = {429: 10, 503: 5}
"""Seconds in Retry-After where the error names none; a client must always hear when to come back."""


_PATH_CHARACTERS = "/:@!$&'()*+,;=-._~"
"""What stands for itself in the path of a URI (RFC 3986, section 3.3), besides letters and digits."""


def status_of(error: errors.PixyProxyException) -> int:
    """The status of an error; what an adapter derived for itself is answered as the error of the core it is."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def headers_of(error: errors.PixyProxyException, status: int) -> dict[str, str]:
    """The headers that an error brings along, whatever its body looks like."""
    headers: dict[str, str] = {}
    if error.replayed:
        headers["Idempotent-Replayed"] = "true"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif status in _DEFAULT_RETRY_S:
        headers["Retry-After"] = str(_DEFAULT_RETRY_S[status])
    return headers


def log_fault(status: int, error: errors.PixyProxyException) -> None:
    """Log what the caller is not to blame for."""
    if status >= 500:
        logger.error("answering %d: %s: %s", status, type(error).__name__, error.message)


class HTTPProblem(HTTPException):
    """A problem of HTTP itself, such as a body that is no JSON, that the core knows nothing of."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


class ProblemHandler:
    """Turns any exception into the answer to a request."""

    def __init__(self, routes: RouteTable) -> None:
        self._routes = routes

    async def __call__(self, request: Request, error: Exception) -> Response:
        """The problem document; what is the service's own fault is logged and not told."""
        headers: dict[str, str] = {}
        members: dict[str, Any] = {}
        if isinstance(error, errors.PixyProxyException):
            status, detail, code = status_of(error), error.message, error.code
            headers = headers_of(error, status)
            if error.guid is not None:
                members["guid"] = error.guid
            if isinstance(error, errors.DataValidationError):
                members["errors"] = [{"loc": list(loc), "msg": msg} for loc, msg in error.errors]
            log_fault(status, error)
        elif isinstance(error, HTTPException):
            status, detail = error.status_code, error.detail
            code = _CODE_OF_STATUS.get(status, "http-error")
            headers.update(error.headers or {})
            if status == 404:
                detail = "There is nothing at this path."
            elif status == 405:
                # What is not in the table are the files of the documentation.
                allowed = self._routes.allowed(request.scope["path"]) or ["GET", "HEAD"]
                headers["Allow"] = ", ".join(allowed)
                detail = f"This path answers to {headers['Allow']} only."
        else:
            logger.error("unexpected error", exc_info=error)
            status, code = 500, "internal-error"
            detail = "Something went wrong here; the log of the server knows more under this request_id."
        if status == 401:
            headers["WWW-Authenticate"] = CHALLENGE
        body = {
            "type": f"urn:pixyproxy:problem:{code}",
            "title": _TITLES.get(status) or HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "instance": quote(request.scope["path"], safe=_PATH_CHARACTERS),
            "code": code,
            "request_id": request.scope.get("state", {}).get("request_id"),
            **members,
        }
        content = json.dumps(body, ensure_ascii=False).encode(errors="backslashreplace")
        headers["Cache-Control"] = "no-store"
        return Response(content, status, headers, media_type="application/problem+json")


Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]


class ProblemMiddleware:
    """Answers whatever the layers inside raise; once the answer has begun, it can only be broken off."""

    def __init__(self, app: ASGIApp, handler: Handler) -> None:
        self._app = app
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            return  # while its body was read: there is nobody left to answer
        except Exception as error:
            if started:
                # Returning without the last byte makes the server cut the connection, which is the only
                # way left to tell the client that what it got is not whole.
                cause = error.__cause__ or error  # the framework has wrapped what it may not answer any more
                trace = None if isinstance(cause, errors.PixyProxyException) else cause
                logger.error("answer broken off: %s: %s", type(cause).__name__, cause, exc_info=trace)
                return
            response = await self._handler(Request(scope, receive), error)
            await response(scope, receive, send)
