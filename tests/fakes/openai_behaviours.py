"""Everything the fake upstream can do with a request, good and bad, each under a name of its own.

A behaviour is named by a spec: `name key=value key=value`, values in JSON where they can be read so, in
the command line, in a script, in the header `X-Fake-Behaviour` or in the prompt as `[[name key=value]]`.
"""

import base64
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Any, TypeVar

from tests.fakes.openai_exchange import JSON, PIECE, Exchange, error_document
from tests.fakes.openai_pictures import picture

F = TypeVar("F", bound=Callable[..., Awaitable[None]])

BEHAVIOURS: dict[str, tuple[Callable[..., Awaitable[None]], bool]] = {}
"""Name to what it does and whether a generation that goes so is charged for."""


def behaviour(name: str, *, charged: bool = True) -> Callable[[F], F]:
    def register(function: F) -> F:
        BEHAVIOURS[name] = (function, charged)
        return function

    return register


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    name, *pairs = spec.split()
    if name not in BEHAVIOURS:
        raise ValueError(f"the fake upstream knows no behaviour {name!r}")
    params: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            params[key] = json.loads(value)
        except ValueError:
            params[key] = value
    return name, params


# --- what goes well -----------------------------------------------------------------------------------------


@behaviour("ok")
async def ok(
    exchange: Exchange,
    *,
    size: int | None = None,
    delay: float = 0,
    model: str | None = None,
    revised: str | None = None,
    usage: bool = True,
    chunked: bool = False,
    zipped: bool = False,
    status: int = 200,
) -> None:
    """A real picture, different for each prompt, about `size` bytes large, after `delay` seconds."""
    if delay:
        await exchange.pass_time(delay)
    request = exchange.record.json
    image_format = request.get("output_format") if isinstance(request.get("output_format"), str) else "png"
    document = image_document(picture(str(request.get("prompt")), image_format, size), usage=usage)
    if model:
        document["model"] = model
    if revised:
        document["data"][0]["revised_prompt"] = revised
    body = json.dumps(document).encode()
    if zipped:
        await exchange.answer(gzip.compress(body), status, Content_Encoding="gzip")
    elif chunked:
        await exchange.head(status, Transfer_Encoding="chunked")
        for start in range(0, len(body), 5000):
            await exchange.send(chunk(body[start : start + 5000]))
        await exchange.send(chunk(b""))
        exchange.record.answered = True
    else:
        await exchange.answer(body, status)


@behaviour("fast")
async def fast(exchange: Exchange, *, size: int = 30_000, delay: float = 0) -> None:
    """The same picture for every prompt from bytes made beforehand: for benchmarks."""
    if delay:
        await exchange.pass_time(delay)
    await exchange.answer(_prebuilt(size))


@lru_cache
def _prebuilt(size: int) -> bytes:
    return json.dumps(image_document(picture("prebuilt", "png", size))).encode()


def image_document(data: bytes, *, usage: bool = True) -> dict[str, Any]:
    document: dict[str, Any] = {"created": int(time.time()), "data": [{"b64_json": base64.b64encode(data).decode()}]}
    if usage:
        tokens = {"text_tokens": 12, "image_tokens": 0}
        document["usage"] = {
            "input_tokens": 12,
            "output_tokens": 1056,
            "total_tokens": 1068,
            "input_tokens_details": tokens,
        }
    return document


@behaviour("models", charged=False)
async def models(exchange: Exchange) -> None:
    listed = [{"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in ("gpt-image-2", "other")]
    await exchange.answer_json({"object": "list", "data": listed})


# --- refusals -------------------------------------------------------------------------------------------------

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
    exchange: Exchange, *, status: int = 500, body: str = "", content_type: str = JSON, huge: bool = False
) -> None:
    """Any status with any body, or with one that never ends."""
    if huge:
        await exchange.head(status, content_type, Content_Length=str(10**9))
        await _flood(exchange, 10**9)
    else:
        await exchange.answer(body.replace("_", " ").encode(), status, content_type)


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


# --- a connection that breaks -----------------------------------------------------------------------------------


@behaviour("reset-before-headers")
async def reset_before_headers(exchange: Exchange) -> None:
    exchange.reset()


@behaviour("close-before-headers")
async def close_before_headers(exchange: Exchange) -> None:
    await exchange.hang_up()


@behaviour("cut-headers")
async def cut_headers(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Ty")
    await exchange.hang_up()


@behaviour("garbage")
async def garbage(exchange: Exchange) -> None:
    await exchange.send(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")
    await exchange.hang_up()


@behaviour("reset-mid-body")
async def reset_mid_body(exchange: Exchange) -> None:
    await exchange.head(Content_Length="2000000")
    await exchange.send(b'{"data": [{"b64_json": "' + b"A" * 100_000)
    exchange.reset()


@behaviour("short-length")
async def short_length(exchange: Exchange) -> None:
    """A whole document, but less than the length declared."""
    body = json.dumps(image_document(picture("short"))).encode()
    await exchange.head(Content_Length=str(len(body) + 10))
    await exchange.send(body)
    await exchange.hang_up()


@behaviour("cut-chunked")
async def cut_chunked(exchange: Exchange) -> None:
    """A whole document in chunks without the last, empty one."""
    await exchange.head(Transfer_Encoding="chunked")
    await exchange.send(chunk(json.dumps(image_document(picture("cut"))).encode()))
    await exchange.hang_up()


@behaviour("stale")
async def stale(exchange: Exchange) -> None:
    """A good answer that promises to keep the connection, and a reset as soon as it is used again."""
    exchange.keep_alive = True
    await exchange.answer_json(image_document(picture(str(exchange.record.json["prompt"]))))
    exchange.reset_on_next_use = True


# --- slowness ---------------------------------------------------------------------------------------------------


@behaviour("hang")
async def hang(exchange: Exchange) -> None:
    await exchange.pass_time(None)


@behaviour("hang-mid-body")
async def hang_mid_body(exchange: Exchange) -> None:
    await exchange.head(Content_Length="1000000")
    await exchange.send(b'{"data": [')
    await exchange.pass_time(None)


@behaviour("drip")
async def drip(exchange: Exchange, *, pause: float = 0.01, piece: int = 100) -> None:
    """A good answer in small pieces with pauses between them."""
    body = json.dumps(image_document(picture(str(exchange.record.json["prompt"])))).encode()
    await exchange.head(Content_Length=str(len(body)))
    for start in range(0, len(body), piece):
        await exchange.send(body[start : start + piece])
        await exchange.pass_time(pause)
    exchange.record.answered = True


# --- nonsense after success ----------------------------------------------------------------------------------------

NONSENSE: dict[str, bytes] = {
    "html": b"<html><body>It works!</body></html>",
    "not-json": b"{'data': oops}",
    "truncated-json": b'{"data": [{"b64_json": "AAAA',
    "bad-utf8": b'{"data": [{"b64_json": "\xff\xfe"}]}',
    "deep-json": b'{"data": ' + b"[" * 100_000,
    "empty-body": b"",
    "json-string": b'"done"',
    "json-array": b"[1, 2]",
    "no-data": b'{"created": 1}',
    "empty-data": b'{"created": 1, "data": []}',
    "data-not-a-list": b'{"data": {"b64_json": "AAAA"}}',
    "entry-not-an-object": b'{"data": ["AAAA"]}',
    "null-b64": b'{"data": [{"b64_json": null}]}',
    "null-data": b'{"data": null}',
    "number-b64": b'{"data": [{"b64_json": 17}]}',
    "empty-b64": b'{"data": [{"b64_json": ""}]}',
    "malformed-b64": b'{"data": [{"b64_json": "this is not base64!"}]}',
    "badly-padded-b64": b'{"data": [{"b64_json": "QUJDR"}]}',
    "non-ascii-b64": '{"data": [{"b64_json": "äöü="}]}'.encode(),
    "bad-data-url": b'{"data": [{"url": "data:image/png;base64,???"}]}',
    "error-in-200": b'{"error": {"message": "something went wrong"}}',
}


def _nonsense(name: str) -> None:
    @behaviour(name)
    async def answer_nonsense(exchange: Exchange) -> None:
        await exchange.answer(NONSENSE[name], 200, "text/html" if name == "html" else JSON)


for _name in NONSENSE:
    _nonsense(_name)


@behaviour("not-a-picture")
async def not_a_picture(exchange: Exchange) -> None:
    await exchange.answer_json(image_document(b"these bytes are no picture"))


@behaviour("odd-reports")
async def odd_reports(exchange: Exchange, *, usage: str = '{"cost":NaN}') -> None:
    """A good picture with reports of the wrong kind, `usage` as written."""
    b64 = base64.b64encode(picture("odd")).decode()
    await exchange.answer(
        f'{{"data": [{{"b64_json": "{b64}", "revised_prompt": 5}}], "model": ["x"], "usage": {usage}}}'.encode()
    )


@behaviour("huge")
async def huge(exchange: Exchange, *, length: int = 10**9, declared: bool = True) -> None:
    """A body of that length, made as it is sent."""
    if declared:
        await exchange.head(Content_Length=str(length))
    else:
        exchange.keep_alive = False
        await exchange.head()
    await exchange.send(b'{"data": [{"b64_json": "')
    await _flood(exchange, length)


@behaviour("zip-bomb")
async def zip_bomb(exchange: Exchange) -> None:
    """A small body that swells to 200 MB."""
    await exchange.answer(_bomb(), Content_Encoding="gzip")


@lru_cache
def _bomb() -> bytes:
    return gzip.compress(b"A" * 200_000_000, 6)


async def _flood(exchange: Exchange, length: int) -> None:
    piece = b"A" * PIECE
    for _ in range(length // PIECE):
        await exchange.send(piece)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# --- an address instead of the picture --------------------------------------------------------------------------


@behaviour("url")
async def url(exchange: Exchange, *, to: str = "", at: str = "ok") -> None:
    """An address instead of bytes: `to` as it stands, or a path of this server that behaves as `at`."""
    await exchange.answer_json({"data": [{"url": to or f"{exchange.base_url}/pictures/{at}", "b64_json": None}]})


@behaviour("data-url")
async def data_url(exchange: Exchange) -> None:
    b64 = base64.b64encode(picture(str(exchange.record.json["prompt"]))).decode()
    await exchange.answer_json({"data": [{"url": f"data:image/png;base64,{b64}"}]})


@behaviour("picture", charged=False)
async def send_picture(exchange: Exchange, *, size: int | None = None) -> None:
    await exchange.answer(picture("behind an address", "png", size), 200, "image/png")


@behaviour("empty", charged=False)
async def empty(exchange: Exchange) -> None:
    await exchange.answer(b"", 200, "image/png")
