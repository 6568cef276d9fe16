"""Requests that are refused before their body is read: the client gets the refusal, and the connection goes on."""

import asyncio
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from starlette.types import Message, Receive, Scope, Send

from pixyproxy.application.generation.edit_sources import EditSourceReader, SourceReferences
from pixyproxy.domain.errors import EditingUnsupportedError
from pixyproxy.entrypoints.http.middleware import unread_body
from pixyproxy.entrypoints.http.middleware.unread_body import UnreadBodyMiddleware
from tests.fixtures.http_app import HttpApp, RawResponse, http_app
from tests.fixtures.service import Service

LENGTH = 20 * 1024 * 1024
EDITS, GENERATIONS, IMAGE = "/v1/images/edits", "/v1/images/generations", "/image"
JSON, FORM, TEXT = b"application/json", b"multipart/form-data; boundary=x", b"text/plain"


async def unread(app: HttpApp, path: str, media_type: bytes, *headers: tuple[bytes, bytes]) -> RawResponse:
    """Send a request whose body nobody may read."""

    async def fail() -> None:
        raise AssertionError("the body was read")

    fields = [(b"content-type", media_type), *headers]
    return await app.raw("POST", path, headers=fields, messages=[], then=fail)


@pytest.mark.parametrize("media_type", [JSON, FORM])
async def test_an_edit_that_cannot_be_made_is_refused_unread(media_type: bytes) -> None:
    async with http_app() as app:
        app.generator.edits = False
        answer = await unread(app, EDITS, media_type)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "editing-unsupported")


@pytest.mark.parametrize("anonymous", ["none", "read"])
@pytest.mark.parametrize(("path", "media_type"), [(EDITS, JSON), (EDITS, FORM), (GENERATIONS, JSON), (IMAGE, JSON)])
async def test_a_caller_who_may_not_write_is_refused_unread(path: str, media_type: bytes, anonymous: str) -> None:
    async with http_app(PIXYPROXY_ANONYMOUS=anonymous) as app:
        assert (await unread(app, path, media_type)).status == 401
        assert (await unread(app, path, media_type, (b"authorization", b"Bearer pxy_wrong"))).status == 401


@pytest.mark.parametrize(("path", "media_type"), [(EDITS, TEXT), (GENERATIONS, FORM), (IMAGE, FORM)])
async def test_another_media_type_is_refused_unread(path: str, media_type: bytes) -> None:
    async with http_app() as app:
        assert (await unread(app, path, media_type)).status == 415
        cross_site = (b"sec-fetch-site", b"cross-site")
        assert (await unread(app, path, media_type, cross_site)).status == 403


async def test_stored_edit_sources_are_not_read_for_an_edit_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with http_app() as app:
        stored = await app.create()
        app.generator.edits = False
        monkeypatch.setattr(EditSourceReader, "read", None)
        answer = await app.client.post(IMAGE, json={"prompt": "x", "edit_of": [stored["guid"]]})
        assert answer.json()["code"] == "editing-unsupported"
        sources = SourceReferences([stored["guid"]])
        with pytest.raises(EditingUnsupportedError):
            await app.container.image_service().generate(None, {"prompt": "x"}, sources)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # The sketch generator cannot edit.
    with Service(tmp_path_factory.mktemp("sketch")) as running:
        yield running


def connected(service: Service) -> socket.socket:
    parts = urlsplit(service.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def head(version: bytes = b"1.1", *lines: bytes, length: int | None = LENGTH) -> bytes:
    fields = [b"POST %b HTTP/%b" % (EDITS.encode(), version), b"Host: a", b"Content-Type: " + FORM, *lines]
    if length is not None:
        fields.append(b"Content-Length: %d" % length)
    return b"\r\n".join([*fields, b"", b""])


def read_response(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return head and body of a response that declares its length, and leave the next one where it is."""

    def received(most: int) -> bytes:
        piece = connection.recv(most)
        assert piece, "the connection ended"
        return piece

    start = body = b""
    while not start.endswith(b"\r\n\r\n"):
        start += received(1)
    [length] = [int(line.split(b":")[1]) for line in start.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while len(body) < length:
        body += received(length - len(body))
    return start.lower(), body


CHUNK = b"10000\r\n%b\r\n" % bytes(0x10000)
FRAMINGS = {
    "length": (head(), bytes(LENGTH)),
    "chunks": (head(b"1.1", b"Transfer-Encoding: chunked", length=None), CHUNK * 320 + b"0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_next_request_on_the_connection_is_served(service: Service, framing: str) -> None:
    start, body = FRAMINGS[framing]
    with connected(service) as connection:
        for _ in range(2):
            connection.sendall(start + body + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            answered, refusal = read_response(connection)
            assert answered.startswith(b"http/1.1 400")
            assert b"connection: close" not in answered
            assert json.loads(refusal)["error"]["code"] == "editing-unsupported"
            assert read_response(connection)[0].startswith(b"http/1.1 200")


@pytest.mark.parametrize(
    "start", [head(b"1.1", b"Connection: close"), head(b"1.0"), head(b"1.1", b"Expect: 100-continue")]
)
def test_a_client_that_sends_all_is_not_reset(service: Service, start: bytes) -> None:
    with connected(service) as connection:
        connection.sendall(start)
        connection.sendall(bytes(LENGTH))
        answered, refusal = read_response(connection)
        assert answered.startswith(b"http/1.1 400")
        assert b"connection: close" in answered
        assert json.loads(refusal)["error"]["code"] == "editing-unsupported"
        assert connection.recv(1) == b""


def test_a_client_that_waits_gets_the_final_status_at_once(service: Service) -> None:
    with connected(service) as connection:
        connection.sendall(head(b"1.1", b"Expect: 100-continue"))
        answered, refusal = read_response(connection)
        assert answered.startswith(b"http/1.1 400")
        assert b"connection: close" in answered
        assert json.loads(refusal)["error"]["code"] == "editing-unsupported"


async def exchanged(receive: Receive, *headers: tuple[bytes, bytes]) -> list[Message]:
    """Let the middleware send an answer to a request whose body the application does not read."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"no", "more_body": True})
        await send({"type": "http.response.body", "body": b"."})

    scope = {"type": "http", "http_version": "1.1", "headers": [(b"content-length", b"9"), *headers]}
    await UnreadBodyMiddleware(answer)(scope, receive, send)
    assert b"".join(message.get("body", b"") for message in sent) == b"no."
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    return sent


async def test_the_rest_of_a_body_is_discarded_before_a_response_ends() -> None:
    left = [b"a", b"b", b"c"]

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": bool(left)}

    await exchanged(receive, (b"connection", b"Close"))
    assert left == []


@pytest.mark.parametrize("name", ["IDLE_S", "LINGER_S"])
async def test_the_rest_of_a_body_is_not_waited_for_longer_than_it_comes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread_body, name, 0.01)
    is_idle = name == "IDLE_S"

    async def receive() -> Message:
        await asyncio.sleep(3600 if is_idle else 0.001)
        return {"type": "http.request", "body": b"a", "more_body": True}

    await exchanged(receive, (b"connection", b"close"))


async def test_a_client_that_left_is_not_waited_for() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    await exchanged(receive, (b"connection", b"close"))


async def test_a_response_says_that_its_connection_closes_only_where_no_body_comes() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"a", "more_body": False}

    [start, *_] = await exchanged(receive)
    assert start["headers"] == []
    [start, *_] = await exchanged(receive, (b"expect", b"100-Continue"))
    assert start["headers"] == [(b"connection", b"close")]
