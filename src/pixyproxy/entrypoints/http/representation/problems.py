"""Errors as `application/problem+json` (RFC 9457), and the table from error class to status."""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from pixyproxy.application.generation.callers import Caller
from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.session_cookie import is_of_page

logger = logging.getLogger(__name__)

CHALLENGE = 'Basic realm="pixyproxy", charset="UTF-8"'
"""The credentials that a 401 asks for (RFC 7617)."""

STATUS_OF: Mapping[type[errors.PixyProxyException], int] = {
    errors.PixyProxyException: 500,
    errors.DBConnectionError: 503,
    errors.DBRefusedError: 503,
    errors.SchemaVersionError: 503,
    errors.RecordNotFoundError: 404,
    errors.ImageNotFoundError: 404,
    errors.UserNotFoundError: 404,
    errors.BudgetNotFoundError: 404,
    errors.ModelNotFoundError: 404,
    errors.ConstraintViolationError: 409,
    errors.NameReservedError: 409,
    errors.IdempotencyKeyTakenError: 409,
    errors.IdempotencyKeyReusedError: 422,
    errors.ImageNotReadyError: 409,
    errors.ImageNotQueuedError: 409,
    errors.DataValidationError: 422,
    errors.AuthenticationError: 401,
    errors.PermissionDeniedError: 403,
    errors.AccountPausedError: 403,
    errors.CapacityExceededError: 503,
    errors.BudgetExceededError: 402,
    errors.UnpricedModelError: 402,
    errors.PlacesTakenError: 503,
    errors.TooManyLoginsError: 429,
    errors.ServiceStoppedError: 503,
    errors.GeneratorError: 502,
    errors.PromptRejectedError: 422,
    errors.GeneratorRequestError: 422,
    errors.EditingUnsupportedError: 400,
    errors.GeneratorRateLimitedError: 429,
    errors.QueueTimeoutError: 503,
    errors.GeneratorCredentialsError: 502,
    errors.GeneratorQuotaError: 502,
    errors.GeneratorUnavailableError: 502,
    errors.GeneratorConnectionLostError: 502,
    errors.GenerationInterruptedError: 502,
    errors.GeneratorTimeoutError: 504,
    errors.GeneratorResponseError: 502,
    errors.BlobStoreError: 503,
    errors.BlobStoreExhaustedError: 503,
    errors.StoreIdentityError: 503,
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
    421: "unknown-host",
}
# As in RFC 9110; those of the standard library depend on the version of Python.
_TITLES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
_DEFAULT_RETRY_S = {429: 10, 503: 5}
"""Seconds in Retry-After if the error names none; clients rely on the header."""
_PATH_CHARACTERS = "/:@!$&'()*+,;=-._~"
"""Characters that need no escape in the path of a URI (RFC 3986, section 3.3), besides letters and digits."""


def status_of(error: errors.PixyProxyException) -> int:
    """Return the status of an error; an adapter's own class has the status of its base class."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def error_headers(request: Request, error: Exception, status: int) -> dict[str, str]:
    """Return the headers of an error response, whatever the form of its body."""
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers.update(error.headers or {})
    elif isinstance(error, errors.PixyProxyException):
        if error.replayed:
            headers["Idempotent-Replayed"] = "true"
        if error.may_have_been_paid:
            # OpenAI's SDKs and others that know the header would repeat the request by themselves.
            headers["x-should-retry"] = "false"
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        elif status in _DEFAULT_RETRY_S:
            headers["Retry-After"] = str(_DEFAULT_RETRY_S[status])
    elif guid_of_fault(request.scope, error) is not None:
        headers["x-should-retry"] = "false"
    # A browser would open its password box over the page.
    if status == 401 and not is_of_page(request.headers):
        headers["WWW-Authenticate"] = CHALLENGE
    elif status == 405:
        # Starlette names the methods of one route; a path may have several.
        headers["Allow"] = ", ".join(allowed_methods(request.app.routes, request.scope["path"]))
    return headers


def guid_of_fault(scope: Scope, error: Exception) -> str | None:
    """Return the GUID of the image that the caller of a request waits for, if an error is a fault of this program."""
    caller: Caller | None = scope.get("state", {}).get("caller")
    is_fault = not isinstance(error, (errors.PixyProxyException, HTTPException))
    return caller.guids[0] if is_fault and caller is not None and caller.guids else None


def allowed_methods(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """Return the methods that a path answers to, sorted; HEAD goes with GET, and a path without a route is a file."""
    methods: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            methods |= route.methods or set()
    return sorted(methods | {"HEAD"} if "GET" in methods else methods) or ["GET", "HEAD"]


def log_error(error: Exception, status: int) -> None:
    """Log an error unless the caller caused it."""
    if isinstance(error, errors.PixyProxyException):
        if status >= 500 and not isinstance(error, errors.PlacesTakenError):
            logger.error("responding %d: %s: %s", status, type(error).__name__, error.message)
    elif not isinstance(error, HTTPException):
        logger.error("unexpected error", exc_info=error)


def problem_response(request: Request, error: Exception) -> Response:
    """Return the problem document of any error."""
    problem, headers = describe_problem(request, error)
    return json_response(problem, problem["status"], headers, media_type="application/problem+json")


def describe_problem(request: Request, error: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the members of a problem and the headers of its response; unexpected errors are logged, not described."""
    members: dict[str, Any] = {}
    if isinstance(error, errors.PixyProxyException):
        status, detail, code = status_of(error), error.detail, error.code
        if error.guid is not None:
            members["guid"] = error.guid
        if isinstance(error, errors.DataValidationError):
            members["errors"] = [{"loc": list(loc), "msg": msg} for loc, msg in error.errors]
    elif isinstance(error, HTTPException):
        status, detail = error.status_code, error.detail
        code = _CODE_OF_STATUS.get(status, "http-error")
    else:
        status, code = 500, "internal-error"
        detail = "An unexpected error occurred; the server's log has its details under this request_id."
        if (guid := guid_of_fault(request.scope, error)) is not None:
            members["guid"] = guid
    log_error(error, status)
    headers = error_headers(request, error, status)
    if status == 404 and isinstance(error, HTTPException):
        detail = "There is nothing at this path."
    elif status == 405:
        detail = f"This path allows {headers['Allow']} only."
    problem = {
        "type": f"urn:pixyproxy:problem:{code}",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": quote(request.scope["path"], safe=_PATH_CHARACTERS),
        "code": code,
        "request_id": request.scope.get("state", {}).get("request_id"),
        **members,
    }
    return problem, headers
