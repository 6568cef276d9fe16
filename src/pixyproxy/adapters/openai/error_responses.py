"""Translation of failures of HTTP, of the network and of the SDK into errors of the domain."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp

from pixyproxy.adapters.openai.error_messages import (
    ErrorMessage,
    read_error_document,
    read_error_message,
    retry_after,
    sanitize,
)
from pixyproxy.domain.errors import (
    GeneratorConnectionLostError,
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorQuotaError,
    GeneratorRateLimitedError,
    GeneratorRequestError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    PromptRejectedError,
)

log = logging.getLogger(__name__)

# https://platform.openai.com/docs/guides/error-codes; `content_filter` is Azure's word for the same.
PROMPT_CODES = {"moderation_blocked", "content_policy_violation", "content_filter"}
QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}
MODEL_CODE = "model_not_found"

# The status that belongs to each code or type, the special ones first: an error in a stream has no status.
STREAM_STATUSES = {
    **dict.fromkeys(PROMPT_CODES, 400),
    **dict.fromkeys(QUOTA_CODES, 429),
    MODEL_CODE: 404,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "requests": 429,
    "tokens": 429,
    "image_generation_user_error": 400,
    "invalid_request_error": 400,
}

GATEWAY_TIMEOUTS = {504, 524}
"""A proxy timed out, but the work behind it may go on and be billed; 524 is Cloudflare's."""

REQUEST_STATUSES = {400, 413, 414, 415, 422, 431, 451}

# Errors that aiohttp raises before it writes the request.
NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
TRANSIENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class Refusal(Exception):
    """Response of the upstream with a status other than success."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class StreamRefusal(Refusal):
    """Error event in a stream; `begun` says that a partial picture came before it."""

    def __init__(self, document: dict[str, Any], *, begun: bool) -> None:
        error = document.get("error")
        body = json.dumps({"error": error} if isinstance(error, dict) else document).encode()
        codes = read_error_message(body, "").codes
        status = next((status for code, status in STREAM_STATUSES.items() if code in codes), 500)
        super().__init__(status, {}, body)
        self.args = ("in its stream",)
        self.begun = begun


class ContentDecodingError(Exception):
    """Body that is not compressed as its Content-Encoding says."""


class SdkFailure(Exception):
    """Failure of the SDK or its HTTP client, whose error is the cause."""


FAILURES = (Refusal, ContentDecodingError, SdkFailure, aiohttp.ClientError, OSError)
"""All exceptions in which a call can end; OSError covers TimeoutError and ConnectionError."""


def translate(error: Exception, *, api_key: str, model: str, model_requested: bool) -> GeneratorError:
    """Return the domain's error for a failed call; log what the operator must know, without the key."""
    if not isinstance(error, Refusal):
        return _connection_error(error, api_key)
    message = read_error_message(error.body, api_key)
    failure = _refusal_error(error, message, model, model_requested)
    if isinstance(failure, (GeneratorCredentialsError, GeneratorQuotaError)):
        log.error("The operator must act: the generator answered (%s): %s", error, message.message)
    elif isinstance(failure, GeneratorUnavailableError):
        # The codes only: the message may repeat the prompt.
        codes = sanitize(", ".join(sorted(message.codes)), "")[:100] or "no code"
        log.warning("The generator failed (%s; %s)", error, codes)
    document = None if _concerns_operator(failure, error, message) else read_error_document(error.body, api_key)
    if isinstance(error, StreamRefusal) and error.begun and not failure.is_final:
        # The partial pictures may be billed.
        failure = GeneratorConnectionLostError("The generator broke off while it made the picture.")
    failure.document = document
    return failure


def never_sent(error: Exception) -> bool:
    """Return whether a connection failed before any of the request was sent, and may succeed the next time."""
    causes = tuple(_causes(error))
    if any(isinstance(cause, aiohttp.ClientSSLError) for cause in causes):
        return False  # a wrong certificate stays wrong
    return any(isinstance(cause, TRANSIENT) for cause in causes)


def _connection_error(error: Exception, api_key: str) -> GeneratorError:
    # The SDK's transport reports a connection reset after sending as a ConnectTimeout, so only the error that aiohttp
    # raised underneath is reliable. In doubt the call may have been billed.
    causes = tuple(_causes(error))
    log.warning("The call of the generator failed: %s", sanitize(f"{type(causes[-1]).__name__}: {causes[-1]}", api_key))
    if any(isinstance(cause, NOT_SENT) for cause in causes):
        return GeneratorUnavailableError("The generator cannot be reached.")
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return GeneratorTimeoutError("The generator did not answer in time.")
    return GeneratorConnectionLostError("The connection to the generator broke before its response was complete.")


def _refusal_error(refusal: Refusal, message: ErrorMessage, model: str, model_requested: bool) -> GeneratorError:
    status = refusal.status
    wait_s = retry_after(refusal.headers)
    reason = message.message or str(refusal)
    if 400 <= status < 500 and status != 401:
        if message.codes & PROMPT_CODES:
            return PromptRejectedError(reason)
        if message.codes & QUOTA_CODES or status == 402:
            return GeneratorQuotaError("The account at the generator has no credit left.")
        if MODEL_CODE in message.codes or status == 404:
            return _model_error(model, model_requested)
    if status in (401, 403):
        return GeneratorCredentialsError("The generator refuses the credentials of this service.")
    if status == 429:
        return GeneratorRateLimitedError(f"The generator's rate limit is reached: {reason}", retry_after_s=wait_s)
    if status in REQUEST_STATUSES:
        return GeneratorRequestError(f"The generator refuses the request: {reason}")
    if status in GATEWAY_TIMEOUTS:
        return GeneratorTimeoutError(f"A gateway in front of the generator timed out (HTTP {status}).")
    return GeneratorUnavailableError(f"The generator failed ({refusal}).", retry_after_s=wait_s)


def _concerns_operator(failure: GeneratorError, refusal: Refusal, message: ErrorMessage) -> bool:
    """Return whether a refusal is about this service's credentials or settings, which callers must not see."""
    if isinstance(failure, GeneratorUnavailableError):
        return refusal.status == 404 or MODEL_CODE in message.codes
    return isinstance(failure, GeneratorCredentialsError)


def _model_error(model: str, requested: bool) -> GeneratorError:
    if requested:
        return GeneratorRequestError(f"The generator has no model {sanitize(model, '')!r} for this service.")
    log.error("The generator does not know the model %r: see PIXYPROXY_OPENAI_MODEL and OPENAI_BASE_URL", model)
    return GeneratorUnavailableError("The generator does not know the model that is configured.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
