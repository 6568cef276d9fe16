"""The behaviours of the fake upstream, each under a name: here what goes well, breaks off or takes long.

A behaviour is named by a spec: `name key=value key=value`, values in JSON where they can be read so, in
the command line, in a script, in the header `X-Fake-Behaviour` or in the prompt as `[[name key=value]]`. More
are in `openai_streams`, `openai_refusals` and `openai_nonsense`.
"""

import base64
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, TypeVar

from tests.fakes.openai_exchange import PIECE, Exchange
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
    """A real picture, different for each prompt, about `size` bytes large, after `delay` seconds; as many as asked for.

    What is asked for as a stream is answered so, with as many early views as are wanted (`openai_streams`).
    """
    if delay:
        await exchange.pass_time(delay)
    if exchange.record.streamed:
        await BEHAVIOURS["stream"][0](exchange, size=size, model=model, revised=revised, usage=usage)
        return
    document = image_document(*made(exchange, size), usage=usage) | reports(exchange)
    if model:
        document["model"] = model
    if revised:
        for entry in document["data"]:
            entry["revised_prompt"] = revised
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


def made(exchange: Exchange, size: int | None = None) -> list[bytes]:
    """The pictures that a request asks for: that of its prompt, and others after it."""
    record = exchange.record
    return [picture_of(str(record.json.get("prompt")), number, reports(exchange)["output_format"], size)
            for number in range(record.pictures)]  # fmt: skip


def picture_of(prompt: str, number: int = 0, image_format: str = "png", size: int | None = None) -> bytes:
    """The picture with that number (from 0) among those made for a prompt."""
    return picture(f"{prompt} #{number + 1}" if number else prompt, image_format, size)


def reports(exchange: Exchange) -> dict[str, str]:
    """The options that were used: those asked for, and for `auto` and what is not said, those chosen."""
    chosen = {"size": "1024x1024", "quality": "high", "background": "opaque", "output_format": "png"}
    asked = {name: exchange.record.json.get(name) for name in chosen}
    return chosen | {name: value for name, value in asked.items() if isinstance(value, str) and value != "auto"}


def tokens(pictures: int) -> dict[str, Any]:
    """The usage of a call that made so many pictures."""
    return {
        "input_tokens": 12,
        "output_tokens": 1056 * pictures,
        "total_tokens": 12 + 1056 * pictures,
        "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
    }


def image_document(*pictures: bytes, usage: bool = True) -> dict[str, Any]:
    entries = [{"b64_json": base64.b64encode(data).decode()} for data in pictures]
    document: dict[str, Any] = {"created": int(time.time()), "data": entries}
    return document | ({"usage": tokens(len(pictures))} if usage else {})


@behaviour("models", charged=False)
async def models(exchange: Exchange, *, shutdown: str | None = None) -> None:
    """What there is; `shutdown` is the date on which gpt-image-2 goes."""
    listed: list[dict[str, Any]] = [
        {"id": name, "object": "model", "created": 1_776_729_600, "owned_by": "fake"}
        for name in ("gpt-image-2", "other", "gpt-image-1", "chatgpt-image-latest", "dall-e-3", "gpt-7")
    ]
    listed[0] |= {"shutdown_date": shutdown} if shutdown else {}
    listed[2]["shutdown_date"] = "2026-10-23"
    await exchange.answer_json({"object": "list", "data": listed})


async def flood(exchange: Exchange, length: int) -> None:
    """Send that many bytes without ever holding them."""
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


@behaviour("urls")
async def urls(exchange: Exchange, *, at: str, good: int = 0) -> None:
    """Several addresses, `at` names of behaviours with commas between them, and after them `good` pictures."""
    entries: list[dict[str, Any]] = [{"url": f"{exchange.base_url}/pictures/{name}"} for name in at.split(",")]
    document = image_document(*(picture_of(str(exchange.record.json["prompt"]), number) for number in range(good)))
    await exchange.answer_json({**document, "data": entries + document["data"]})


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


@behaviour("trickle")
async def trickle(exchange: Exchange, *, pause: float = 0.05) -> None:
    """A body that comes byte by byte and never ends."""
    exchange.keep_alive = False
    await exchange.head()
    while True:
        await exchange.send(b" ")
        await exchange.pass_time(pause)
