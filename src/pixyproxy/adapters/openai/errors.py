"""The one place where failures of the SDK, of HTTP and of the network become errors of the domain."""

import json
import logging
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import httpx2
import openai

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

MAX_WORDS = 1000
"""Characters of the upstream's own words that are passed on."""
MAX_RETRY_AFTER_S = 86_400.0

# https://platform.openai.com/docs/guides/error-codes; `content_filter` is Azure's word for the same.
PROMPT_CODES = {"moderation_blocked", "content_policy_violation", "content_filter"}
QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}
MODEL_CODE = "model_not_found"

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
    httpx2.InvalidURL,
    httpx2.UnsupportedProtocol,
)
TRANSIENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
TIMEOUTS = (TimeoutError, httpx2.ReadTimeout)


class Refusal(Exception):
    """The upstream answered with something other than success."""

    def __init__(self, status: int, headers: httpx2.Headers, body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


FAILURES = (Refusal, openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, aiohttp.ClientError, OSError)
"""All that a call of the SDK can end in; OSError covers TimeoutError and ConnectionError."""


class Words(NamedTuple):
    """What an error document says."""

    message: str
    codes: frozenset[str]


def translate(error: Exception, *, api_key: str, model: str, model_requested: bool) -> GeneratorError:
    """The domain's word for a failed call; what concerns the operator is logged here, without the key."""
    if isinstance(error, Refusal):
        words = read_words(error.body, api_key)
        failure = _refused(error, words, model, model_requested)
        if isinstance(failure, (GeneratorCredentialsError, GeneratorQuotaError)):
            log.error("The operator must act: the generator answered %d: %s", error.status, words.message)
        elif isinstance(failure, GeneratorUnavailableError):
            # Its codes and not its words, which may repeat the prompt.
            log.warning(
                "The generator answered %d (%s)",
                error.status,
                harmless(", ".join(sorted(words.codes)), "")[:100] or "no code",
            )
        return failure
    return _broken(error, api_key)


def never_sent(error: Exception) -> bool:
    """Whether a connection failed before any of the request left, and may work the next moment."""
    causes = tuple(_causes(error))
    if any(isinstance(cause, aiohttp.ClientSSLError) for cause in causes):
        return False  # a wrong certificate stays wrong
    return any(isinstance(cause, TRANSIENT) for cause in causes)


def _broken(error: Exception, api_key: str) -> GeneratorError:
    # The transport reports a connection reset after sending as a ConnectTimeout, so the classes that the SDK
    # raises are of no use: what aiohttp raised underneath decides, and in doubt it may have been paid.
    causes = tuple(_causes(error))
    words = harmless(f"{type(causes[-1]).__name__}: {causes[-1]}", api_key)
    log.warning("The call of the generator failed: %s", words)
    if any(isinstance(cause, NOT_SENT) for cause in causes):
        return GeneratorUnavailableError("The generator cannot be reached.")
    if any(isinstance(cause, TIMEOUTS) for cause in causes):
        return GeneratorTimeoutError("The generator did not answer in time.")
    return GeneratorConnectionLostError("The connection to the generator broke before its answer was complete.")


def _refused(refusal: Refusal, words: Words, model: str, model_requested: bool) -> GeneratorError:
    status = refusal.status
    wait_s = retry_after(refusal.headers)
    reason = words.message or f"HTTP {status}"
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
    return GeneratorUnavailableError(f"The generator failed (HTTP {status}).", retry_after_s=wait_s)


def _credentials() -> GeneratorCredentialsError:
    return GeneratorCredentialsError("The generator refuses the credentials of this service.")


def _model_missing(model: str, requested: bool) -> GeneratorError:
    if requested:
        return GeneratorRequestError(f"The generator has no model {harmless(model, '')!r} for this service.")
    log.error("The generator does not know the model %r: see PIXYPROXY_OPENAI_MODEL and OPENAI_BASE_URL", model)
    return GeneratorUnavailableError("The generator does not know the model that is configured.")


def read_words(body: bytes, api_key: str) -> Words:
    """Message and codes of an error document in OpenAI's shape or one of those seen in its imitations."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    error = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(error, str):
        return Words(harmless(error, api_key), frozenset())
    if not isinstance(error, dict):
        return Words("", frozenset())
    message = next((text for key in ("message", "detail") if isinstance(text := error.get(key), str)), "")
    codes = frozenset(code for key in ("code", "type") if isinstance(code := error.get(key), str))
    return Words(harmless(message, api_key), codes)


_SECRETS = re.compile(r"Bearer\s+\S+|\b(?:sk|org|proj)[-_][\w*.-]{3,}|[^\s*]{0,64}\*{3,}\S{0,64}", re.IGNORECASE)


def harmless(text: str, api_key: str) -> str:
    """The text on one line, bounded, without control characters, the key, or anything that looks like one."""
    bounded = text[: MAX_WORDS * 4]
    if api_key:
        bounded = bounded.replace(api_key, "[…]")
    printable = "".join(char if char.isprintable() else " " for char in bounded)
    line = " ".join(_SECRETS.sub("[…]", printable).split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds to wait as `Retry-After` says (RFC 9110, 10.2.3) or OpenAI's `Retry-After-Ms`; None if neither does."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return _bounded(seconds)
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    try:
        now = parsedate_to_datetime(headers["date"])  # the server's own clock, which may not agree with ours
    except (KeyError, ValueError):
        now = datetime.now(UTC)
    return _bounded((_aware(until) - _aware(now)).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
