"""A stand-in for OpenAI's images API on a real socket, in a thread of its own, with a ledger of every charge.

    with FakeUpstream() as upstream:
        upstream.script("429 retry_after=1", "ok size=1500000")   # the next two generations
        ...  # point a client at upstream.base_url
        assert len(upstream.charges) == 1

What happens to a request is said, first found first used, by its header `X-Fake-Behaviour`, by `[[spec]]`
in the prompt, by the script of its path, or by the path's default. `tests.fakes.openai_behaviours`,
`openai_streams`, `openai_refusals` and `openai_nonsense` list what there is. By hand:

    python -m tests.fakes.openai_upstream --port 9000 --behaviour "fast size=1500000 delay=5"
"""

import argparse
import asyncio
import contextlib
import itertools
import re
import socket
import threading
import time
from collections import defaultdict, deque
from typing import Self

from tests.fakes import openai_nonsense, openai_refusals, openai_streams
from tests.fakes.openai_behaviours import BEHAVIOURS, parse_spec
from tests.fakes.openai_exchange import Exchange, Received, closing, error_document, read_request

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
MODELS = "/v1/models"
PICTURES = "/v1/pictures/"

REGISTERED = (openai_nonsense, openai_refusals, openai_streams)  # importing them adds their behaviours
_IN_PROMPT = re.compile(rb"\[\[(.+?)\]\]")


class FakeUpstream:
    """The server; `requests` holds all that came, oldest first, `charges` what of it costs money."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, default: str = "ok", keep_ledger: bool = True
    ) -> None:
        self.host = host
        self.port = port
        self.defaults = {GENERATIONS: default, EDITS: default, MODELS: "models"}
        self.requests: list[Received] = []
        self._keep_ledger = keep_ledger
        self._scripts: defaultdict[str, deque[str]] = defaultdict(deque)
        self._numbers = itertools.count(1)
        self._connections = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """What `OPENAI_BASE_URL` is set to."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def charges(self) -> list[Received]:
        return [record for record in self.requests if record.charged]

    @property
    def generations(self) -> list[Received]:
        """Every request to generate, paid or not."""
        return [record for record in self.requests if record.path == GENERATIONS]

    @property
    def edits(self) -> list[Received]:
        """Every request to edit, paid or not."""
        return [record for record in self.requests if record.path == EDITS]

    def script(self, *specs: str, path: str = GENERATIONS) -> None:
        """Queue what the next requests to a path meet; after them its default holds again."""
        for spec in specs:
            parse_spec(spec)
        self._scripts[path].extend(specs)

    def wait_for(self, count: int, *, patience_s: float = 20.0) -> list[Received]:
        """Block until that many requests came; for a test that drives a service in another process."""
        give_up = time.monotonic() + patience_s
        while len(self.requests) < count:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{len(self.requests)} of {count} requests reached the fake upstream")
            time.sleep(0.005)
        return self.requests

    def start(self) -> Self:
        """Listen; after `stop` again on the same port."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-upstream", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.listen(), self._loop).result(10)
        return self

    def stop(self) -> None:
        """Break off whatever is going on; from now on connections to `base_url` are refused."""
        if self._thread is None or self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._thread = self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def listen(self) -> asyncio.Server:
        self._server = await asyncio.start_server(self._accept, self.host, self.port, backlog=1024, limit=1 << 21)
        self.port = self._server.sockets[0].getsockname()[1]
        return self._server

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with closing(writer):
                await self._serve(reader, writer)
        except (asyncio.CancelledError, ConnectionError):
            pass  # stopped, or the client is gone
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = next(self._connections)
        broken = False
        while record := await read_request(reader, connection, next(self._numbers)):
            if self._keep_ledger:
                self.requests.append(record)
            exchange = Exchange(record, self.base_url, reader, writer)
            if broken:
                exchange.reset()
                return
            try:
                await self._behave(exchange)
            finally:
                record.ended = True
            broken = exchange.reset_on_next_use
            if not exchange.keep_alive or writer.transport.is_closing():
                return

    async def _behave(self, exchange: Exchange) -> None:
        record = exchange.record
        spec = self._choose(record)
        if spec is None:
            await exchange.answer_json(error_document("Unknown request URL", "invalid_request_error"), 404)
            return
        name, params = parse_spec(spec)
        function, charged = BEHAVIOURS[name]
        record.behaviour = name
        record.charged = charged and record.path in (GENERATIONS, EDITS)
        await function(exchange, **params)

    def _choose(self, record: Received) -> str | None:
        if header := record.headers.get("x-fake-behaviour"):
            return header
        words = str(record.json.get("prompt", "")).encode() if record.parts else record.body
        if b"[[" in words and (found := _IN_PROMPT.search(words)):
            spec = found[1].decode()
            if spec.partition(" ")[0] in BEHAVIOURS:
                return spec
        if script := self._scripts[record.path]:
            return script.popleft()
        if record.path.startswith(PICTURES):
            at = record.path.removeprefix(PICTURES).partition("?")[0]
            return "picture" if at == "ok" else at.replace("+", " ")
        return self.defaults.get(record.path)


class RefusingPort:
    """An address that refuses every connection, and that nobody else can come to listen on meanwhile."""

    def __enter__(self) -> str:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))  # bound and not listening: RST to every SYN
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


async def _serve_for_ever(upstream: FakeUpstream) -> None:
    server = await upstream.listen()
    print(f"fake upstream at {upstream.base_url}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake of OpenAI's images API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--behaviour", default="ok", help="the default, such as 'fast size=1500000 delay=5'")
    arguments = parser.parse_args()
    parse_spec(arguments.behaviour)
    upstream = FakeUpstream(host=arguments.host, port=arguments.port, default=arguments.behaviour, keep_ledger=False)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_for_ever(upstream))


if __name__ == "__main__":
    main()
