"""Answers of a hostile upstream: their readers take a bounded number of steps, and none of them in the event loop."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from pixyproxy.adapters.openai import image_generator, picture_fetcher, upstream_client
from pixyproxy.adapters.openai.admission import ByteBudget, Permit
from pixyproxy.adapters.openai.error_messages import MAX_DOCUMENT_BYTES
from pixyproxy.adapters.openai.error_translation import DocumentRefusal, translate
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.picture_fetcher import PictureFetcher
from pixyproxy.adapters.openai.reading import content_coding, event_parser, json_document, raw_response, response_reader
from pixyproxy.adapters.openai.reading.event_parser import EventParser
from pixyproxy.adapters.openai.reading.picture_finder import find_pictures
from pixyproxy.adapters.openai.reading.picture_text import looks_like_picture
from pixyproxy.adapters.openai.reading.response_reader import ResponseReader
from pixyproxy.adapters.openai.reading.upstream_response import UpstreamResponse
from pixyproxy.domain.errors import GeneratorResponseError
from pixyproxy.domain.generation import GenerationRequest
from tests.fixtures.core import PNG

LARGE = json.dumps({"data": [{"b64_json": "QUJD" * 10_000}]}).encode()


@pytest.mark.parametrize("unit", [b"data:a\n\n", b'data:{"type":"x"}\r\n\r\n', b"data:\ndata:a\n\n"])
def test_a_stream_has_a_limited_number_of_events(unit: bytes) -> None:
    parser = EventParser(10**9)
    assert len(parser.feed(unit * event_parser.MAX_EVENTS)) == event_parser.MAX_EVENTS
    with pytest.raises(GeneratorResponseError, match="too many events"):
        parser.feed(unit)


@pytest.mark.parametrize("unit", [b"\n", b"\r", b":\n", b"data\n", b"data:a\n"])
def test_a_stream_has_a_limited_number_of_lines(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_parser, "MAX_LINES", 100)
    parser = EventParser(10**9)
    parser.feed(unit * 100)
    with pytest.raises(GeneratorResponseError, match="too many lines"):
        parser.end(unit * 2)


@pytest.mark.parametrize("text", ["[[%s]]", '{"data": [%s]}', "%s", "{}%s", '{"a": 1,} %s'])
def test_a_document_has_a_limited_number_of_values(text: str) -> None:
    for unit in ("[],", "{} ", "[", '{"a":', "1,"):
        body = text.replace("%s", unit * (json_document.MAX_VALUES + 1)).encode()
        with pytest.raises(ValueError, match="too many values"):
            json_document.parse_json(body)


def test_as_many_pictures_are_decoded_as_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def entry(value: Any) -> str:
        read.append(value)
        return "https://example.org/a.png"

    class Counted(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            return entry(name) if name == "url" else super().get(name, default)

    found = find_pictures({"output": [Counted(name=1) for _ in range(1000)]})
    assert len(found) == 16
    assert len(read) == 16


def test_the_kind_of_bytes_is_found_in_their_beginning() -> None:
    assert looks_like_picture(b" " * 1000 + b"<svg")
    assert not looks_like_picture(b" " * 2000 + b"<svg")


def test_a_broken_response_is_read_in_a_limited_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_response, "_MAX_INTERIM", 3)
    monkeypatch.setattr(raw_response, "_MAX_CHUNKS", 3)
    interim, final = b"HTTP/1.1 103 x\r\n\r\n", b"HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw_response.split_response(interim * 2 + final + b"1\r\na\r\n0\r\n\r\n")[::2] == (201, b"a")
    assert raw_response.split_response(interim * 4).body == interim
    assert raw_response.split_response(final + b"1\r\na" * 5).body == b"aaa" + b"1\r\na" * 2


def test_gzip_has_a_limited_number_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_coding, "_MAX_FILES", 10)
    empty = gzip.compress(b"")
    assert content_coding.unpack(empty * 9 + gzip.compress(b"a"), ["gzip"], 100) == b"a"
    packed = empty * 9 + gzip.compress(b"a") + gzip.compress(b"b")
    assert content_coding.unpack(packed, ["gzip"], 100) == b"a"


@pytest.mark.parametrize("document", [{"error": "e" * 100_000}, {"error": {"message": "m", "x": ["e"] * 50_000}}])
def test_an_error_is_kept_and_read_in_its_beginning(document: dict[str, Any]) -> None:
    error = DocumentRefusal(document, begun=False)
    assert len(error.body) == MAX_DOCUMENT_BYTES + 1
    assert translate(error, api_key="k", model="m", model_requested=False).document is None


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """Record the threads in which readers run."""
    found: dict[str, set[int]] = {}

    def watch(place: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(place, name)

        def recorded(*arguments: Any, **named: Any) -> Any:
            found.setdefault(name, set()).add(threading.get_ident())
            return function(*arguments, **named)

        monkeypatch.setattr(place, name, recorded)

    for place, name in (
        (response_reader, "read_document"),
        (response_reader, "read_event"),
        (EventParser, "feed"),
        (EventParser, "end"),
        (image_generator, "read_models"),
        (image_generator, "read_bare"),
        (picture_fetcher, "unpack"),
        (upstream_client, "split_response"),
    ):
        watch(place, name)
    return found


async def pictures_of(*pieces: bytes, unparsed: bytes = b"", executor: ThreadPoolExecutor) -> list[bytes]:
    async def arriving() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def close() -> None:
        pass

    response = UpstreamResponse(200, {}, arriving(), lambda: unparsed, close)
    deadline = asyncio.get_running_loop().time() + 60
    with Permit(ByteBudget()) as permit:
        reader = ResponseReader(response, permit, executor, wanted=1, deadline=deadline)
        return [item.data async for item in reader.read()]


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize(
    ("pieces", "unparsed", "names"),
    [
        ([LARGE], b"", {"read_document"}),
        ([LARGE[:10], LARGE[10:]], b"", {"read_document"}),
        ([], LARGE, {"read_document"}),
        ([b"data: " + LARGE + b"\n\n"], b"", {"feed", "read_event"}),
        ([b"data: ", LARGE + b"\n\n"], b"", {"feed", "read_event"}),
        ([b"data: {}\n\ndata: "], LARGE, {"end", "read_event"}),
    ],
)
async def test_no_large_answer_is_parsed_in_the_event_loop(
    pieces: list[bytes], unparsed: bytes, names: set[str], is_closed: bool, threads: dict[str, set[int]]
) -> None:
    executor = ThreadPoolExecutor(2)
    if is_closed:
        executor.shutdown()
    # What is small is parsed where it is.
    found = await pictures_of(*pieces, unparsed=unparsed, executor=executor)
    assert found == [b"ABC" * 10_000]
    executor.shutdown()
    for name in names:
        assert threads[name] - {threading.get_ident()}, name
    if names == {"read_document"}:
        assert threads["read_document"].isdisjoint({threading.get_ident()})


async def test_the_loop_runs_between_the_events_of_a_piece() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    with ThreadPoolExecutor(2) as executor, pytest.raises(GeneratorResponseError, match="no picture"):
        await pictures_of(b"data:{}\n\n" * 1500, executor=executor)
    counting.cancel()
    assert turns >= 10


async def test_what_is_read_elsewhere_is_not_read_in_the_event_loop(
    threads: dict[str, set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = OpenAIImageGenerator("sk-a", "http://upstream.test/v1", "m")

    async def listed(*_: object) -> bytes:
        return b'{"data": []}'

    monkeypatch.setattr(generator, "_list_models", listed)
    await generator.models()
    assert [image.data for image in await generator.read_rescued(gzip.compress(PNG))] == [PNG]

    async def fetched(*_: object, **_options: object) -> UpstreamResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield gzip.compress(PNG)

        async def close() -> None:
            pass

        return UpstreamResponse(200, {"content-encoding": "gzip"}, pieces(), lambda: b"", close)

    upstream: Any = type("Upstream", (), {"fetch": fetched})()
    fetcher = PictureFetcher(upstream, httpx2.URL("http://upstream.test/v1"), ())
    assert await fetcher.fetch("/a.png", asyncio.get_running_loop().time() + 60) == PNG
    assert set(threads) == {"read_models", "read_bare", "unpack"}
    assert all(threading.get_ident() not in used for used in threads.values())


async def test_a_broken_header_is_not_read_in_the_event_loop(threads: dict[str, set[int]]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n" + LARGE)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    generator = OpenAIImageGenerator("sk-a", f"http://127.0.0.1:{port}/v1", "m")
    await generator.open()
    found = [item.data async for item in generator.generate(GenerationRequest("a"))]
    await generator.close()
    server.close()
    assert found == [b"ABC" * 10_000]
    assert threads["split_response"]
    assert threading.get_ident() not in threads["split_response"] | threads["read_document"]
