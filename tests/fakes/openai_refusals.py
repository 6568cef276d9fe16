"""How the fake upstream refuses: OpenAI's errors, other servers' errors, errors that misbehave, redirects."""

import json
import time
from email.utils import formatdate

from tests.fakes.openai_behaviours import behaviour, flood
from tests.fakes.openai_exchange import JSON, Exchange, error_document

USER = "image_generation_user_error"
INVALID = "invalid_request_error"

REFUSALS: dict[str, tuple[int, str, str, str | None]] = {
    "400": (400, "Invalid value: 'huge'. Supported values are: '1024x1024'.", INVALID, "invalid_value"),
    "moderation": (400, "Your request was rejected by the safety system. safety_violations=[violence].", USER,
                   "moderation_blocked"),
    "content-policy": (400, "Your request was rejected as a result of our safety system.", INVALID,
                       "content_policy_violation"),
    "401": (401, "Incorrect API key provided: {key}. You can find your API key at https://example.com.", INVALID,
            "invalid_api_key"),
    "403": (403, "Your organization must be verified to use the key {key}.", INVALID, None),
    "404-model": (404, "The model `gone` does not exist or you do not have access to it.", INVALID, "model_not_found"),
    "403-model": (403, "Project `proj_abc` does not have access to model `gone`.", INVALID, "model_not_found"),
    "405": (405, "Not allowed to POST here.", INVALID, "method_not_allowed"),
    "408": (408, "Request timed out.", "timeout", None),
    "409": (409, "Conflict.", INVALID, None),
    "413": (413, "Request too large.", INVALID, None),
    "422": (422, "Unprocessable.", INVALID, None),
    "429": (429, "Rate limit reached for gpt-image-2.", "requests", "rate_limit_exceeded"),
    "quota": (429, "You exceeded your current quota, please check your plan.", "insufficient_quota",
              "insufficient_quota"),
    "402": (402, "Insufficient credits.", "payment_required", None),
    "billing-limit": (400, "Billing hard limit has been reached.", "billing_limit_user_error",
                      "billing_hard_limit_reached"),
    "500": (500, "The server had an error while processing your request.", "server_error", None),
    "503": (503, "The engine is currently overloaded.", "server_error", "overloaded"),
    "504": (504, "Gateway timeout.", "server_error", None),
}  # fmt: skip


def _refusal(name: str) -> None:
    status, message, kind, code = REFUSALS[name]

    @behaviour(name, charged=False)
    async def refuse(
        exchange: Exchange, *, retry_after: str | float | None = None, retry_after_ms: float | None = None,
        http_date: float | None = None,
    ) -> None:  # fmt: skip
        headers: dict[str, str] = {}
        if retry_after is not None:
            headers["Retry_After"] = str(retry_after)
        if retry_after_ms is not None:
            headers["Retry_After_Ms"] = str(retry_after_ms)
        if http_date is not None:
            now = int(time.time())
            headers |= {"Date": formatdate(now, usegmt=True), "Retry_After": formatdate(now + http_date, usegmt=True)}
        key = exchange.record.headers.get("authorization", "").removeprefix("Bearer ")
        await exchange.answer_json(error_document(message.format(key=key), kind, code), status, **headers)


for _name in REFUSALS:
    _refusal(_name)


@behaviour("error", charged=False)
async def error(
    exchange: Exchange, *, status: int = 500, body: object = "", content_type: str = JSON, huge: bool = False
) -> None:
    """Any status with any body (JSON, or text with underscores for spaces), or with one that never ends."""
    if huge:
        await exchange.head(status, content_type, Content_Length=str(10**9))
        await flood(exchange, 10**9)
    else:
        text = body if isinstance(body, str) else json.dumps(body)
        await exchange.answer(text.replace("_", " ").encode(), status, content_type)


@behaviour("error-echo", charged=False)
async def error_echo(exchange: Exchange, *, status: int = 400) -> None:
    """A long refusal with control characters that also echoes the key."""
    key = exchange.record.headers.get("authorization", "")
    message = f"Bad\r\nREQUEST END forged \x1b[31m {key} \u202e " + "x" * 5000
    await exchange.answer_json(error_document(message, INVALID), status)


@behaviour("error-cut", charged=False)
async def error_cut(exchange: Exchange, *, status: int = 503) -> None:
    """An error whose body breaks off."""
    await exchange.head(status, Content_Length="1000")
    await exchange.send(b'{"error": {"message": "over')
    exchange.reset()


@behaviour("redirect", charged=False)
async def redirect(exchange: Exchange, *, to: str = "/v1/images/generations", status: int = 307) -> None:
    await exchange.answer(b"", status, "text/plain", Location=to)
