"""How the fake upstream streams: server-sent events, well and badly cut, that end well, badly or not at all."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai_behaviours import behaviour, chunk, picture_of, reports, tokens
from tests.fakes.openai_exchange import Exchange, error_document
from tests.fakes.openai_refusals import REFUSALS

COMMENTS = ": keep-alive äöü 🦆\n\n:\n"
UNKNOWN = "event: ping\nid: 7\nretry: 10\ndata: {}\n\nwhatever\n\ndata: no json\n\n"
NEWLINES = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


@dataclass
class Wire:
    """How events are put into bytes and on their way."""

    exchange: Exchange
    newline: str = "\n"
    split: int = 0
    names: bool = True
    chunked: bool = True

    async def begin(self) -> None:
        if not self.chunked:
            self.exchange.keep_alive = False
        encoding = {"Transfer_Encoding": "chunked"} if self.chunked else {}
        await self.exchange.head(200, "text/event-stream; charset=utf-8", Cache_Control="no-cache", **encoding)

    async def text(self, text: str | bytes) -> None:
        """Send it with this newline, in pieces of `split` bytes where that is not 0."""
        data = text.replace("\n", self.newline).encode() if isinstance(text, str) else text
        size = self.split or len(data) or 1
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await self.exchange.send(chunk(piece) if self.chunked else piece)

    async def event(self, document: dict[str, Any], *, ended: bool = True) -> None:
        name = f"event: {document['type']}\n" if self.names and "type" in document else ""
        await self.text(f"{name}data: {json.dumps(document, ensure_ascii=False)}\n" + ("\n" if ended else ""))

    async def end(self) -> None:
        if self.chunked:
            await self.exchange.send(chunk(b""))
        self.exchange.record.answered = True


@behaviour("stream")
async def stream(
    exchange: Exchange,
    *,
    partials: int | None = None,
    delay: float = 0,
    size: int | None = None,
    model: str | None = None,
    revised: str | None = None,
    usage: bool = True,
    newline: str = "lf",
    split: int = 0,
    comments: bool = False,
    unknown: bool = False,
    names: bool = True,
    types: bool = True,
    chunked: bool = True,
    done: bool = False,
    bad: str = "",
    url: str = "",
    finished: int | None = None,
    error: str | int = "",
    bare: bool = False,
    end: str = "close",
) -> None:
    """Early views and finished pictures as events, `delay` seconds before each.

    `partials` and `finished` say how many there are in place of what is asked for. `newline` is lf, crlf or cr,
    `split` the size of the pieces it is sent in. `comments` and `unknown` events come between; `names` and `types`
    say whether an event is named before and in its data, `done` whether `[DONE]` follows. `bad` is "partial" or
    "completed": these hold no base64; with `url` the pictures are addresses, of paths that behave so. `error` is the
    name of a refusal, which comes after the pictures that are `finished` (none), `bare` without a type. `end` is
    close, hang (in silence, nothing lacking), stall (so, but within one more event, a large one), cut (within one more
    event), cut-after (the last event lacks only its empty line), reset, trickle (comments for ever).
    """
    wire = Wire(exchange, NEWLINES[newline], split, names, chunked)
    await wire.begin()
    if finished is None:
        finished = 0 if error else exchange.record.pictures
    told: dict[str, Any] = {"usage": tokens(1)} if usage else {}
    told |= {name: value for name, value in (("model", model), ("revised_prompt", revised)) if value}
    if url:
        told |= {"b64_json": None, "url": f"{exchange.base_url}/pictures/{url}"}
    documents = list(_documents(exchange, finished, partials, size, told))
    for number, document in enumerate(documents):
        if delay:
            await exchange.pass_time(delay)
        await wire.text(COMMENTS * comments + UNKNOWN * unknown)
        if bad and document["type"].partition(".")[2].startswith(bad):
            document["b64_json"] = "no base64!"
        if not types:
            await wire.text(f"event: {document.pop('type')}\n")
        await wire.event(document, ended=number < len(documents) - 1 or end != "cut-after")
    if error:
        if delay:
            await exchange.pass_time(delay)
        _, message, kind, code = REFUSALS[str(error)]
        key = exchange.record.headers.get("authorization", "").removeprefix("Bearer ")
        refusal = error_document(message.format(key=key), kind, code)
        await wire.event({**refusal} if bare else {"type": "error", **refusal})
    await wire.text("data: [DONE]\n\n" * done)
    await _end(wire, end)


def _documents(
    exchange: Exchange, pictures: int, partials: int | None, size: int | None, told: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    request = exchange.record.json
    prompt, asked = str(request.get("prompt")), str(request.get("partial_images"))
    task = "image_edit" if exchange.record.path.endswith("edits") else "image_generation"
    views = partials if partials is not None else int(asked) if asked in ("1", "2", "3") else 0
    used = reports(exchange)
    common = {**used, "created_at": int(time.time())}
    for number in range(max(1, pictures)):
        for view in range(views):
            data = _b64(view_of(prompt, view))
            yield {"type": f"{task}.partial_image", "partial_image_index": view, "b64_json": data, **common}
        if number < pictures:
            data = _b64(picture_of(prompt, number, used["output_format"], size))
            yield {"type": f"{task}.completed", "b64_json": data, **common, **told}


def view_of(prompt: str, index: int) -> bytes:
    """The early view with that index of the pictures of a prompt."""
    return picture_of(f"{prompt} seen early", index)


async def _end(wire: Wire, end: str) -> None:
    exchange = wire.exchange
    if end == "close":
        await wire.end()
    elif end in ("hang", "stall"):
        if end == "stall":
            await wire.text('event: image_generation.completed\ndata: {"b64_json": "' + "A" * 300_000)
        await exchange.pass_time(None)
    elif end in ("cut", "cut-after"):
        if end == "cut":
            await wire.text('event: image_generation.completed\ndata: {"b64_json": "AAAA')
        await exchange.hang_up()
    elif end == "reset":
        exchange.reset()
    elif end == "trickle":
        while True:
            await wire.text(": still there\n\n")
            await exchange.pass_time(0.05)
    else:
        raise ValueError(f"a stream cannot end with {end!r}")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@behaviour("flood-stream")
async def flood_stream(exchange: Exchange, *, length: int = 10**9, events: bool = False) -> None:
    """One event that never ends, or small ones of no use without end, of that length together."""
    wire = Wire(exchange, chunked=False)
    await wire.begin()
    piece = b"A" * 65_536 if not events else (b"event: ping\ndata: " + b"A" * 1000 + b"\n\n") * 64
    await exchange.send(b"data: ")
    for _ in range(length // len(piece)):
        await exchange.send(piece)
