"""Clients that send too much, too slowly or not at all, or do not read: over real sockets, without a proxy in front."""

import asyncio
import base64
import json
import re
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from dependency_injector import providers

from pixyproxy.containers import Container, build_container
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, PartialImage
from pixyproxy.entrypoints.http.connection.connections import ConnectionLimits
from pixyproxy.entrypoints.http.draining_server import build_server
from pixyproxy.entrypoints.http.server import bind
from tests.fixtures.core import ScriptedGenerator
from tests.fixtures.http_app import memory_settings
from tests.fixtures.openai.pictures import picture
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import PATIENCE_S, Deadline, Service

LIMITS = ConnectionLimits(
    most=50, head_s=0.3, body_grace_s=0.3, idle_s=0.8, silence_s=0.5, linger_s=0.2, sweep_s=0.05, body_rate=10_000
)
"""Times of which the tests wait for the shorter ones."""
LONG = 3600.0
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def served(limits: ConnectionLimits, container: Container | None = None) -> Iterator[tuple[str, int]]:
    """Serve with these limits in a thread, and yield the address."""
    server = build_server(container or build_container(memory_settings()), limits)
    listener = bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],))
    address = listener.getsockname()
    thread.start()
    try:
        yield address
    finally:
        server.request_stop()
        server.request_stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def hasty() -> Iterator[tuple[str, int]]:
    """Yield the address of a server with short deadlines."""
    with served(LIMITS) as address:
        yield address


def connect(address: tuple[str, int], receive_buffer: int | None = None) -> socket.socket:
    made = socket.socket()
    if receive_buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(PATIENCE_S)
    made.connect(address)
    return made


def rest_of(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def response_on(connection: socket.socket) -> bytes:
    """Return one response with a length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (piece := connection.recv(65536))
        assert piece, received
    head, _, body = received.partition(b"\r\n\r\n")
    [length] = [int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
    while len(body) < length:
        body += (piece := connection.recv(65536))
        assert piece
    return head + b"\r\n\r\n" + body


@contextmanager
def trickling(connection: socket.socket, piece: bytes, every_s: float = 0.05) -> Iterator[None]:
    """Send a piece again and again meanwhile."""
    ended = threading.Event()

    def trickle() -> None:
        with suppress(OSError):
            while not ended.wait(every_s):
                connection.sendall(piece)

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("begin", "piece", "status"),
    [
        (b"", b"G", b"40"),
        (b"GET / HTTP/1.1\r\nX: ", b"a", b"408"),
        (b"GET / HTTP/1.1\r\n", b"X: a\r\n", b"408"),
        (
            b"POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n",
            b" ",
            b"408",
        ),
        (CHUNKED, b"1\r\n \r\n", b"408"),
        (CHUNKED + b"1;", b"a", b"408"),
    ],
)
def test_what_trickles_is_ended(hasty: tuple[str, int], begin: bytes, piece: bytes, status: bytes) -> None:
    with connect(hasty) as connection:
        connection.sendall(begin or piece)
        with trickling(connection, piece):
            assert rest_of(connection).startswith(b"HTTP/1.1 " + status)


def test_a_silent_connection_is_closed(hasty: tuple[str, int]) -> None:
    with connect(hasty) as connection:
        assert rest_of(connection) == b""


def test_a_kept_connection_may_be_idle_for_longer_than_a_head_may_take(hasty: tuple[str, int]) -> None:
    with connect(hasty) as connection:
        connection.sendall(GET)
        response_on(connection)
        time.sleep(LIMITS.head_s + 0.1)
        connection.sendall(GET)
        assert response_on(connection).startswith(b"HTTP/1.1 200")
        assert rest_of(connection) == b""


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (b"GET /", b"a"),
        (b"GET / HTTP/1.1\r\nX: ", b"a"),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        (CHUNKED + b"1;", b"a"),
        (CHUNKED + b"0\r\nX: ", b"a"),
    ],
)
def test_a_head_without_an_end_is_refused(begin: bytes, endless: bytes) -> None:
    slow = replace(LIMITS, head_s=LONG, body_grace_s=LONG, silence_s=LONG)
    with served(slow) as address, connect(address) as connection:
        connection.sendall(begin)
        with trickling(connection, endless * 10_000, every_s=0):
            assert rest_of(connection).startswith(b"HTTP/1.1 431")


def test_the_longest_idle_connection_makes_room_for_a_new_one() -> None:
    limits = replace(LIMITS, most=3, head_s=LONG, idle_s=LONG)
    with served(limits) as address, ExitStack() as stack:
        kept = [stack.enter_context(connect(address)) for _ in range(3)]
        for connection in kept:
            connection.sendall(GET)
            response_on(connection)
        kept[0].sendall(GET)
        response_on(kept[0])
        new = stack.enter_context(connect(address))
        new.sendall(GET)
        response_on(new)
        assert rest_of(kept[1]) == b""
        for connection in (kept[0], kept[2], new):
            connection.sendall(GET)
            assert response_on(connection).startswith(b"HTTP/1.1 200")


def test_connections_that_work_are_kept_and_new_ones_refused() -> None:
    limits = replace(LIMITS, most=3, body_grace_s=LONG)
    body = b'{"prompt": "a patient duck", "size": "64x64"}'
    post = b"POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    with served(limits) as address, ExitStack() as stack:
        busy = [stack.enter_context(connect(address)) for _ in range(3)]
        for connection in busy:
            connection.sendall(post + body[:1])
        deadline = Deadline("new connections are refused")
        while not refusal(address).startswith(b"HTTP/1.1 503"):
            deadline.wait()
        assert b"\r\nretry-after: 1\r\n" in refusal(address)
        for connection in busy:
            connection.sendall(body[1:])
            assert response_on(connection).startswith(b"HTTP/1.1 200")
        deadline = Deadline("there is room again")
        while not refusal(address).startswith(b"HTTP/1.1 200"):
            deadline.wait()


def refusal(address: tuple[str, int]) -> bytes:
    """Return what a new connection is told; nothing if it was reset before that could be read."""
    with connect(address) as connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(GET)
        return connection.recv(65536)
    return b""


class Pictures(ScriptedGenerator):
    """A generator of one large picture, which waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.outcome = GeneratedImage(LARGE)
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        while not self.may_go_on.is_set():
            await asyncio.sleep(0.01)
        async for item in super().generate(request):
            yield item


LARGE = picture("large", "png", 20_000_000)


@pytest.fixture
def gallery() -> Iterator[tuple[tuple[str, int], Pictures]]:
    """Yield a server with short deadlines, and its generator of large pictures."""
    generator, container = Pictures(), build_container(memory_settings())
    container.generator.override(providers.Object(generator))
    with served(LIMITS, container) as address:
        yield address, generator


def post(path: str, **members: object) -> bytes:
    body = json.dumps({"prompt": "a duck", **members}).encode()
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    return head % (path.encode(), len(body)) + b"Idempotency-Key: one\r\n\r\n" + body


def content_of(address: tuple[str, int]) -> bytes:
    """Make a picture, and return the request for its content."""
    with connect(address) as connection:
        connection.sendall(post("/image"))
        detail = json.loads(response_on(connection).partition(b"\r\n\r\n")[2])
    return b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % detail["content_url"].encode()


V1 = "/v1/images/generations"


@pytest.mark.parametrize("path", ["", V1, f"{V1} in a stream"])
def test_a_response_that_nobody_reads_is_cut(gallery: tuple[tuple[str, int], Pictures], path: str) -> None:
    address, _ = gallery
    request = post(path.partition(" ")[0], stream=" " in path) if path else content_of(address)
    with connect(address, 65536) as connection:
        connection.sendall(request)
        deadline = Deadline("the connection is cut")
        while not (connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            deadline.wait()
    with connect(address) as connection:
        connection.sendall(b"GET /image HTTP/1.1\r\nHost: x\r\n\r\n")
        [detail] = json.loads(response_on(connection).partition(b"\r\n\r\n")[2])
        assert (detail["status"], detail["size_bytes"]) == ("ready", len(LARGE))


@pytest.mark.parametrize("path", ["", V1])
def test_a_client_that_reads_slowly_gets_everything(gallery: tuple[tuple[str, int], Pictures], path: str) -> None:
    address, _ = gallery
    request = post(path) if path else content_of(address)
    with connect(address, 65536) as connection:
        connection.sendall(request)
        received, end = b"", time.monotonic() + 4 * LIMITS.silence_s
        while time.monotonic() < end:
            time.sleep(LIMITS.silence_s / 10)
            received += connection.recv(65536)
        head, _, body = (received + rest_of(connection)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    if path:
        assert base64.b64decode(json.loads(body)["data"][0]["b64_json"]) == LARGE
    else:
        assert body == LARGE


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_waits_for_its_picture_is_not_idle(
    gallery: tuple[tuple[str, int], Pictures], stream: bool
) -> None:
    address, generator = gallery
    generator.outcome = GeneratedImage(picture("small"))
    generator.may_go_on.clear()
    with connect(address) as connection:
        connection.sendall(post(V1, stream=stream))
        time.sleep(2 * LIMITS.idle_s)
        generator.may_go_on.set()
        received = rest_of(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert base64.b64encode(picture("small")) in received


def test_many_requests_at_once_are_answered_in_order(hasty: tuple[str, int]) -> None:
    count = 3000
    with connect(hasty) as connection:
        sender = threading.Thread(
            target=connection.sendall,
            args=(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count)),),
        )
        sender.start()
        received = rest_of(connection)
        sender.join()
    assert [int(number) for number in re.findall(rb'"instance":"/([0-9]+)"', received)] == list(range(count))


def resident_bytes(pid: int) -> int:
    words = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
    return int(words[0]) * 1024


@pytest.mark.slow
def test_readers_that_do_not_read_cost_little_memory(tmp_path: Path) -> None:
    """20 clients request 40 MB each, and read nothing."""
    with (
        FakeUpstream() as upstream,
        Service(
            tmp_path,
            PIXYPROXY_GENERATOR="openai",
            PIXYPROXY_ANONYMOUS="write",
            OPENAI_API_KEY="sk-of-the-fake",
            OPENAI_BASE_URL=upstream.base_url,
        ) as service,
        ExitStack() as stack,
    ):
        host, port = service.url.removeprefix("http://").rsplit(":", 1)
        request = post(V1, prompt="large [[ok size=10000000]]", n=4)
        with connect((host, int(port))) as connection:
            connection.sendall(request)
            response_on(connection)
        before = resident_bytes(service.pid)
        for _ in range(20):
            connection = stack.enter_context(connect((host, int(port)), 65536))
            connection.sendall(request)
            assert connection.recv(12) == b"HTTP/1.1 200"
        time.sleep(2)
        grown = resident_bytes(service.pid) - before
        assert grown < 60_000_000, f"{grown / 1e6:.0f} MB"
        assert sum(request.charged for request in upstream.requests) == 1
