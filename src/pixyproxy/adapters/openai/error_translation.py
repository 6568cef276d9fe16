"""Translation of failures of HTTP and of the network into errors of the domain."""

import errno
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pixyproxy.adapters.openai import statuses
from pixyproxy.adapters.openai.error_messages import (
    MAX_DOCUMENT_BYTES,
    ErrorMessage,
    read_error_document,
    read_error_message,
    sanitize,
)
from pixyproxy.adapters.openai.reading.reported_failure import find_error
from pixyproxy.adapters.openai.retry_after import retry_after
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
_ABOUT_SOMETHING_ELSE = frozenset({402, 404, 405, 407, 410, 429})
"""Statuses of errors that do not concern the prompt, whatever their words, such as the name of a model."""

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


class Refusal(Exception):
    """Response of the upstream with a status other than success."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class DocumentRefusal(Refusal):
    """Error in a stream, or in a response with a status of success; `begun` if a partial picture came before it.

    Of a document that is too large to be passed on only the beginning is kept.
    """

    def __init__(self, document: dict[str, Any], *, begun: bool) -> None:
        error = (find_error(document) or {}).get("error")
        body = json.dumps({"error": error or document}).encode()[: MAX_DOCUMENT_BYTES + 1]
        super().__init__(_document_status(error, body), {}, body)
        self.args = ("in a response with a status of success",)
        self.begun = begun


def _document_status(error: object, body: bytes) -> int:
    """Return the status that belongs to an error without one: by its code, or a number that it gives itself."""
    message = read_error_message(body, "")
    if (known := next((status for code, status in STREAM_STATUSES.items() if code in message.codes), None)) is not None:
        return known
    if isinstance(error, Mapping):
        for name in ("code", "status", "status_code"):
            number = str(error.get(name))
            if number.isdecimal() and 400 <= int(number[:4]) < 600:
                return int(number)
    return 400 if message.rejects_prompt else 402 if message.lacks_credit else 500


class RequestNotSentError(Exception):
    """A request of which nothing was sent; with `may_repeat` it may succeed the next time."""

    def __init__(self, reason: str, *, may_repeat: bool) -> None:
        super().__init__(reason)
        self.may_repeat = may_repeat

    @property
    def lacks_files(self) -> bool:
        """Return whether this process, or the machine, had too many files open for a connection."""
        codes = {errno.EMFILE, errno.ENFILE}
        return any(isinstance(cause, OSError) and cause.errno in codes for cause in causes_of(self))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        if isinstance(cause, BaseExceptionGroup):  # an attempt for each address of a host
            yield from cause.exceptions
        cause = (cause.__cause__ or cause.__context__) if cause.__cause__ is not cause else None


FAILURES = (Refusal, RequestNotSentError, OSError)
"""All exceptions in which a call can end; OSError covers TimeoutError and ConnectionError."""


def translate(error: Exception, *, api_key: str, model: str, model_requested: bool) -> GeneratorError:
    """Return the domain's error for a failed call; log what the operator must know, without the key.

    An error of another kind is a fault, or there was no memory or thread to read the response with.
    """
    if isinstance(error, GeneratorError):
        return error
    if not isinstance(error, FAILURES):
        log.error("A call of the generator failed unexpectedly", exc_info=error)
        return GeneratorConnectionLostError("The generator's response could not be read.")
    if not isinstance(error, Refusal):
        return _connection_error(error, api_key)
    message = read_error_message(error.body[:MAX_DOCUMENT_BYTES], api_key)
    failure = _refusal_error(error, message, model, model_requested)
    if isinstance(failure, (GeneratorCredentialsError, GeneratorQuotaError)):
        log.error("The operator must act: the generator answered (%s): %s", error, message.message)
    elif isinstance(failure, GeneratorUnavailableError) or failure.may_have_been_paid:
        # The codes only: the message may repeat the prompt.
        codes = sanitize(", ".join(sorted(message.codes)), "")[:100] or "no code"
        log.warning("The generator failed (%s; %s)", error, codes)
    document = None if _concerns_operator(failure, error, message) else read_error_document(error.body, api_key)
    if isinstance(error, DocumentRefusal) and error.begun and not failure.is_final:
        # The partial pictures may be billed.
        failure = GeneratorConnectionLostError("The generator broke off while it made the picture.")
    failure.document = document
    return failure


def _connection_error(error: Exception, api_key: str) -> GeneratorError:
    log.warning("The call of the generator failed: %s", sanitize(f"{type(error).__name__}: {error}", api_key))
    if isinstance(error, RequestNotSentError):
        return GeneratorUnavailableError("The generator cannot be reached.")
    if isinstance(error, TimeoutError):
        return GeneratorTimeoutError("The generator did not answer in time.")
    return GeneratorConnectionLostError("The connection to the generator broke before its response was complete.")


def _refusal_error(refusal: Refusal, message: ErrorMessage, model: str, model_requested: bool) -> GeneratorError:
    status = refusal.status
    wait_s = retry_after(refusal.headers, refusal.body[:MAX_DOCUMENT_BYTES])
    reason = message.message or str(refusal)
    if statuses.may_have_been_paid(status, message):
        if status in statuses.TIMEOUTS:
            return GeneratorTimeoutError(f"The generator, or a gateway in front of it, timed out ({refusal}).")
        return GeneratorConnectionLostError(
            f"The call was broken off by the generator or a gateway in front of it ({refusal})."
        )
    if status != 401 and (400 <= status < 500 or (status >= 500 and message.is_own_word)):
        if message.codes & PROMPT_CODES or (status not in _ABOUT_SOMETHING_ELSE and message.rejects_prompt):
            return PromptRejectedError(reason)
        if message.codes & QUOTA_CODES or status == 402 or message.lacks_credit:
            return GeneratorQuotaError("The account at the generator has no credit left.")
    if (status in (404, 410) and message.concerns_model) or (status == 403 and MODEL_CODE in message.codes):
        return _model_error(model, model_requested)
    if status in statuses.WRONG_ADDRESS:
        to = sanitize(refusal.headers.get("location", ""), "")
        log.error(
            "The generator answers HTTP %d to a generation%s: see OPENAI_BASE_URL",
            status,
            f" and redirects to {to}" if to else "",
        )
        return GeneratorUnavailableError(f"The generator is not at the address in OPENAI_BASE_URL ({refusal}).")
    if status in (401, 403):
        return GeneratorCredentialsError(
            f"The generator refuses the credentials of this service ({refusal}): see OPENAI_API_KEY."
        )
    if status == 407:
        return GeneratorUnavailableError(
            f"A proxy in front of the generator wants other credentials ({refusal}): see HTTP_PROXY and HTTPS_PROXY."
        )
    if status == 429:
        return GeneratorRateLimitedError(f"The generator's rate limit is reached: {reason}", retry_after_s=wait_s)
    if status in statuses.REQUEST_FAULTS:
        return GeneratorRequestError(f"The generator refuses the request: {reason}")
    words = f": {message.message}" if message.is_own_word and message.message else "."
    return GeneratorUnavailableError(f"The generator failed ({refusal}){words}", retry_after_s=wait_s)


def _concerns_operator(failure: GeneratorError, refusal: Refusal, message: ErrorMessage) -> bool:
    """Return whether a refusal is about this service's credentials or settings, which callers must not see."""
    if isinstance(failure, GeneratorUnavailableError):
        return refusal.status in statuses.WRONG_ADDRESS or MODEL_CODE in message.codes
    return isinstance(failure, GeneratorCredentialsError)


def _model_error(model: str, requested: bool) -> GeneratorError:
    if requested:
        return GeneratorRequestError(f"The generator has no model {sanitize(model, '')!r} for this service.")
    log.error("The generator does not know the model %r: see PIXYPROXY_OPENAI_MODEL and OPENAI_BASE_URL", model)
    return GeneratorUnavailableError("The generator does not know the model that is configured.")
