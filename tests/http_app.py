"""The application in this process, on memory adapters and stand-ins, for tests of the HTTP face."""

import io
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from dependency_injector import providers
from fastapi import FastAPI

from pixyproxy.containers import Container, build_container, opened
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.logs import LineFormatter
from pixyproxy.settings import Settings
from tests.fakes.core import FailingBlobStore, MagicInspector, PlainHasher, ScriptedGenerator, SteppingClock

ALICE, BOB = ("alice", "pässword: 密"), ("bob", "secret")
MISSING = "00000000-0000-4000-8000-000000000000"


def memory_settings(**values: object) -> Settings:
    """Settings that touch nothing outside this process."""
    return Settings(  # type: ignore[call-arg]
        _env_file=None,
        **{"PIXYPROXY_REPOSITORY": "memory", "PIXYPROXY_BLOB_STORE": "memory", "PIXYPROXY_ANONYMOUS": "write"} | values,
    )


@dataclass
class HttpHouse:
    """An opened application, what it stands on, and a client that talks to it without a network."""

    app: FastAPI
    container: Container
    generator: ScriptedGenerator
    blobs: FailingBlobStore
    client: httpx.AsyncClient

    async def create(self, *, auth: tuple[str, str] | None = ALICE, **fields: object) -> dict[str, Any]:
        """A new image, as its details."""
        answer = await self.client.post("/image", json={"prompt": "a duck"} | fields, auth=basic(auth))
        assert answer.status_code == 200, answer.text
        detail: dict[str, Any] = answer.json()
        return detail

    async def raw(
        self,
        method: str,
        path: str,
        *,
        headers: list[tuple[bytes, bytes]] | None = None,
        query: bytes = b"",
        messages: list[Mapping[str, Any]] | None = None,
    ) -> "RawAnswer":
        """An exchange below any client library: `messages` are what `receive` gives, then a hang-up."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": headers or [],
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 8001),
        }
        coming = iter(messages if messages is not None else [{"type": "http.request", "body": b""}])
        answer = RawAnswer()

        async def receive() -> Mapping[str, Any]:
            return next(coming, {"type": "http.disconnect"})

        async def send(message: Mapping[str, Any]) -> None:
            answer.take(message)

        await self.app(scope, receive, send)  # type: ignore[arg-type]
        return answer


class RawAnswer:
    """What an application sent; `complete` is true once it sent the last byte."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = False

    def take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)

    def header(self, name: str) -> str:
        [value] = [value.decode() for key, value in self.headers if key == name.encode()]
        return value


@asynccontextmanager
async def http_house(**values: object) -> AsyncIterator[HttpHouse]:
    """An application with these settings, and alice and bob on its roster."""
    container = build_container(memory_settings(**values))
    generator, blobs = ScriptedGenerator(), FailingBlobStore()
    container.generator.override(providers.Object(generator))
    container.blobs.override(providers.Object(blobs))
    container.clock.override(providers.Singleton(SteppingClock))
    container.hasher.override(providers.Singleton(PlainHasher))
    container.inspector.override(providers.Singleton(MagicInspector))
    app = create_app(container)
    async with opened(container):
        for name, password in (ALICE, BOB):
            await container.user_service().add(name, password, "cs101" if name == "alice" else None)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test.example") as client:
            yield HttpHouse(app, container, generator, blobs, client)


def basic(auth: tuple[str, str] | None) -> httpx.BasicAuth | None:
    return None if auth is None else httpx.BasicAuth(*(part.encode() for part in auth))


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """Everything that is logged at INFO and above, in the form it has in the log, a line each."""
    lines: list[str] = []

    class Lines(io.StringIO):
        def write(self, text: str) -> int:
            lines.extend(text.removesuffix("\n").split("\n"))
            return len(text)

    handler = logging.StreamHandler(Lines())
    handler.setFormatter(LineFormatter())
    handler.terminator = ""
    handler.addFilter(lambda record: record.name != "httpx")  # the client of the test
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
