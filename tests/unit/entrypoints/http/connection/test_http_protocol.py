"""HTTP/1 byte by byte: requests that offer an upgrade, HTTP/1.0, and what must not be taken for a request."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from pixyproxy.entrypoints.http.connection.bounded_protocol import BoundedProtocol
from pixyproxy.entrypoints.http.connection.connections import ConnectionLimits, Connections
from tests.fixtures.wire import Wire


class Echo:
    """An application that answers with the body of a request, and notes the requests; at `/stream` without a length."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body += message["body"]
            more = message["more_body"]
        self.requests.append((scope["method"], scope["path"], body))
        self.headers.append(scope["headers"])
        length = [] if scope["path"] == "/stream" else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        for piece in (body[:3], body[3:]):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def exchange(*pieces: bytes) -> tuple[Echo, Wire]:
    """Send pieces on one connection, each after all is done about the one before."""
    app, wire = Echo(), Wire()
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="off")
    connections = Connections(ConnectionLimits(most=1))
    protocol = BoundedProtocol(config, ServerState(), {}, asyncio.get_running_loop(), connections=connections)
    protocol.connection_made(wire)
    for piece in pieces:
        if not wire.end:
            protocol.data_received(piece)
        for _ in range(10):
            await asyncio.sleep(0)
    ended = wire.end
    protocol.connection_lost(None)
    wire.end = ended  # as the server left it
    return app, wire


async def in_each_split(data: bytes) -> list[tuple[Echo, Wire]]:
    """Send the same bytes at once, one by one, and in two parts, divided at each place."""
    splits = [[data], [data[at : at + 1] for at in range(len(data))]]
    splits += [[data[:at], data[at:]] for at in range(1, len(data))]
    return [await exchange(*pieces) for pieces in splits]


SMUGGLED = b"DELETE /image/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OFFERS = [
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    b"Connection: keep-alive, uPgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n",
    b"connection:upgrade\r\nupgrade:TLS/1.0, anything\r\n",
    b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: h3\r\n",
]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (SMUGGLED[:5], len(SMUGGLED) - 5, SMUGGLED[5:]),
    ],
    ids=["length", "chunked"],
)
async def test_a_request_that_offers_an_upgrade_is_served_with_its_body(offer: bytes, body: bytes) -> None:
    head = b"POST /image?a=b HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\n"
    for app, wire in await in_each_split(head + offer + body + NEXT):
        assert app.requests == [("POST", "/image", SMUGGLED), ("GET", "/next", b"")]
        assert wire.sent.count(b"HTTP/1.1 200 OK") == 2
        assert wire.end
        names = {name for name, _ in app.headers[0]}
        assert {b"host", b"content-type"} < names
        assert not names & {b"upgrade", b"http2-settings"}
        assert not any(b"pgrade" in value for name, value in app.headers[0] if name == b"connection")


@pytest.mark.parametrize("offer", OFFERS)
async def test_requests_without_a_body_follow_each_other(offer: bytes) -> None:
    request = b"GET /first HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n"
    for app, _ in await in_each_split(request + request + NEXT):
        assert [path for _, path, _ in app.requests] == ["/first", "/first", "/next"]


async def test_an_offer_without_connection_is_an_ordinary_field() -> None:
    app, _ = await exchange(b"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n" + NEXT)
    assert [path for _, path, _ in app.requests] == ["/a", "/next"]


async def test_close_beside_an_offer_closes() -> None:
    app, wire = await exchange(
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n", NEXT
    )
    assert [path for _, path, _ in app.requests] == ["/a"]
    assert wire.end


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"CONNECT /image HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5, 6\r\n\r\n" + SMUGGLED,
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n" + SMUGGLED,
    ],
)
async def test_a_malformed_request_or_a_tunnel_ends_the_connection(data: bytes) -> None:
    for app, wire in await in_each_split(data):
        assert app.requests == []
        assert wire.sent.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert wire.sent.count(b"HTTP/1.1") == 1
        assert wire.end


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"])
async def test_http_1_0_gets_no_chunks_and_a_closed_connection(more: bytes) -> None:
    head = b"POST /stream HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 8\r\n" + more + b"\r\n"
    for app, wire in await in_each_split(head + b"a\r\nb\r\ncd"):
        assert app.requests == [("POST", "/stream", b"a\r\nb\r\ncd")]
        assert wire.sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na\r\nb\r\ncd"
        assert wire.end


async def test_http_1_0_keeps_a_length_that_is_known() -> None:
    _, wire = await exchange(b"POST /echo HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd")
    assert wire.sent == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabcd"
    _, wire = await exchange(b"HEAD /stream HTTP/1.0\r\n\r\n")
    assert wire.sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


async def test_http_1_1_gets_chunks() -> None:
    _, wire = await exchange(b"POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd")
    assert wire.sent.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")
    assert not wire.end


def test_idle_connections_outlive_those_of_nginx() -> None:
    idle_s = ConnectionLimits(most=1).idle_s
    configuration = (Path(__file__).parents[5] / "deploy" / "nginx" / "pixyproxy.conf").read_text()
    upstreams = re.findall(r"^upstream \w+ \{(.*?)^\}", configuration, re.MULTILINE | re.DOTALL)
    times = [int(time) for upstream in upstreams for time in re.findall(r"keepalive_timeout (\d+)s;", upstream)]
    assert len(times) == len(upstreams) == 2
    assert max(times) < idle_s == 75
