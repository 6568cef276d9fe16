"""The record of a socket, and everything inside the HTTP client and the SDK that it and the client rely on."""

from collections.abc import Iterator
from typing import Any

import httpcore2
import httpx2
import pytest
from openai import AsyncOpenAI

from pixyproxy.adapters.openai import socket_record
from pixyproxy.adapters.openai.socket_record import AddressRefusedError, SocketRecord, record_of, record_socket
from tests.fixtures.openai.raw_upstream import BARE_HEAD, RawUpstream, ScriptedResponse, chunk
from tests.fixtures.openai.upstream import RefusingPort

UPDATED = "an update of the HTTP client or the SDK changed what socket_record and upstream_client rely on"


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def short_silences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_record, "READ_ON_S", 0.1)


def new_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, event_hooks={"request": [record_socket]})


async def test_the_client_reports_these_events_and_reads_through_the_stream_in_them(upstream: RawUpstream) -> None:
    upstream.response = ScriptedResponse((BARE_HEAD + b"Content-Length: 4\r\n\r\nbody",))
    events: dict[str, dict[str, Any]] = {}
    sizes: list[int] = []
    addresses: list[str] = []

    async def trace(event: str, info: dict[str, Any]) -> None:
        events[event] = info
        if event.endswith(".connect_tcp.complete"):
            stream = info["return_value"]
            addresses.append(stream.get_extra_info("server_addr")[0])
            read = stream.read

            async def counted(max_bytes: int, timeout: float | None = None) -> bytes:
                sizes.append(max_bytes)
                data: bytes = await read(max_bytes, timeout)
                return data

            stream.read = counted

    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(upstream.base_url, extensions={"trace": trace})).content == b"body"
    names = {name.partition(".")[2] for name in events}
    needed = {"connect_tcp.started", "connect_tcp.complete", "send_request_headers.started",
              "receive_response_headers.complete", "receive_response_body.complete"}  # fmt: skip
    assert needed <= names, UPDATED
    assert sizes, UPDATED
    by_name = {name.partition(".")[2]: info for name, info in events.items()}
    assert by_name["connect_tcp.started"]["host"] == "127.0.0.1", UPDATED
    assert addresses == ["127.0.0.1"], UPDATED
    assert by_name["send_request_headers.started"]["request"].method == b"GET", UPDATED


@pytest.mark.parametrize(
    ("response", "event"),
    [(BARE_HEAD + b"garbage\r\n\r\n", "receive_response_headers.failed"),
     (BARE_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "receive_response_body.failed")],
)  # fmt: skip
async def test_the_client_reports_a_fault_with_its_exception(
    response: bytes, event: str, upstream: RawUpstream
) -> None:
    upstream.response = ScriptedResponse((response,))
    failures: dict[str, object] = {}

    async def trace(name: str, info: dict[str, Any]) -> None:
        if name.endswith(".failed"):
            failures[name.partition(".")[2]] = info["exception"]

    async with httpx2.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(upstream.base_url, extensions={"trace": trace})
    assert isinstance(failures.get(event), httpcore2.RemoteProtocolError), UPDATED


async def test_the_sdk_returns_a_response_before_its_body(upstream: RawUpstream) -> None:
    upstream.response = ScriptedResponse((BARE_HEAD + b"\r\none", b"two"))
    async with new_client() as http:
        sdk = AsyncOpenAI(api_key="k", base_url=upstream.base_url, max_retries=0, http_client=http)
        options: Any = {"headers": {"X-Stainless-Raw-Response": "stream"}}
        response = await sdk.post("/x", cast_to=httpx2.Response, content=b"{}", options=options)
        assert type(response) is httpx2.Response, UPDATED
        assert not response.is_stream_consumed, UPDATED
        assert [piece async for piece in response.aiter_raw()] == [b"one", b"two"], UPDATED


async def read(response: ScriptedResponse | bytes, upstream: RawUpstream) -> tuple[bytes, bytes, Exception | None]:
    """Return the body, the bytes that are in no body, and the error of a request."""
    upstream.response = response if isinstance(response, ScriptedResponse) else ScriptedResponse((response,))
    body, failure = b"", None
    record = SocketRecord("127.0.0.1")
    async with new_client() as client:
        try:
            async with client.stream("GET", upstream.base_url, extensions={"record": record}) as answered:
                assert record_of(answered.request) is record
                async for piece in answered.aiter_raw():
                    record.delivered(piece)
                    body += piece
        except httpx2.HTTPError as error:
            failure = error
    return body, record.undelivered(), failure


LONG = bytes(range(256)) * 4000

RECORDED: dict[str, tuple[bytes | ScriptedResponse, bytes, bytes]] = {
    "a length": (BARE_HEAD + b"Content-Length: 4\r\n\r\nbody", b"body", b""),
    "a length too short": (BARE_HEAD + b"Content-Length: 4\r\n\r\nbody" + LONG, b"body", LONG),
    "a length too short by little": (BARE_HEAD + b"Content-Length: 4\r\n\r\nbody!", b"body", b"!"),
    "no length": (BARE_HEAD + b"\r\n" + LONG, LONG, b""),
    "chunks": (BARE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"body") + chunk(b""), b"body",
               b"\r\n0\r\n\r\n"),
    "a wrong chunk": (
        BARE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"body") + b"zz\r\n" + LONG, b"body",
        b"\r\nzz\r\n" + LONG),
    "a wrong header": (BARE_HEAD + b"garbage\r\n\r\n" + LONG, b"", BARE_HEAD + b"garbage\r\n\r\n" + LONG),
    "a wrong header, kept open": (
        ScriptedResponse((BARE_HEAD + b"garbage\r\n\r\n", LONG), "stay"), b"", BARE_HEAD + b"garbage\r\n\r\n" + LONG),
    "no header": (LONG, b"", LONG),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
async def test_bytes_that_are_in_no_body_are_recorded(name: str, upstream: RawUpstream) -> None:
    response, body, undelivered = RECORDED[name]
    read_body, left, failure = await read(response, upstream)
    assert (read_body, left) == (body, undelivered)
    assert (failure is not None) == ("wrong" in name or "no header" in name)


async def test_reading_on_is_bounded(upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_record, "READ_ON_BYTES", 1000)
    _, left, _ = await read(BARE_HEAD + b"garbage\r\n\r\n" + LONG * 10, upstream)
    assert 1000 < len(left) < len(LONG * 10)


async def test_a_refused_address_gets_no_request(upstream: RawUpstream) -> None:
    asked: list[str] = []

    def refuse(address: str) -> bool:
        asked.append(address)
        return False

    url = upstream.base_url.replace("127.0.0.1", "localhost")
    async with new_client() as client:
        with pytest.raises(AddressRefusedError, match=r"127\.0\.0\.1"):
            await client.get(url, extensions={"record": SocketRecord("localhost", refuse)})
    assert (asked, upstream.requests) == (["127.0.0.1"], 0)


async def test_a_request_counts_as_sent_from_its_header_on(upstream: RawUpstream) -> None:
    upstream.response = ScriptedResponse((b"",))
    record = SocketRecord("127.0.0.1")
    async with new_client() as client:
        with RefusingPort() as address, pytest.raises(httpx2.ConnectError):
            await client.get(address, extensions={"record": record})
        assert not record.is_sent
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(upstream.base_url, extensions={"record": record})
        assert record.is_sent
