"""The one place where failures of HTTP, of the network and of the SDK become errors of the domain."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp

from pixyproxy.adapters.openai.error_messages import Words, harmless, read_document, read_words, retry_after
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

# The status that comes with each code or type, the special ones first: in a stream only the code is told.
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
"""A proxy's patience has ended and not the work behind it, which may yet be billed; 524 is Cloudflare's."""

REQUEST_STATUSES = {400, 413, 414, 415, 422, 431, 451}

# What aiohttp raises while it still looks for, connects to or greets the server: no request was written.
NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
TRANSIENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class Refusal(Exception):
    """The upstream answered with something other than success."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class StreamRefusal(Refusal):
    """The upstream said in its stream why there will be no picture; with `begun` it had sent an early view before."""

    def __init__(self, document: dict[str, Any], *, begun: bool) -> None:
        error = document.get("error")
        body = json.dumps({"error": error} if isinstance(error, dict) else document).encode()
        codes = read_words(body, "").codes
        status = next((status for code, status in STREAM_STATUSES.items() if code in codes), 500)
        super().__init__(status, {}, body)
        self.args = ("in its stream",)
        self.begun = begun


class UnpackingError(Exception):
    """The body is not packed as its Content-Encoding says."""


class SdkFailure(Exception):
    """The SDK or its HTTP client failed; what did is the cause."""


FAILURES = (Refusal, UnpackingError, SdkFailure, aiohttp.ClientError, OSError)
"""All that a call can end in; OSError covers TimeoutError and ConnectionError."""


def translate(error: Exception, *, api_key: str, model: str, model_requested: bool) -> GeneratorError:
    """The domain's word for a failed call; what concerns the operator is logged here, without the key."""
    if isinstance(error, Refusal):
        words = read_words(error.body, api_key)
        failure = _refused(error, words, model, model_requested)
        if isinstance(failure, (GeneratorCredentialsError, GeneratorQuotaError)):
            log.error("The operator must act: the generator answered (%s): %s", error, words.message)
        elif isinstance(failure, GeneratorUnavailableError):
            # Its codes and not its words, which may repeat the prompt.
            codes = harmless(", ".join(sorted(words.codes)), "")[:100] or "no code"
            log.warning("The generator failed (%s; %s)", error, codes)
        document = None if _is_about_us(failure, error, words) else read_document(error.body, api_key)
        if isinstance(error, StreamRefusal) and error.begun and not failure.is_final:
            # The early views were work, which may be billed.
            failure = GeneratorConnectionLostError("The generator broke off while it made the picture.")
        failure.document = document
        return failure
    return _broken(error, api_key)


def never_sent(error: Exception) -> bool:
    """Whether a connection failed before any of the request left, and may work the next moment."""
    causes = tuple(_causes(error))
    if any(isinstance(cause, aiohttp.ClientSSLError) for cause in causes):
        return False  # a wrong certificate stays wrong
    return any(isinstance(cause, TRANSIENT) for cause in causes)


def _broken(error: Exception, api_key: str) -> GeneratorError:
    # The SDK's transport reports a connection reset after sending as a ConnectTimeout, so the classes that the SDK
    # raises are of no use: what aiohttp raised underneath decides, and in doubt it may have been paid.
    causes = tuple(_causes(error))
    words = harmless(f"{type(causes[-1]).__name__}: {causes[-1]}", api_key)
    log.warning("The call of the generator failed: %s", words)
    if any(isinstance(cause, NOT_SENT) for cause in causes):
        return GeneratorUnavailableError("The generator cannot be reached.")
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return GeneratorTimeoutError("The generator did not answer in time.")
    return GeneratorConnectionLostError("The connection to the generator broke before its answer was complete.")


def _refused(refusal: Refusal, words: Words, model: str, model_requested: bool) -> GeneratorError:
    status = refusal.status
    wait_s = retry_after(refusal.headers)
    reason = words.message or str(refusal)
    if status == 401:
        return _credentials()
    if 400 <= status < 500:
        if words.codes & PROMPT_CODES:
            return PromptRejectedError(reason)
        if words.codes & QUOTA_CODES or status == 402:
            return GeneratorQuotaError("The account at the generator has no credit left.")
        if MODEL_CODE in words.codes or status == 404:
            return _model_missing(model, model_requested)
    if status == 403:
        return _credentials()
    if status == 429:
        return GeneratorRateLimitedError(f"The generator asks for patience: {reason}", retry_after_s=wait_s)
    if status in REQUEST_STATUSES:
        return GeneratorRequestError(f"The generator refuses the request: {reason}")
    if status in GATEWAY_TIMEOUTS:
        return GeneratorTimeoutError(f"A gateway before the generator gave up waiting for it (HTTP {status}).")
    return GeneratorUnavailableError(f"The generator failed ({refusal}).", retry_after_s=wait_s)


def _is_about_us(failure: GeneratorError, refusal: Refusal, words: Words) -> bool:
    """Whether a refusal speaks of this service's own credentials or settings, which are no caller's business."""
    if isinstance(failure, GeneratorUnavailableError):
        return refusal.status == 404 or MODEL_CODE in words.codes
    return isinstance(failure, GeneratorCredentialsError)


def _credentials() -> GeneratorCredentialsError:
    return GeneratorCredentialsError("The generator refuses the credentials of this service.")


def _model_missing(model: str, requested: bool) -> GeneratorError:
    if requested:
        return GeneratorRequestError(f"The generator has no model {harmless(model, '')!r} for this service.")
    log.error("The generator does not know the model %r: see PIXYPROXY_OPENAI_MODEL and OPENAI_BASE_URL", model)
    return GeneratorUnavailableError("The generator does not know the model that is configured.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
