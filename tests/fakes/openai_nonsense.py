"""What the fake upstream answers with success although it is none: no JSON, no picture, far too much."""

import gzip
from functools import lru_cache
from typing import Any

from tests.fakes.openai_behaviours import behaviour, flood, image_document
from tests.fakes.openai_exchange import JSON, Exchange
from tests.fakes.openai_pictures import picture

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
async def odd_reports(exchange: Exchange, *, usage: object) -> None:
    """A good picture with reports of the wrong kind."""
    document: dict[str, Any] = {**image_document(picture("odd")), "model": ["x"], "usage": usage}
    document["data"][0]["revised_prompt"] = 5
    await exchange.answer_json(document)


@behaviour("huge")
async def huge(exchange: Exchange, *, length: int = 10**9, declared: bool = True) -> None:
    """A body of that length, made as it is sent."""
    if declared:
        await exchange.head(Content_Length=str(length))
    else:
        exchange.keep_alive = False
        await exchange.head()
    await exchange.send(b'{"data": [{"b64_json": "')
    await flood(exchange, length)


@behaviour("zip-bomb")
async def zip_bomb(exchange: Exchange) -> None:
    """A small body that swells to 140 MB."""
    await exchange.answer(_bomb(), Content_Encoding="gzip")


@lru_cache
def _bomb() -> bytes:
    return gzip.compress(b"A" * 140_000_000, 1)
