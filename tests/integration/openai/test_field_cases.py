"""Responses as upstreams, gateways and networks really send them: every picture in them comes out.

Each row is a response in bytes and what must come of it.
"""

import base64
import gzip
import json
import random
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import brotli
import pytest
import pytest_asyncio
from backports import zstd

from pixyproxy.adapters.openai import socket_record
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.reading import response_reader
from pixyproxy.domain.errors import (
    GeneratorConnectionLostError,
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorQuotaError,
    GeneratorRateLimitedError,
    GeneratorRequestError,
    GeneratorResponseError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    PromptRejectedError,
)
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, PartialImage
from pixyproxy.domain.usage import sum_usage
from tests.fixtures.openai.pictures import picture
from tests.fixtures.openai.raw_upstream import (
    BARE_HEAD,
    JSON_HEAD,
    STREAM_HEAD,
    RawUpstream,
    ScriptedResponse,
    chunk,
    event,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG, OTHER = picture("a duck", "png", 6000), picture("another duck", "png", 3000)
LARGE = picture("a large duck", "png", 700_000)
"""Larger than what one read of a socket brings."""
B64, OTHER_B64, LARGE_B64 = (base64.b64encode(data) for data in (PNG, OTHER, LARGE))
DOCUMENT = b'{"data":[{"b64_json":"%s"}]}' % B64
LARGE_DOCUMENT = b'{"data":[{"b64_json":"%s"}]}' % LARGE_B64
PAIR = b'{"data":[{"b64_json":"%s"},{"b64_json":"%s"}]}' % (B64, OTHER_B64)
COMPLETED = b'{"type":"image_generation.completed","b64_json":"%s"}' % B64
PARTIAL = b'{"type":"image_generation.partial_image","partial_image_index":0,"b64_json":"%s"}' % OTHER_B64


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def generator(upstream: RawUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    generator = OpenAIImageGenerator("sk-test-0123456789", upstream.base_url, "m", timeout_s=5.0, retry_delays_s=())
    await generator.open()
    yield generator
    await generator.close()


@pytest.fixture(autouse=True)
def short_silences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_reader, "LINGER_S", 0.1)
    monkeypatch.setattr(socket_record, "READ_ON_S", 0.1)


class Outcome(NamedTuple):
    pictures: list[GeneratedImage]
    partials: list[PartialImage]
    error: GeneratorError | None

    @property
    def data(self) -> list[bytes]:
        return [image.data for image in self.pictures]


async def outcome_of(
    response: bytes | ScriptedResponse, upstream: RawUpstream, generator: OpenAIImageGenerator, *, n: int = 1
) -> Outcome:
    upstream.response = response if isinstance(response, ScriptedResponse) else ScriptedResponse((response,))
    outcome = Outcome([], [], None)
    before = upstream.requests
    try:
        async for item in generator.generate(GenerationRequest("a duck", n=n, early_views=True)):
            if isinstance(item, PartialImage):
                outcome.partials.append(item)
            else:
                outcome.pictures.append(item)
    except GeneratorError as error:
        outcome = outcome._replace(error=error)
    assert upstream.requests == before + 1
    return outcome


def with_fields(*lines: bytes, body: bytes = DOCUMENT) -> bytes:
    """Return a response with these header lines."""
    return BARE_HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return with_fields(b"Transfer-Encoding: chunked", body=body)


def length(number: int | str) -> bytes:
    return f"Content-Length: {number}".encode()


LENGTH = len(DOCUMENT)

FRAMED: dict[str, bytes | ScriptedResponse] = {
    "until the end of the connection": with_fields(),
    "a right length": with_fields(length(LENGTH)),
    "a length too long": with_fields(length(LENGTH + 10)),
    "a length too short": with_fields(length(LENGTH - 10)),
    "a length of nothing": with_fields(length(0)),
    "a length twice": with_fields(length(LENGTH), length(LENGTH)),
    "a length as a list": with_fields(length(f"{LENGTH}, {LENGTH}")),
    "two lengths": with_fields(length(LENGTH), length(LENGTH - 5)),
    "a negative length": with_fields(length(-1)),
    "a length that is no number": with_fields(length("abc")),
    "a length with a plus": with_fields(length(f"+{LENGTH}")),
    "a length too long, kept open": ScriptedResponse((with_fields(length(LENGTH + 10)),), "stay"),
    "no length, kept open": ScriptedResponse((with_fields(),), "stay"),
    "no length, reset": ScriptedResponse((with_fields(),), "reset"),
    "a length too long, reset": ScriptedResponse((with_fields(length(LENGTH + 10)),), "reset"),
    "chunks": chunked(chunk(DOCUMENT[:100]) + chunk(DOCUMENT[100:]) + chunk(b"")),
    "no last chunk": chunked(chunk(DOCUMENT)),
    "no last chunk, kept open": ScriptedResponse((chunked(chunk(DOCUMENT)),), "stay"),
    "a chunk cut off behind the document": chunked(b"%x\r\n%s" % (LENGTH + 5, DOCUMENT)),
    "a chunk of a wrong size": chunked(chunk(DOCUMENT) + b"zz\r\n"),
    "a chunk that is longer than its size": chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (LENGTH - 10, DOCUMENT)),
    "no chunks at all": chunked(DOCUMENT),
    "chunks with extensions": chunked(b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (LENGTH, DOCUMENT)),
    "chunks with spaces": chunked(b"%x  \r\n%s\r\n0\r\n\r\n" % (LENGTH, DOCUMENT)),
    "chunks with bare newlines": chunked(b"%x\n%s\n0\n\n" % (LENGTH, DOCUMENT)),
    "a wrong trailer": chunked(chunk(DOCUMENT) + b"0\r\nbad trailer\r\n\r\n"),
    "chunks and a length": with_fields(
        b"Transfer-Encoding: chunked", length(5), body=chunk(DOCUMENT) + chunk(b"")
    ),
    "chunked twice": with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                                 body=chunk(DOCUMENT) + chunk(b"")),
    "gzip as a transfer coding": with_fields(b"Transfer-Encoding: gzip, chunked", body=chunk(DOCUMENT) + chunk(b"")),
    "identity as a transfer coding": with_fields(b"Transfer-Encoding: identity"),
    "a header line of 64 KiB": with_fields(b"X-Long: " + b"1" * 65536),
    "300 header lines": with_fields(*(b"X-%d: 1" % number for number in range(300))),
    "bare newlines": with_fields().replace(b"\r\n", b"\n"),
    "a folded line": with_fields(b"X-A: b", b" c"),
    "a space before the colon": with_fields(b"X-A : b"),
    "a line without a name": with_fields(b": b"),
    "a line without a colon": with_fields(b"garbage"),
    "a control character": with_fields(b"X-A: a\x01b"),
    "a null character": with_fields(b"X-A: a\x00b"),
    "UTF-8 in a line": with_fields("X-A: é鸭".encode()),
    "an empty type": with_fields(b"Content-Type: "),
    "an address that is none": with_fields(b"Location: http://[bad"),
    "a cookie that is none": with_fields(b"Set-Cookie: \xff\xfe=;;;"),
    "no reason": b"HTTP/1.1 200\r\n\r\n" + DOCUMENT,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + DOCUMENT,
    "HTTP/2 in text": b"HTTP/2 200\r\n\r\n" + DOCUMENT,
    "a lower-case protocol": b"http/1.1 200 OK\r\n\r\n" + DOCUMENT,
    "status 201": b"HTTP/1.1 201 Created\r\n\r\n" + DOCUMENT,
    "status 204": b"HTTP/1.1 204 No Content\r\n\r\n" + DOCUMENT,
    "status 206": b"HTTP/1.1 206 Partial Content\r\n\r\n" + DOCUMENT,
    "status 299": b"HTTP/1.1 299 x\r\n\r\n" + DOCUMENT,
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\n" + with_fields(),
    "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + with_fields(),
    "no header at all": DOCUMENT,
    "102 first": b"HTTP/1.1 102 Processing\r\n\r\n" + with_fields(),
    "two interim responses": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + with_fields(),
    "status 203": b"HTTP/1.1 203 Non-Authoritative Information\r\n\r\n" + DOCUMENT,
    "status 205": b"HTTP/1.1 205 Reset Content\r\n\r\n" + DOCUMENT,
    "HTTP/1.0, kept alive": with_fields(length(LENGTH), b"Connection: keep-alive").replace(b"/1.1", b"/1.0", 1),
    "a trailer": chunked(chunk(DOCUMENT) + b"0\r\nX-Checksum: 1\r\n\r\n"),
    "chunks in capitals": chunked((b"%X\r\n%s\r\n0\r\n\r\n") % (LENGTH, DOCUMENT)),
    "a size with zeros before it": chunked(b"0000%x\r\n%s\r\n0\r\n\r\n" % (LENGTH, DOCUMENT)),
    "an extension in quotes": chunked(b'%x;a="b;c"\r\n%s\r\n0\r\n\r\n' % (LENGTH, DOCUMENT)),
    "chunks, kept open after the last": ScriptedResponse((chunked(chunk(DOCUMENT) + chunk(b"")),), "stay"),
    "a connection that is kept": with_fields(length(LENGTH), b"Connection: keep-alive", b"Keep-Alive: timeout=5"),
    "an upgrade that nobody asked for": with_fields(length(LENGTH), b"Upgrade: h2,h2c", b"Connection: Upgrade"),
    "a second response": with_fields(length(LENGTH)) + b"HTTP/1.1 408 Request Timeout\r\n\r\n",
    "a byte at a time": ScriptedResponse((*(with_fields()[n : n + 1] for n in range(20)), with_fields()[20:])),
}  # fmt: skip
"""Responses with one whole document, framed in every way."""


@pytest.mark.parametrize("name", FRAMED)
async def test_a_picture_comes_out_however_it_is_framed(
    name: str, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    outcome = await outcome_of(FRAMED[name], upstream, generator)
    assert (outcome.data, outcome.error) == ([PNG], None)


LARGE_FRAMED: dict[str, bytes | ScriptedResponse] = {
    "a length too short": with_fields(length(5), body=LARGE_DOCUMENT),
    "a length too long": with_fields(length(len(LARGE_DOCUMENT) + 9), body=LARGE_DOCUMENT),
    "no last chunk": chunked(chunk(LARGE_DOCUMENT)),
    "no chunks at all": chunked(LARGE_DOCUMENT),
    "a wrong chunk first": chunked(b"zz\r\n" + LARGE_DOCUMENT),
    "a line without a colon": with_fields(b"garbage", body=LARGE_DOCUMENT),
    "a line without a colon, kept open": ScriptedResponse((with_fields(b"garbage", body=LARGE_DOCUMENT),), "stay"),
    "two lengths": with_fields(length(9), length(10), body=LARGE_DOCUMENT),
    "180 KiB of header lines": with_fields(*(b"X-%d: " % n + b"1" * 20_000 for n in range(9)), body=LARGE_DOCUMENT),
    "no header at all": LARGE_DOCUMENT,
    "pauses": ScriptedResponse((with_fields(b"garbage", body=b""), LARGE_DOCUMENT[:1000], LARGE_DOCUMENT[1000:])),
}


@pytest.mark.parametrize("name", LARGE_FRAMED)
async def test_a_large_picture_is_read_to_its_end(
    name: str, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    outcome = await outcome_of(LARGE_FRAMED[name], upstream, generator)
    assert (outcome.data, outcome.error) == ([LARGE], None)


def document(text: str, *values: bytes) -> bytes:
    """Return a JSON response in which `%s` stands for the base64 of the picture, or for these values."""
    return JSON_HEAD + text.encode() % (values or (B64,) * text.count("%s"))


def stream(*parts: bytes) -> bytes:
    return STREAM_HEAD + b"".join(parts)


def packed(coding: bytes, body: bytes, head: bytes = BARE_HEAD) -> bytes:
    return head + b"Content-Encoding: " + coding + b"\r\n\r\n" + body


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


def lines(text: bytes, newline: bytes = b"\\n") -> bytes:
    """Return the text in lines of 76 characters, as MIME has it."""
    return newline.join(text[start : start + 76] for start in range(0, len(text), 76))


def deep(value: object, *names: str) -> bytes:
    """Return a response with a value below these names."""
    for name in reversed(names):
        value = {name: value}
    return JSON_HEAD + json.dumps(value).encode()


def in_parts(*parts: bytes, boundary: bytes = b"frontier") -> bytes:
    head = BARE_HEAD + b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n" % boundary
    return head + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary


TEXT = B64.decode()
DATA_URL = f"data:image/png;base64,{TEXT}"
TWICE = base64.b64encode(B64)
MARKDOWN = f"Here is your picture:\n\n![a duck](data:image/png;base64,{TEXT})\n\nEnjoy!"

URL_SAFE = base64.urlsafe_b64encode(PNG)
MARK = b"\xef\xbb\xbf"
ZIPPED = gzip.compress(DOCUMENT)

READ: dict[str, bytes | ScriptedResponse] = {
    # Labels
    "JSON as events": STREAM_HEAD + DOCUMENT,
    "events as JSON": JSON_HEAD + event(COMPLETED),
    "events as text": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + event(COMPLETED),
    "events without a label": with_fields(body=event(COMPLETED)),
    "named events without a label": with_fields(body=b"event: image_generation.completed\n" + event(COMPLETED)),
    "events after a comment": stream(b": OPENROUTER PROCESSING\n\n", event(COMPLETED)),
    "JSON as HTML": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + DOCUMENT,
    "JSON as a picture": b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + DOCUMENT,
    "JSON in Latin-1": b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=latin-1\r\n\r\n" + DOCUMENT,
    "a picture": b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + PNG,
    "a picture as bytes": b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" + PNG,
    "a picture as JSON": JSON_HEAD + PNG,
    "a picture as events": STREAM_HEAD + PNG,
    "a picture without a label": with_fields(body=PNG),
    "a picture behind a wrong header": with_fields(b"garbage", body=PNG),
    # Base64
    "a newline after base64": document('{"data":[{"b64_json":"%s\\n"}]}'),
    "lines": document('{"data":[{"b64_json":"%s"}]}', lines(B64)),
    "lines of CR and LF": document('{"data":[{"b64_json":"%s"}]}', lines(B64, b"\\r\\n")),
    "lines that JSON does not allow": document('{"data":[{"b64_json":"%s"}]}', lines(B64, b"\n")),
    "spaces around": document('{"data":[{"b64_json":"  %s\\t"}]}'),
    "no padding": document('{"data":[{"b64_json":"%s"}]}', B64.rstrip(b"=")),
    "too much padding": document('{"data":[{"b64_json":"%s==="}]}', B64.rstrip(b"=")),
    "the URL-safe alphabet": document('{"data":[{"b64_json":"%s"}]}', URL_SAFE),
    "the URL-safe alphabet without padding": document('{"data":[{"b64_json":"%s"}]}', URL_SAFE.rstrip(b"=")),
    "slashes escaped": document('{"data":[{"b64_json":"%s"}]}', B64.replace(b"/", b"\\/")),
    "plus signs escaped": document('{"data":[{"b64_json":"%s"}]}', B64.replace(b"+", b"\\u002b")),
    "percent-coded": document('{"data":[{"b64_json":"%s"}]}', B64.replace(b"+", b"%2B").replace(b"/", b"%2f")),
    "a data: address": document('{"data":[{"b64_json":"data:image/png;base64,%s"}]}'),
    "a data: address as url": document('{"data":[{"url":"data:image/png;base64,%s"}]}'),
    "a data: address in capitals": document('{"data":[{"url":"DATA:image/PNG;BASE64,%s"}]}'),
    "a data: address with a parameter": document('{"data":[{"url":"data:image/png;charset=utf-8;base64,%s"}]}'),
    "a data: address without a type": document('{"data":[{"b64_json":"data:;base64,%s"}]}'),
    "base64 twice": document('{"data":[{"b64_json":"%s"}]}', TWICE),
    "base64 three times": document('{"data":[{"b64_json":"%s"}]}', base64.b64encode(TWICE)),
    "base64 of a data: address": document('{"data":[{"b64_json":"%s"}]}', base64.b64encode(DATA_URL.encode())),
    "base64 of gzip": document('{"data":[{"b64_json":"%s"}]}', base64.b64encode(gzip.compress(PNG))),
    "hexadecimal": document('{"data":[{"b64_json":"%s"}]}', PNG.hex().encode()),
    "bytes as Python writes them": document("""{"data":[{"b64_json":"b'%s'"}]}"""),
    "quotes within quotes": document('{"data":[{"b64_json":"\\"%s\\""}]}'),
    "Markdown as url": document('{"data":[{"url":"![a duck](data:image/png;base64,%s)"}]}'),
    "a list as b64_json": document('{"data":[{"b64_json":["%s"]}]}'),
    "base64 as url": document('{"data":[{"url":"%s"}]}'),
    # JSON
    "a byte order mark": JSON_HEAD + MARK + DOCUMENT,
    "UTF-16": JSON_HEAD + DOCUMENT.decode().encode("utf-16"),
    "white space around": JSON_HEAD + b"\r\n  " + DOCUMENT + b"\n\n",
    "a lone surrogate": document('{"data":[{"b64_json":"%s","revised_prompt":"a duck \\ud83e"}]}'),
    "bare control characters": document('{"data":[{"b64_json":"%s","revised_prompt":"a\nb\x01\tc"}]}'),
    "bytes that are not UTF-8": document('{"data":[{"b64_json":"%s","revised_prompt":"%s"}]}', B64, b"\xff\xfe"),
    "trailing commas": document('{"data":[{"b64_json":"%s",},],}'),
    "NaN": document('{"data":[{"b64_json":"%s"}],"usage":{"cost":NaN}}'),
    "single quotes": document("{'data': [{'b64_json': '%s'}]}"),
    "a document in a text": JSON_HEAD + json.dumps(DOCUMENT.decode()).encode(),
    "text after the document": JSON_HEAD + DOCUMENT + b"\n<!-- served by x -->",
    "text before the document": JSON_HEAD + b")]}',\n" + DOCUMENT,
    "two documents": JSON_HEAD + b'{"status":"x"}\n' + DOCUMENT + b"\n",
    "cut off after the picture": document('{"data":[{"b64_json":"%s"'),
    "cut off in the next member": document('{"data":[{"b64_json":"%s","revised_prompt":"a du'),
    "UTF-16 without a mark": JSON_HEAD + DOCUMENT.decode().encode("utf-16-le"),
    "UTF-16 of the other order": JSON_HEAD + DOCUMENT.decode().encode("utf-16-be"),
    "UTF-32": JSON_HEAD + DOCUMENT.decode().encode("utf-32"),
    "a text in a text": JSON_HEAD + json.dumps(json.dumps(DOCUMENT.decode())).encode(),
    "HTML around it": with_fields(b"Content-Type: text/html", body=b"<html><body><pre>%s</pre></body>" % DOCUMENT),
    "HTML around it, escaped": with_fields(
        b"Content-Type: text/html", body=b"<pre>%s</pre>" % DOCUMENT.replace(b'"', b"&quot;")),
    "a notice before it": JSON_HEAD + b"<br />\n<b>Warning</b>: x in <b>/a.php</b><br />\n" + DOCUMENT,
    "a callback around it": JSON_HEAD + b"callback(" + DOCUMENT + b");",
    "a text in a text after other text": JSON_HEAD + b"ok: " + json.dumps(DOCUMENT.decode()).encode(),
    "NUL characters after it": JSON_HEAD + DOCUMENT + bytes(3),
    "base64 as text": with_fields(b"Content-Type: text/plain", body=B64 + b"\n"),
    "a data: address as text": with_fields(b"Content-Type: text/plain", body=DATA_URL.encode()),
    "base64 in a JSON text": JSON_HEAD + json.dumps(TEXT).encode(),
    "a line break before a picture": with_fields(b"Content-Type: image/png", body=b"\r\n" + PNG),
    # Parts
    "a picture in parts": in_parts(b"Content-Type: image/png\r\n\r\n" + PNG),
    "a document and a picture in parts": in_parts(
        b'Content-Type: application/json\r\n\r\n{"seed":1}', b"Content-Type: image/png\r\n\r\n" + PNG),
    "a document in parts": in_parts(b"\r\n" + DOCUMENT),
    "parts without an end": with_fields(
        b"Content-Type: multipart/mixed; boundary=x", body=b"--x\nContent-Type: image/png\n\n" + PNG),
    # Codings
    "gzip within gzip, said once": packed(b"gzip", gzip.compress(ZIPPED)),
    "gzip within gzip, not said": JSON_HEAD + gzip.compress(ZIPPED),
    "deflate without a label": JSON_HEAD + zlib.compress(DOCUMENT),
    "gzip": packed(b"gzip", ZIPPED),
    "x-gzip": packed(b"x-gzip", ZIPPED),
    "gzip in capitals": packed(b"GZIP", ZIPPED),
    "gzip without a label": JSON_HEAD + ZIPPED,
    "gzip that is none": packed(b"gzip", DOCUMENT),
    "gzip twice": packed(b"gzip, gzip", gzip.compress(ZIPPED)),
    "gzip without its end": packed(b"gzip", ZIPPED[:-8]),
    "gzip with a wrong checksum": packed(b"gzip", ZIPPED[:-8] + b"12345678"),
    "gzip with more after it": packed(b"gzip", ZIPPED + b"more"),
    "gzip of events": packed(b"gzip", gzip.compress(event(COMPLETED)), STREAM_HEAD[:-2]),
    "gzip of a picture": packed(b"gzip", gzip.compress(PNG)),
    "gzip of the length before": with_fields(length(LENGTH), b"Content-Encoding: gzip", body=ZIPPED),
    "a wrong header and gzip": with_fields(b"garbage", b"Content-Encoding: gzip", body=ZIPPED),
    "deflate": packed(b"deflate", zlib.compress(DOCUMENT)),
    "deflate without its wrapping": packed(b"deflate", raw_deflate(DOCUMENT)),
    "br": packed(b"br", brotli.compress(DOCUMENT)),
    "br cut off": packed(b"br", brotli.compress(DOCUMENT)[:-1]),
    "zstd": packed(b"zstd", zstd.compress(DOCUMENT)),
    "zstd without a label": JSON_HEAD + zstd.compress(DOCUMENT),
    "a coding that is none": packed(b"utf-8", DOCUMENT),
    "an empty coding": packed(b"", DOCUMENT),
    # Places
    "images": document('{"images":["%s"]}'),
    "images of objects": document('{"images":[{"url":"data:image/png;base64,%s","content_type":"image/png"}]}'),
    "a bare list": document('[{"b64_json":"%s"}]'),
    "a bare list of texts": document('["%s"]'),
    "an object": document('{"b64_json":"%s"}'),
    "an object as data": document('{"data":{"b64_json":"%s"}}'),
    "texts as data": document('{"data":["%s"]}'),
    "a text as data": document('{"data":"%s"}'),
    "result": document('{"result":"%s"}'),
    "a deep result": document('{"code":0,"result":{"data":[{"b64_json":"%s"}]}}'),
    "image": document('{"image":"%s"}'),
    "output": document('{"output":["data:image/png;base64,%s"]}'),
    "artifacts": document('{"artifacts":[{"base64":"%s","finishReason":"SUCCESS"}]}'),
    "predictions": document('{"predictions":[{"bytesBase64Encoded":"%s","mimeType":"image/png"}]}'),
    "inline data": document('{"candidates":[{"content":{"parts":[{"inlineData":{"data":"%s"}}]}}]}'),
    "a chat": document('{"choices":[{"message":{"images":[{"image_url":{"url":"data:image/png;base64,%s"}}]}}]}'),
    "an output of tools": document('{"output":[{"type":"image_generation_call","result":"%s"}]}'),
    "b64_image": document('{"data":[{"object":"image","b64_image":"%s","index":0}]}'),
    "b64_json deep in an entry": document('{"data":[{"image":{"b64_json":"%s"}}]}'),
    "image bytes": document('{"generatedImages":[{"image":{"imageBytes":"%s","mimeType":"image/png"}}]}'),
    "binary data": document(
        '{"code":10000,"message":"Success","data":{"binary_data_base64":["%s"],"image_urls":null}}'),
    "camel case": document('{"data":[{"taskType":"imageInference","taskUUID":"t","imageBase64Data":"%s"}]}'),
    "capitals": document('{"Response":{"ResultImage":"%s","RequestId":"r"}}'),
    "a list of base64": document(
        '{"id":"1","data":{"image_base64":["%s"]},"base_resp":{"status_code":0,"status_msg":"success"}}'),
    "a result and success": document('{"result":{"image":"%s"},"success":true,"errors":[],"messages":[]}'),
    "a deep candidate": deep(
        [{"content": {"parts": [{"text": "x"}, {"inline_data": {"data": TEXT}}]}}], "response", "result", "candidates"),
    "a text of a payload": deep([{"content": TEXT, "index": 0}], "payload", "choices", "text"),
    "Markdown in a chat": deep([{"message": {"role": "assistant", "content": MARKDOWN}}], "choices"),
    "a data: address in a chat": deep([{"message": {"content": f"done: {DATA_URL} (png)"}}], "choices"),
    "a document in a chat": deep([{"message": {"content": DOCUMENT.decode()}}], "choices"),
    "parts of a chat": deep(
        [{"message": {"content": [{"type": "image_url", "image_url": {"url": DATA_URL}}]}}], "choices"),
    "a body of a function": JSON_HEAD + json.dumps({"statusCode": 200, "body": DOCUMENT.decode()}).encode(),
    "a picture of a function": JSON_HEAD + json.dumps(
        {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "body": TEXT, "isBase64Encoded": True}).encode(),
    "a thumbnail before it": document('{"thumbnail":"data:image/png;base64,%s","image":"%s"}', OTHER_B64, B64),
    "the picture that was edited before it": document('{"input_image":"%s","image":"%s"}', OTHER_B64, B64),
    "the bytes and an address": document('{"images":["%s"],"url":null,"image_url":"http://elsewhere.example/x.png"}'),
    "a done task with an id": deep(
        {"task_id": "t", "task_status": "SUCCEEDED", "results": [{"b64_json": TEXT}]}, "output"),
    "the state of a task and its picture": document('{"id":"t","status":"processing","images":["%s"]}'),
    "a stage of the work and its picture": document('{"image":"%s","completed":9,"total":9,"done":true}'),
    "an error that is empty": document('{"error":{},"errors":[],"data":[{"b64_json":"%s"}]}'),
    "an error that is null": document('{"error":null,"data":[{"b64_json":"%s"}]}'),
    "an error beside the picture": document('{"error":{"message":"slow"},"data":[{"b64_json":"%s"}]}'),
    "an address that is empty": document('{"data":[{"url":"","b64_json":"%s"}]}'),
    "a done task": document('{"task_id":"t","status":"succeeded","data":[{"b64_json":"%s"}]}'),
    "a status beside the picture": document('{"id":"t","status":"processing","data":[{"b64_json":"%s"}]}'),
    "202 with the picture": b"HTTP/1.1 202 Accepted\r\n\r\n" + DOCUMENT,
    # Events
    "a result as an event": stream(event(b'{"object":"image.generation.result","data":[{"b64_json":"%s"}]}' % B64),
                                   event(b"[DONE]")),
    "an early word for it": stream(event(b'{"type":"image_generation.partial_succeeded","b64_json":"%s"}' % B64),
                                   event(b'{"type":"image_generation.completed","usage":{"total_tokens":3}}')),
    "an unknown type": stream(event(b'{"type":"made.up.tomorrow","b64_json":"%s"}' % B64)),
    "an event of the responses API": stream(
        event(b'{"type":"response.output_item.done","item":{"type":"image_generation_call","result":"%s"}}' % B64)),
    "a chunk of a chat": stream(
        event(b'{"choices":[{"delta":{"images":[{"image_url":{"url":"data:image/png;base64,%s"}}]}}]}' % B64)),
    "an event without an end": stream(b"data: " + COMPLETED),
    "an event without an end, reset": ScriptedResponse((stream(b"data: " + COMPLETED),), "reset"),
    "a stream without an end": ScriptedResponse((stream(event(COMPLETED)),), "stay"),
    "a stream that goes on after its end": ScriptedResponse((stream(event(COMPLETED), event(b"[DONE]")),), "stay"),
    "a stream cut off in another event": stream(event(COMPLETED), b'data: {"type":"image_generation.comp'),
    "an event in lines": stream(b'data: {"type":"image_generation.completed",\ndata: "b64_json":"%s"}\n\n' % B64),
    "carriage returns": stream(event(COMPLETED).replace(b"\n", b"\r")),
    "no space after data": stream(b"data:" + COMPLETED + b"\n\n"),
    "a byte order mark before events": stream(MARK, event(COMPLETED)),
    "an error after the picture": stream(event(COMPLETED), event(b'{"error":{"message":"x","code":"server_error"}}')),
    "chunked events without the last chunk": STREAM_HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
                                             + chunk(event(COMPLETED)[:50]) + chunk(event(COMPLETED)[50:]),
    "an event in an event": stream(event(b"data: " + COMPLETED)),
    "an early view in an event in an event": stream(event(b"data: " + PARTIAL), event(b"data: " + COMPLETED)),
    "base64 as an event": stream(event(B64)),
    "a data: address as an event": stream(event(DATA_URL.encode())),
    "heartbeats before a document": ScriptedResponse((with_fields(body=b" "), b" \n" * 100, DOCUMENT)),
    "heartbeats before events": ScriptedResponse((STREAM_HEAD, b"\r\n" * 100, event(PARTIAL) + event(COMPLETED))),
    "comments before events": stream(b": ping\n\n" * 50, event(COMPLETED)),
    "heartbeats before gzip": ScriptedResponse((with_fields(body=b""), ZIPPED)),
    "the same picture twice": stream(
        event(b'{"type":"response.output_item.done","item":{"result":"%s"}}' % B64),
        event(b'{"type":"response.completed","response":{"error":null,"output":[{"result":"%s"}]}}' % B64)),
    "early views in lines": with_fields(body=PARTIAL + b"\n" + COMPLETED + b"\n"),
    "early views in a list": with_fields(body=b"[" + PARTIAL + b"," + COMPLETED + b"]"),
    "steps in lines": with_fields(
        body=b'{"completed":1,"total":2,"done":false}\n{"image":"%s","done":true}\n' % B64),
    "a comment after the events": stream(event(COMPLETED), b": bye\n"),
    "blank lines before the events": stream(b"\n\n", event(COMPLETED)),
    "a retry before the events": stream(b"retry: 3000\nid: 1\n\n", event(COMPLETED)),
    "a report on the way": stream(
        event(b'{"code":1,"message":"step 1 of 2","progress":50}'), event(b'{"success":false,"message":"again"}'),
        event(COMPLETED)),
    "an event of CR, LF and an id": stream(
        b"id: 7\r\nevent: image_generation.completed\r\ndata: " + COMPLETED + b"\r\n\r\n"),
    "documents in lines": with_fields(body=b'{"type":"partial"}\n' + COMPLETED + b"\n"),
}  # fmt: skip
"""Responses that hold one picture, in every form."""


@pytest.mark.parametrize("name", READ)
async def test_what_can_be_read_is_read(name: str, upstream: RawUpstream, generator: OpenAIImageGenerator) -> None:
    outcome = await outcome_of(READ[name], upstream, generator)
    assert (outcome.data, outcome.error) == ([PNG], None)


FORMATS = {
    "BMP": b"BM" + random.Random(1).randbytes(500),
    "TIFF": b"II*\x00" + random.Random(2).randbytes(500),
    "HEIC": b"\x00\x00\x00\x18ftypheic" + random.Random(3).randbytes(500),
    "AVIF": b"\x00\x00\x00\x1cftypavif" + random.Random(4).randbytes(500),
    "JPEG XL": b"\xff\x0a" + random.Random(5).randbytes(500),
    "WebP": b"RIFF\x00\x00\x00\x00WEBP" + random.Random(6).randbytes(500),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'>" + b" " * 500 + b"</svg>",
}


@pytest.mark.parametrize("name", FORMATS)
async def test_pictures_of_every_format_come_out(
    name: str, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    data = FORMATS[name]
    text = base64.b64encode(data)
    for response in (
        document('{"data":[{"b64_json":"%s"}]}', text),
        document('{"images":["%s"]}', text),
        b"HTTP/1.1 200 OK\r\nContent-Type: image/x\r\n\r\n" + data,
    ):
        assert (await outcome_of(response, upstream, generator)).data == [data]


class Several(NamedTuple):
    """A response to a request for two pictures: those that come out, and the error that follows them."""

    response: bytes | ScriptedResponse
    data: list[bytes]
    error: type[GeneratorError] | None = None


def completed(text: bytes) -> bytes:
    return event(b'{"type":"image_generation.completed","b64_json":"%s"}' % text)


LOST, UNREADABLE = GeneratorConnectionLostError, GeneratorResponseError

SEVERAL = {
    "both": Several(JSON_HEAD + PAIR, [PNG, OTHER]),
    "one": Several(JSON_HEAD + DOCUMENT, [PNG]),
    "three": Several(document('{"data":[{"b64_json":"%s"},{"b64_json":"%s"},{"b64_json":"%s"}]}', B64, OTHER_B64, B64),
                     [PNG, OTHER, PNG]),
    "one in each place": Several(document('{"images":["%s","%s"]}', B64, OTHER_B64), [PNG, OTHER]),
    "the second cut off": Several(JSON_HEAD + PAIR[: len(DOCUMENT) + 500], [PNG]),
    "the first is refused": Several(document('{"data":[{"error":{"message":"no"}},{"b64_json":"%s"}]}'), [PNG]),
    "the first is empty": Several(document('{"data":[{"b64_json":""},{"b64_json":"%s"}]}'), [PNG]),
    "two events": Several(stream(completed(B64), completed(OTHER_B64)), [PNG, OTHER]),
    "the second event cut off": Several(stream(completed(B64), completed(OTHER_B64)[:200]), [PNG], UNREADABLE),
    "the second event refused": Several(
        stream(completed(B64), event(b'{"error":{"message":"no","code":"moderation_blocked"}}')),
        [PNG],
        PromptRejectedError,
    ),
    "one known and one unknown event": Several(
        stream(completed(B64), event(b'{"type":"x","b64_json":"%s"}' % OTHER_B64)), [PNG, OTHER]
    ),
    "one of two refused, then the other": Several(
        stream(
            event(b'{"type":"image_generation.partial_failed","image_index":0,'
                  b'"error":{"code":"OutputImageSensitiveContentDetected","message":"no"}}'),
            event(b'{"type":"image_generation.partial_succeeded","image_index":1,"b64_json":"%s"}' % B64),
            event(b'{"type":"image_generation.completed","usage":{"generated_images":1}}'),
        ),
        [PNG],
        PromptRejectedError,
    ),
    "an object for each": Several(
        document('{"data":[{"b64_json":"%s"},{"image":{"b64_json":"%s"}}]}', B64, OTHER_B64), [PNG, OTHER]),
    "two members": Several(document('{"image_1":"%s","image_2":"%s"}', B64, OTHER_B64), [PNG, OTHER]),
    "Markdown of two": Several(
        deep([{"message": {"content": f"![]({DATA_URL})![](data:image/png;base64,{OTHER_B64.decode()})"}}], "choices"),
        [PNG, OTHER]),
    "two parts": Several(
        in_parts(b"Content-Type: image/png\r\n\r\n" + PNG, b"Content-Type: image/png\r\n\r\n" + OTHER), [PNG, OTHER]),
    "a stream of one, reset": Several(ScriptedResponse((stream(completed(B64)),), "reset"), [PNG], LOST),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
async def test_one_broken_picture_does_not_cost_the_others(
    name: str, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    case = SEVERAL[name]
    outcome = await outcome_of(case.response, upstream, generator, n=2)
    assert outcome.data == case.data
    assert type(outcome.error) is (case.error or type(None))


async def test_text_that_is_no_base64_comes_out_beside_a_picture(
    upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    response = document('{"data":[{"b64_json":"no base64!"},{"b64_json":"%s"}]}')
    assert (await outcome_of(response, upstream, generator, n=2)).data == [b"no base64!", PNG]


VIEWED = {
    "a view of another name": stream(
        event(b'{"type":"partial","image_index":0,"data":{"b64_json":"%s"}}' % OTHER_B64), event(b"[DONE]")
    ),
    "a view only": stream(event(PARTIAL)),
    "a view and a cut": stream(event(PARTIAL), b'data: {"type":"image_generation.completed","b64_json":"iVBOR'),
    "a view and the end": stream(event(PARTIAL), event(b"[DONE]")),
    "a view and an empty end": stream(event(PARTIAL), event(b'{"type":"image_generation.completed","usage":{}}')),
    "a view of the responses API": stream(
        event(
            b'{"type":"response.image_generation_call.partial_image","partial_image_index":0,'
            b'"partial_image_b64":"%s"}' % OTHER_B64
        )
    ),
    "a view and a reset": ScriptedResponse((stream(event(PARTIAL)),), "reset"),
}


@pytest.mark.parametrize("name", VIEWED)
async def test_an_early_view_is_better_than_nothing(
    name: str, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    outcome = await outcome_of(VIEWED[name], upstream, generator)
    assert ([view.data for view in outcome.partials], outcome.data) == ([OTHER], [OTHER])
    reported = outcome.pictures[0].reported
    assert reported is not None
    assert reported["early_view"] is True


@pytest.mark.parametrize("body", [PARTIAL, PARTIAL + b"\n" + PARTIAL + b"\n", b"[" + PARTIAL + b"]"])
async def test_an_early_view_in_a_document_is_known_as_one(
    body: bytes, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    outcome = await outcome_of(JSON_HEAD + body, upstream, generator)
    assert outcome.data == [OTHER]
    assert (outcome.pictures[0].reported or {})["early_view"] is True


async def test_the_last_of_too_many_unknown_events_is_the_picture(
    upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    steps = [event(b'{"type":"step","b64_json":"%s"}' % text) for text in (OTHER_B64, OTHER_B64, B64)]
    assert (await outcome_of(stream(*steps), upstream, generator)).data == [PNG, OTHER]


async def test_a_picture_is_better_than_its_early_view(upstream: RawUpstream, generator: OpenAIImageGenerator) -> None:
    outcome = await outcome_of(stream(event(PARTIAL), event(COMPLETED)), upstream, generator)
    assert ([view.data for view in outcome.partials], outcome.data) == ([OTHER], [PNG])


class Failed(NamedTuple):
    """A response without a picture: its error, part of the message, and part of the bytes to be rescued."""

    response: bytes | ScriptedResponse
    error: type[GeneratorError]
    words: str = ""
    raw: bytes | None = None


def error(status: int, body: str = "", *fields: str) -> bytes:
    head = "".join(f"{field}\r\n" for field in (f"HTTP/1.1 {status} x", *fields))
    return f"{head}\r\n{body}".encode()


def refused(message: str, code: str = "moderation_blocked") -> str:
    return json.dumps({"error": {"message": message, "code": code}})


CUT = b'{"data":[{"b64_json":"' + B64[:50]

FAILED = {
    # Nothing that can be read: kept
    "nothing": Failed(with_fields(body=b""), UNREADABLE, raw=b""),
    "no response": Failed(b"", LOST),
    "half a header": Failed(b"HTTP/1.1 200 OK\r\nContent-Ty", LOST, raw=b"Content-Ty"),
    "HTML": Failed(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>hi", UNREADABLE, "not JSON", b"<html>hi"),
    "a picture cut off": Failed(JSON_HEAD + CUT, UNREADABLE, raw=CUT),
    "a picture cut off in its length": Failed(with_fields(length(LENGTH), body=CUT), LOST, raw=CUT),
    "a picture cut off by a reset": Failed(
        ScriptedResponse((with_fields(length(LENGTH), body=CUT),), "reset"), LOST, raw=CUT),
    "a picture cut off in chunks": Failed(chunked(chunk(CUT)), LOST, raw=CUT),
    "an event cut off": Failed(stream(b"data: " + COMPLETED[:90]), UNREADABLE, raw=COMPLETED[:90]),
    "an event of no base64": Failed(stream(completed(b"no base64!")), UNREADABLE, "", b"no base64!"),
    "an unknown event": Failed(stream(event(b'{"x":1}')), UNREADABLE, "", b'{"x":1}'),
    "comments only": Failed(stream(b": nothing\n\n"), LOST),
    "[DONE] only": Failed(stream(event(b"[DONE]")), LOST),
    "no base64": Failed(document('{"data":[{"b64_json":"no base64!"}]}'), UNREADABLE, "base64", b"no base64!\"}]}"),
    "no entry": Failed(document('{"data":[]}'), UNREADABLE, "no picture", b'{"data":[]}'),
    "null": Failed(document("null"), UNREADABLE, "no picture", b"null"),
    "an echo of what was edited": Failed(
        document('{"input":{"image":"%s"},"data":[]}'), UNREADABLE, "no picture", b'"data":[]}'),
    "a cut gzip body": Failed(packed(b"gzip", ZIPPED[:60]), UNREADABLE, raw=ZIPPED[:60]),
    # Tasks: their id is said
    "202 and an id": Failed(error(202, '{"id":"abc-1","status":"queued"}'), UNREADABLE, "'abc-1'", b'"queued"}'),
    "202 and a number": Failed(error(202, '{"id":17}'), UNREADABLE, "17", b'{"id":17}'),
    "202 and nothing": Failed(error(202), UNREADABLE, "asynchronously", b""),
    "200 and a task": Failed(document('{"task_id":"t-1"}'), UNREADABLE, "'t-1'", b'"t-1"}'),
    "200 and an output": Failed(
        document('{"request_id":"r","output":{"task_id":"t-2","task_status":"PENDING"}}'), UNREADABLE, "'t-2'", b'}}'),
    "200 and a prediction": Failed(
        document('{"id":"p-3","status":"starting","urls":{"get":"https://api.example.com/p-3"}}'),
        UNREADABLE, "'p-3'", b'"}}'),
    "200 and an address to ask": Failed(
        document('{"id":"b-5","polling_url":"https://api.example.com/get_result?id=b-5"}'),
        UNREADABLE, "'b-5'", b'b-5"}'),
    "200 and a list of tasks": Failed(
        document('{"code":200,"data":[{"status":"submitted","task_id":"t-6"}]}'), UNREADABLE, "'t-6'", b"t-6"),
    "200 and a task of a code": Failed(
        document('{"code":1,"message":"Submitted","data":{"task_id":"t-7"}}'), UNREADABLE, "'t-7'", b"t-7"),
    "200 and a task in capitals": Failed(
        document('{"request_id":"q-8","status":"IN_QUEUE","status_url":"https://queue.example.com/q-8/status",'
                 '"response_url":"https://queue.example.com/q-8"}'), UNREADABLE, "'q-8'", b"q-8"),
    "200 and data of a task": Failed(
        document('{"code":200,"data":{"taskId":"t-4"}}'), UNREADABLE, "'t-4'", b'"t-4"}}'),
    # Refusals with a status of success
    "200 and a refusal": Failed(JSON_HEAD + refused("blocked").encode(), PromptRejectedError, "blocked"),
    "200 and a refusal in data": Failed(
        document('{"data":[{"error":{"message":"blocked","code":"content_policy_violation"}}]}'),
        PromptRejectedError, "blocked"),
    "200 and a quota": Failed(JSON_HEAD + refused("no money", "insufficient_quota").encode(), GeneratorQuotaError),
    "200 and a rate limit": Failed(
        JSON_HEAD + refused("slow", "rate_limit_exceeded").encode(), GeneratorRateLimitedError, "slow"),
    "200 and a status in its error": Failed(
        document('{"error":{"message":"bad size","code":400}}'), GeneratorRequestError, "bad size"),
    "200 and an error as text": Failed(document('{"error":"it failed"}'), GeneratorUnavailableError),
    "200 and a code of another": Failed(
        document('{"code":"DataInspectionFailed","message":"blocked","request_id":"r"}'),
        PromptRejectedError, "blocked"),
    "200 and a status in a report": Failed(
        document('{"id":"1","base_resp":{"status_code":1026,"status_msg":"input new_sensitive"}}'),
        PromptRejectedError, "new_sensitive"),
    "200 and no balance in a report": Failed(
        document('{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}'), GeneratorQuotaError),
    "200 and a failed task": Failed(
        document('{"output":{"task_id":"t","task_status":"FAILED","code":"InternalError","message":"it failed"}}'),
        GeneratorUnavailableError, "it failed"),
    "200 and a flag": Failed(
        document('{"success":false,"message":"it failed"}'), GeneratorUnavailableError, "it failed"),
    "200 and errors of a flag": Failed(
        document('{"result":null,"success":false,"errors":[{"code":3030,"message":"it failed"}],"messages":[]}'),
        GeneratorUnavailableError, "it failed"),
    "200 and an error in a response": Failed(
        document('{"Response":{"Error":{"Code":"FailedOperation.ImageIllegalDetected","Message":"unsafe content"},'
                 '"RequestId":"r"}}'), PromptRejectedError, "unsafe content"),
    "200 and numbers": Failed(
        document('{"error_code":17,"error_msg":"daily limit reached"}'), GeneratorUnavailableError, "daily limit"),
    "200 and an error that is true": Failed(
        document('{"error":true,"message":"it failed"}'), GeneratorUnavailableError, "it failed"),
    "200 and a list of an error": Failed(
        document('[{"error":{"code":400,"message":"bad size","status":"INVALID_ARGUMENT"}}]'),
        GeneratorRequestError, "bad size"),
    "200 and a status only": Failed(
        document('{"id":"x","status":"Request Moderated","result":null}'), PromptRejectedError),
    "200 and a failed response of events": Failed(
        stream(event(b'{"type":"response.failed","response":{"status":"failed",'
                     b'"error":{"code":"server_error","message":"it failed"}}}')),
        GeneratorUnavailableError, "it failed"),
    "an event of one refusal": Failed(
        stream(event(b'{"type":"image_generation.partial_failed","image_index":0,'
                     b'"error":{"code":"OutputImageSensitiveContentDetected","message":"no"}}'),
               event(b'{"type":"image_generation.completed","usage":{"generated_images":0}}'), event(b"[DONE]")),
        PromptRejectedError, "no"),
    "early views and a refusal in lines": Failed(
        with_fields(body=PARTIAL + b"\n" + refused("blocked").encode() + b"\n"), PromptRejectedError, "blocked"),
    "200 and a reason of a model": Failed(
        document('{"candidates":[{"finishReason":"IMAGE_SAFETY","index":0}]}'), UNREADABLE, ": IMAGE_SAFETY", b"index"),
    "200 and a refusal of a chat": Failed(
        document('{"choices":[{"finish_reason":"stop","message":{"content":null,"refusal":"I cannot."}}]}'),
        UNREADABLE, ": I cannot.", b"refusal"),
    "200 and nothing of success": Failed(
        document('{"code":200,"message":"success","data":null}'), UNREADABLE, "no picture", b"null}"),
    "200 and success in a number": Failed(
        document('{"code":10000,"message":"Success","data":{}}'), UNREADABLE, "no picture", b"{}}"),
    "200 and a refusal as events": Failed(
        STREAM_HEAD + refused("blocked").encode(), PromptRejectedError, "blocked"),
    "an event of a refusal": Failed(stream(event(refused("blocked").encode())), PromptRejectedError, "blocked"),
    "an event of a refusal as JSON": Failed(
        JSON_HEAD + event(refused("blocked").encode()), PromptRejectedError, "blocked"),
    "a named event of an error": Failed(
        stream(b"event: error\n" + event(b'{"message":"blocked","code":"moderation_blocked"}')),
        PromptRejectedError, "blocked"),
    "a view and a refusal": Failed(
        stream(event(PARTIAL), event(refused("blocked").encode())), PromptRejectedError, "blocked"),
    "a view and a failure": Failed(
        stream(event(PARTIAL), event(refused("it failed", "server_error").encode())), LOST, raw=OTHER[-20:]),
    "200 and a lost connection": Failed(
        document('{"error":{"message":"upstream timed out","code":500}}'), LOST, raw=b"500}}"),
    # Reasons in every shape
    "a reason in detail": Failed(error(422, '{"detail":[{"loc":["body","size"],"msg":"not offered"}]}'),
                                 GeneratorRequestError, "size: not offered"),
    "a detail as text": Failed(error(422, '{"detail":"not offered"}'), GeneratorRequestError, "not offered"),
    "a detail as an object": Failed(error(400, '{"detail":{"message":"not offered"}}'),
                                    GeneratorRequestError, "not offered"),
    "errors": Failed(error(400, '{"errors":["not offered","too large"]}'),
                     GeneratorRequestError, "not offered; too large"),
    "errors by field": Failed(error(400, '{"errors":{"size":["not offered"]}}'),
                              GeneratorRequestError, "size: not offered"),
    "a list": Failed(error(400, '[{"error":{"message":"not offered"}}]'), GeneratorRequestError, "not offered"),
    "an error as text": Failed(error(400, '{"error":"not offered"}'), GeneratorRequestError, "not offered"),
    "an error within": Failed(error(400, '{"error":{"error":{"message":"not offered"}}}'),
                              GeneratorRequestError, "not offered"),
    "a title": Failed(error(400, '{"type":"about:blank","title":"not offered"}'), GeneratorRequestError, "not offered"),
    "error_msg": Failed(error(400, '{"error_code":1,"error_msg":"not offered"}'), GeneratorRequestError, "not offered"),
    "msg": Failed(error(400, '{"code":1,"msg":"not offered"}'), GeneratorRequestError, "not offered"),
    "Message": Failed(error(400, '{"Code":"X","Message":"not offered"}'), GeneratorRequestError, "not offered"),
    "a code of moderation": Failed(
        error(400, '{"error":{"code":"contentFilter","message":"blocked"}}'), PromptRejectedError, "blocked"),
    "a code of moderation of another": Failed(
        error(400, '{"error":{"code":"OutputImageSensitiveContentDetected","message":"blocked","type":"BadRequest"}}'),
        PromptRejectedError, "blocked"),
    "moderation in words": Failed(
        error(400, '{"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}}'),
        PromptRejectedError, "敏感内容"),
    "moderation as a failure": Failed(
        error(500, '{"error":{"code":"content_policy_violation","message":"blocked"}}'),
        PromptRejectedError, "blocked"),
    "a parameter called moderation": Failed(
        error(400, '{"error":{"message":"Unknown parameter: \'moderation\'.","code":"unknown_parameter"}}'),
        GeneratorRequestError, "Unknown parameter"),
    "no quota left": Failed(
        error(403, '{"error":{"message":"no","type":"new_api_error","code":"insufficient_user_quota"}}'),
        GeneratorQuotaError),
    "no balance left": Failed(
        error(403, '{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}'),
        GeneratorQuotaError),
    "a bill that is due": Failed(
        error(400, '{"code":"Arrearage","message":"Access denied, make sure your account is in good standing."}'),
        GeneratorQuotaError),
    "a model with a word of moderation": Failed(
        error(404, '{"error":{"message":"The model sd-nsfw does not exist","code":"model_not_found"}}'),
        GeneratorUnavailableError, "model"),
    "a limit called quota": Failed(
        error(429, '{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota, '
                   'please check your plan and billing details."}}'), GeneratorRateLimitedError, "current quota"),
    "credentials of a proxy": Failed(error(407), GeneratorUnavailableError, "HTTP_PROXY"),
    "a reason of a failure": Failed(
        error(500, '{"error":{"message":"The model is loading","code":"server_error"}}'),
        GeneratorUnavailableError, "The model is loading"),
    "plain text": Failed(error(400, "not offered"), GeneratorRequestError, "not offered"),
    "HTML as a reason": Failed(error(400, "<html><h1>no</h1>"), GeneratorRequestError, "HTTP 400"),
    "a gzip reason": Failed(
        b"HTTP/1.1 400 x\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"error":"not offered"}'),
        GeneratorRequestError, "not offered"),
    "a wrong header and a reason": Failed(error(400, '{"error":"not offered"}', "garbage"),
                                          GeneratorRequestError, "not offered"),
    "100, a wrong header and a reason": Failed(
        b"HTTP/1.1 100 Continue\r\n\r\n" + error(400, '{"error":"not offered"}', "garbage"),
        GeneratorRequestError, "not offered"),
    "a reset within a reason": Failed(
        ScriptedResponse((error(400, '{"error":{"message":"not off', "Content-Length: 500"),), "reset"),
        GeneratorRequestError),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILED)
async def test_what_cannot_be_read_is_kept_and_a_refusal_says_why(
    name: str, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    case = FAILED[name]
    outcome = await outcome_of(case.response, upstream, generator)
    assert outcome.data == []
    failure = outcome.error
    assert type(failure) is case.error
    assert case.words in failure.message
    assert failure.may_have_been_paid == (case.error in (LOST, UNREADABLE))
    if case.raw is None:
        assert failure.raw is None
    else:
        assert failure.raw is not None
        assert case.raw in failure.raw


HTML, OWN, OTHERS = "<html>", refused("The server had an error.", "server_error"), refused("Connection error.", "500")

PAID = {408, 460, 499, 504, 520, 524, 598, 599, 501, 505, 507, 508, 511, 527, 561}
UNPAID = {400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 421, 422, 425, 429, 431, 451, 521, 522, 523, 525, 526, 529,
          530}  # fmt: skip
BY_WORD = {500, 502, 503}
STATUSES = (
    [(status, body, True) for status in sorted(PAID) for body in ("", HTML, OWN, OTHERS)]
    + [(status, body, False) for status in sorted(UNPAID) for body in ("", HTML, OWN)]
    + [(status, body, body != OWN) for status in sorted(BY_WORD) for body in ("", HTML, OWN, OTHERS)]
)


@pytest.mark.parametrize(("status", "body", "paid"), STATUSES)
async def test_a_status_says_whether_it_may_have_been_paid(
    status: int, body: str, paid: bool, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    outcome = await outcome_of(error(status, body), upstream, generator)
    failure = outcome.error
    assert failure is not None
    assert failure.may_have_been_paid == paid
    if paid:
        is_late = status in (408, 504, 524, 598, 599)
        assert type(failure) is (GeneratorTimeoutError if is_late else GeneratorConnectionLostError)
        assert failure.raw == (body.encode() or None)


@pytest.mark.parametrize(
    "words",
    ["litellm.Timeout: Request timed out", "upstream request timeout", "Connection reset by peer", "socket hang up",
     "Server disconnected without sending a response.", "stream closed before completion", "ECONNRESET",
     "peer closed connection without sending complete message body (incomplete chunked read)",
     "Remote end closed connection without response", 'Post "https://api.example.com/v1/images": EOF',
     "Response payload is not completed", "other side closed", "fetch failed", "This operation was aborted",
     "A task was canceled.", "context canceled", "Unexpected end of file from server", "read response body failed",
     "error decoding response body", "do request failed", "upstream_reset_before_response_started",
     "Unable to read data from the transport connection",
     "stream error: stream ID 3; INTERNAL_ERROR; received from peer",
     "http2: server sent GOAWAY", "请求超时", "连接被重置", "Error 502: Bad gateway", "read ETIMEDOUT",
     "Cloudflare could not reach the origin"],
)  # fmt: skip
async def test_an_error_document_about_another_connection_is_no_word_of_non_payment(
    words: str, upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    for status in sorted(BY_WORD):
        outcome = await outcome_of(error(status, refused(words, "internal_error")), upstream, generator)
        assert type(outcome.error) is GeneratorConnectionLostError


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, GeneratorRequestError), (401, GeneratorCredentialsError), (402, GeneratorQuotaError),
     (403, GeneratorCredentialsError), (404, GeneratorUnavailableError), (405, GeneratorUnavailableError),
     (409, GeneratorUnavailableError), (413, GeneratorRequestError), (422, GeneratorRequestError),
     (429, GeneratorRateLimitedError), (451, GeneratorRequestError), (522, GeneratorUnavailableError)],
)  # fmt: skip
async def test_an_unpaid_status_has_its_error(
    status: int, kind: type[GeneratorError], upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    assert type((await outcome_of(error(status), upstream, generator)).error) is kind


async def test_a_setting_is_named_where_the_operator_must_act(
    upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    for status, setting in ((401, "OPENAI_API_KEY"), (404, "OPENAI_BASE_URL"), (405, "OPENAI_BASE_URL")):
        failure = (await outcome_of(error(status), upstream, generator)).error
        assert failure is not None
        assert setting in failure.message


@pytest.mark.parametrize(
    "usage",
    [{"cost": 0.1}, {"cost": 0.07, "total_tokens": 7}, {"cost": 1e-7}, {"total_tokens": 5, "details": {"cost": 1.5}}],
)
async def test_the_shares_of_a_usage_add_up(
    usage: dict[str, object], upstream: RawUpstream, generator: OpenAIImageGenerator
) -> None:
    entries = [{"b64_json": B64.decode()}] * 3
    body = json.dumps({"data": entries, "usage": usage}).encode()
    outcome = await outcome_of(JSON_HEAD + body, upstream, generator, n=3)
    assert len(outcome.pictures) == 3
    assert outcome.pictures[0].usage != usage
    assert sum_usage(image.usage for image in outcome.pictures) == usage
