"""Bounds of a connection, on a clock that the tests move: what is cut, and what is left alone however long it takes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from pixyproxy.entrypoints.http.connection import bounded_protocol
from pixyproxy.entrypoints.http.connection.bounded_protocol import BoundedProtocol
from pixyproxy.entrypoints.http.connection.connections import ConnectionLimits, Connections
from tests.fixtures.wire import Wire

LIMITS = ConnectionLimits(most=3)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD_OF_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Application:
    """An application that answers when it may, and notes the requests and how many ran at once."""

    def __init__(self) -> None:
        self.may_read, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_read.set()
        self.may_answer.set()
        self.requests: list[tuple[str, bytes]] = []
        self.headers: list[Any] = []
        self.left = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            await self.may_read.wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message["body"]
            more = message["more_body"]
        self.requests.append((scope["path"], body))
        self.headers.append(scope["headers"])
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Peer:
    """A server of one application, its connections, and their clock."""

    def __init__(self, limits: ConnectionLimits = LIMITS) -> None:
        self.app = Application()
        self.connections = Connections(limits)
        self._config = uvicorn.Config(self.app, log_config=None, access_log=False, ws="none", lifespan="off")
        self._state = ServerState()

    def connect(self) -> tuple[BoundedProtocol, Wire]:
        wire = Wire()
        protocol = BoundedProtocol(
            self._config, self._state, {}, asyncio.get_running_loop(), connections=self.connections
        )
        protocol.connection_made(wire)
        return protocol, wire

    async def send(self, protocol: BoundedProtocol, data: bytes) -> None:
        """Send data, and let the application do what it can."""
        protocol.data_received(data)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def wait(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass, with a look at all connections after each step."""
        for _ in range(round(seconds / step_s)):
            self.connections.now += step_s
            for connection in tuple(self.connections.open):
                connection.check(step_s)
            await self.settle()


@pytest.fixture
async def peer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Peer]:
    monkeypatch.setattr(bounded_protocol, "bytes_acknowledged", lambda wire: wire.acknowledged)
    monkeypatch.setattr(bounded_protocol, "reset", Wire.abort)
    made = Peer()
    yield made
    made.app.may_read.set()
    made.app.may_answer.set()
    for connection in tuple(made.connections.open):
        connection.connection_lost(None)  # type: ignore[attr-defined]
    await made.settle()


def status_of(wire: Wire) -> bytes:
    """Return the status of the only response."""
    assert wire.sent.count(b"HTTP/1.1 ") == 1, wire.sent
    return wire.sent[9:12]


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (b"GET /", b"a" * 100),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 100),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX:", b" " * 100),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a" * 100),
        (CHUNKED + b"5;", b"a" * 100),
        (CHUNKED + b"5\r\nabcde\r\n", b"0" * 100),
        (CHUNKED + b"0\r\nX: ", b"a" * 100),
        (CHUNKED + b"0\r\n", b"X: aaaaaaaaaaaaaa\r\n"),
        (CHUNKED, b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nb\r\n"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 50, 2000])
async def test_a_head_without_an_end_is_refused_in_time(peer: Peer, begin: bytes, endless: bytes, at_once: int) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, begin)
    sent = len(begin)
    while not wire.end:
        assert sent < 3 * LIMITS.head_bytes
        protocol.data_received(endless * at_once)
        sent += len(endless) * at_once
    assert status_of(wire) in {b"431", b"400"}
    await peer.settle()
    assert peer.app.requests == []


@pytest.mark.parametrize("begin", [b"", GET])
@pytest.mark.parametrize(("size", "status"), [(LIMITS.head_bytes - 100, b"200"), (LIMITS.head_bytes, b"431")])
@pytest.mark.parametrize("split", [70, 1000, 4096, 200_000])
async def test_the_bytes_of_a_head_are_counted(peer: Peer, begin: bytes, size: int, status: bytes, split: int) -> None:
    protocol, wire = peer.connect()
    if begin:
        await peer.send(protocol, begin)
        wire.sent = b""
    data = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * size + b"\r\n\r\n"
    for start in range(0, len(data), split):
        if not wire.end:
            await peer.send(protocol, data[start : start + split])
    assert status_of(wire) == status


@pytest.mark.parametrize(("more", "status"), [(LIMITS.head_fields - 1, b"200"), (LIMITS.head_fields, b"431")])
async def test_the_fields_of_a_head_are_counted(peer: Peer, more: int, status: bytes) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, GET[:-2] + b"a:\r\n" * more + b"\r\n")
    assert status_of(wire) == status
    assert [len(headers) for headers in peer.app.headers] == ([] if status == b"431" else [more + 1])


async def test_a_long_body_in_small_chunks_is_none_of_the_head(peer: Peer) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, CHUNKED)
    for _ in range(100):
        await peer.send(protocol, b"1\r\na\r\n" * 5000)
    await peer.send(protocol, b"0\r\nX: y\r\n\r\n")
    assert status_of(wire) == b"200"
    assert peer.app.requests == [("/", b"a" * 500_000)]


async def test_a_trailer_is_no_header(peer: Peer) -> None:
    protocol, _ = peer.connect()
    peer.app.may_read.clear()
    await peer.send(protocol, CHUNKED + b"1\r\na\r\n0\r\nHost: evil\r\nAuthorization: Basic eA==\r\n\r\n")
    peer.app.may_read.set()
    await peer.settle()
    assert peer.app.headers == [[(b"host", b"x"), (b"transfer-encoding", b"chunked")]]


async def test_a_head_that_trickles_is_408(peer: Peer) -> None:
    protocol, wire = peer.connect()
    for second in range(15):
        await peer.send(protocol, GET[second : second + 1])
        await peer.wait(1)
        assert not wire.end
    await peer.wait(1)
    assert (status_of(wire), wire.end) == (b"408", "half")
    await peer.send(protocol, GET[15:])
    assert peer.app.requests == []
    await peer.wait(3)
    assert wire.end == "aborted"


async def test_the_head_of_a_later_request_has_its_own_time(peer: Peer) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, GET)
    await peer.wait(70)
    await peer.send(protocol, GET[:5])
    await peer.wait(15)
    assert not wire.end
    await peer.send(protocol, GET[5:])
    assert len(peer.app.requests) == 2
    await peer.send(protocol, GET[:5])
    wire.sent = b""
    await peer.wait(16)
    assert status_of(wire) == b"408"


async def test_a_silent_connection_ends_without_a_word(peer: Peer) -> None:
    _, wire = peer.connect()
    await peer.wait(15)
    assert not wire.end
    await peer.wait(1)
    assert (wire.sent, wire.end) == (b"", "closed")


@pytest.mark.parametrize("blanks", [b"", b"\r\n"])
async def test_a_kept_connection_ends_after_its_idle_time(peer: Peer, blanks: bytes) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, GET)
    for _ in range(75):
        await peer.send(protocol, blanks)
        await peer.wait(1)
        assert not wire.end
    await peer.wait(1)
    assert wire.end == "closed"


async def test_a_request_may_take_as_long_as_it_needs(peer: Peer) -> None:
    protocol, wire = peer.connect()
    peer.app.may_answer.clear()
    await peer.send(protocol, GET + GET[:5])
    await peer.wait(3600, 10)
    assert (wire.sent, wire.end) == (b"", "")
    peer.app.may_answer.set()
    await peer.settle()
    await peer.wait(15)
    assert (status_of(wire), wire.end) == (b"200", "")
    await peer.send(protocol, GET[5:])
    assert len(peer.app.requests) == 2


async def test_a_body_that_trickles_is_408_and_its_request_ends(peer: Peer) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, HEAD_OF_POST)
    for _ in range(15):
        await peer.send(protocol, b"a")
        await peer.wait(1)
        assert not wire.end
    await peer.wait(1)
    assert (status_of(wire), wire.end, peer.app.left) == (b"408", "half", 1)


@pytest.mark.parametrize(("rate", "is_cut"), [(1100, False), (900, True)])
async def test_the_rate_of_a_body_is_averaged(peer: Peer, rate: int, is_cut: bool) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, HEAD_OF_POST)
    for _ in range(50):
        if not wire.end:
            await peer.send(protocol, bytes(rate * 10))
            await peer.wait(10)
    assert bool(wire.end) == is_cut


async def test_a_fast_beginning_of_a_body_pays_for_a_minute_at_most(peer: Peer) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, HEAD_OF_POST)
    await peer.send(protocol, bytes(500_000))
    await peer.wait(60)
    assert not wire.end
    await peer.wait(2)
    assert status_of(wire) == b"408"


async def test_a_client_does_not_pay_for_an_application_that_does_not_read(peer: Peer) -> None:
    protocol, wire = peer.connect()
    peer.app.may_read.clear()
    await peer.send(protocol, HEAD_OF_POST + bytes(100_000))
    assert not wire.reads
    await peer.wait(3600, 10)
    assert not wire.end
    peer.app.may_read.set()
    await peer.settle()
    assert wire.reads
    await peer.send(protocol, bytes(900_000))
    assert status_of(wire) == b"200"


async def test_a_client_that_waits_for_100_continue_may_wait(peer: Peer) -> None:
    protocol, wire = peer.connect()
    peer.app.may_read.clear()
    await peer.send(protocol, HEAD_OF_POST[:-2] + b"Expect: 100-continue\r\n\r\n")
    await peer.wait(3600, 10)
    assert not wire.end
    peer.app.may_read.set()
    await peer.settle()
    assert status_of(wire) == b"100"
    await peer.send(protocol, bytes(1_000_000))
    assert wire.sent.endswith(b"ok")


async def test_the_rest_of_a_body_that_is_answered_is_read_for_a_minute(peer: Peer) -> None:
    async def answer_at_once(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    protocol, wire = peer.connect()
    protocol.app = answer_at_once
    await peer.send(protocol, CHUNKED)
    for _ in range(60):
        await peer.send(protocol, b"1000\r\n" + bytes(4096) + b"\r\n")
        await peer.wait(1)
        assert not wire.end
    await peer.wait(1)
    assert (status_of(wire), wire.end) == (b"413", "closed")


async def test_a_client_that_does_not_read_is_cut(peer: Peer) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, GET)
    wire.unread = 100
    for _ in range(61):
        wire.acknowledged += 10
        await peer.wait(1)
        assert not wire.end
    await peer.wait(1)
    assert wire.end == "aborted"


@pytest.mark.parametrize("is_closing", [False, True])
async def test_a_client_that_reads_slowly_is_not_cut(peer: Peer, is_closing: bool) -> None:
    protocol, wire = peer.connect()
    await peer.send(protocol, GET)
    if is_closing:
        wire.close()
    wire.unread = 1_000_000
    for _ in range(60):
        wire.acknowledged += LIMITS.read_bytes
        await peer.wait(59)
    assert wire.end == ("closed" if is_closing else "")
    await peer.wait(62)
    assert wire.end == "aborted"


async def test_pauses_of_a_response_are_no_silence_of_the_client(peer: Peer) -> None:
    protocol, wire = peer.connect()
    peer.app.may_answer.clear()
    await peer.send(protocol, GET)
    for _ in range(50):
        wire.unread = 100
        await peer.wait(50)
        wire.unread = 0
        await peer.wait(50)
    assert not wire.end


async def test_few_of_many_requests_in_one_connection_wait_at_once(peer: Peer) -> None:
    protocol, wire = peer.connect()
    peer.app.may_answer.clear()
    short = b"GET /%d HTTP/1.1\r\n\r\n"
    sent = 0
    while wire.reads:
        await peer.send(protocol, b"".join(short % number for number in range(sent, sent + 1000)))
        sent += 1000
        assert sent < 10_000
    # uvicorn reads on when the application waits for the client to hang up.
    await peer.send(protocol, b"".join(short % number for number in range(sent, sent + 1000)))
    sent += 1000
    most = 0
    peer.app.may_answer.set()
    while len(peer.app.requests) < sent:
        most = max(most, len(protocol.pipeline))
        await peer.settle()
    assert wire.sent.count(b"ok") == sent
    assert most < 250
    assert [path for path, _ in peer.app.requests] == [f"/{number}" for number in range(sent)]
    assert wire.reads


async def test_a_pipelined_body_is_read_when_its_turn_comes(peer: Peer) -> None:
    protocol, wire = peer.connect()
    peer.app.may_answer.clear()
    body = bytes(range(256)) * 1000
    post = b"POST /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    await peer.send(protocol, GET + post + body + GET)
    await peer.wait(3600, 10)
    assert not wire.end
    peer.app.may_answer.set()
    while len(peer.app.requests) < 3:
        await peer.settle()
    assert peer.app.requests == [("/", b""), ("/b", body), ("/", b"")]


@pytest.mark.parametrize("broken", [b"nonsense\r\n\r\n", CHUNKED + b"5\r\nabcdeXX", CHUNKED + b"zz\r\n"])
async def test_a_broken_request_is_refused_after_the_answers_to_those_before_it(peer: Peer, broken: bytes) -> None:
    protocol, wire = peer.connect()
    peer.app.may_answer.clear()
    await peer.send(protocol, GET + broken + GET)
    assert wire.sent == b""
    await peer.wait(100)
    peer.app.may_answer.set()
    await peer.settle()
    assert wire.sent.count(b"HTTP/1.1 200") == 1
    assert wire.sent.index(b"HTTP/1.1 200") < wire.sent.index(b"HTTP/1.1 400")
    assert (len(peer.app.requests), wire.end) == (1, "half")


async def test_the_request_that_runs_learns_that_its_client_left(peer: Peer) -> None:
    protocol, _ = peer.connect()
    peer.app.may_read.clear()
    await peer.send(protocol, GET + GET)
    protocol.connection_lost(None)
    peer.app.may_read.set()
    await peer.settle()
    assert (peer.app.left, peer.app.requests) == (1, [])


async def test_the_longest_idle_connection_makes_room(peer: Peer) -> None:
    first, second, third = (peer.connect() for _ in range(3))
    await peer.send(first[0], GET)  # the second has waited longest now
    fourth = peer.connect()
    assert [wire.end for _, wire in (first, second, third, fourth)] == ["", "closed", "", ""]
    second[0].connection_lost(None)
    peer.connect()
    assert [wire.end for _, wire in (first, third, fourth)] == ["", "closed", ""]


@pytest.mark.parametrize("begin", [GET, HEAD_OF_POST])
async def test_connections_that_work_are_not_dropped_for_others(peer: Peer, begin: bytes) -> None:
    peer.app.may_answer.clear()
    busy = [peer.connect() for _ in range(3)]
    for protocol, _ in busy:
        await peer.send(protocol, begin)
    refused, wire = peer.connect()
    assert status_of(wire) == b"503"
    assert b"retry-after: 1\r\n" in wire.sent
    assert wire.end == "closed"
    await peer.send(refused, GET)
    refused.connection_lost(None)
    assert [wire.end for _, wire in busy] == [""] * 3
    busy[0][0].connection_lost(None)
    _, wire = peer.connect()
    assert not wire.end


async def test_a_connection_whose_response_is_not_read_yet_is_not_dropped(peer: Peer) -> None:
    wires = [peer.connect() for _ in range(3)]
    for protocol, wire in wires:
        wire.unread = 100_000
        await peer.send(protocol, GET)
    await peer.wait(10)
    _, refused = peer.connect()
    assert status_of(refused) == b"503"
    wires[1][1].unread = 0
    await peer.wait(1)
    _, wire = peer.connect()
    assert not wire.end
    assert [wire.end for _, wire in wires] == ["", "closed", ""]


async def test_a_head_that_is_not_whole_is_no_work(peer: Peer) -> None:
    wires = [peer.connect() for _ in range(3)]
    for protocol, _ in wires:
        await peer.send(protocol, GET[:-2])
    _, wire = peer.connect()
    assert not wire.end
    assert [wire.end for _, wire in wires] == ["closed", "", ""]


async def test_a_connection_that_cannot_be_checked_affects_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Checked:
        def __init__(self, error: Exception | None = None) -> None:
            self.error, self.times = error, 0

        def check(self, elapsed_s: float) -> None:
            self.times += 1
            if self.error is not None:
                raise self.error

        def drop(self) -> None: ...

    connections = Connections(ConnectionLimits(most=5, sweep_s=0))
    found = [Checked(), Checked(OSError("no such socket")), Checked()]
    connections.open.update(found)
    connections.sweep()
    assert [one.times for one in found] == [1, 1, 1]
    assert "a connection could not be checked" in caplog.text
