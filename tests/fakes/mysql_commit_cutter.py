"""A TCP proxy before a MySQL server that cuts a connection while a commit is under way."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

# The end of a packet in which statements are sent.
_COMMIT = b"COMMIT"

Meanwhile = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """Let nothing happen."""


class CommitCutter:
    """Passes everything on, save that the next commit is cut off when told so; listens on `port` of 127.0.0.1."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._mode: str | None = None
        self._meanwhile: Meanwhile = _nothing
        self._refusing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the clients to have closed their connections."""
        self._server.close()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    def cut_before_commit(self, meanwhile: Meanwhile = _nothing) -> None:
        """The server is not to see the next commit; `meanwhile` happens before the client learns of it."""
        self._mode, self._meanwhile = "before", meanwhile

    def cut_after_commit(self, meanwhile: Meanwhile = _nothing) -> None:
        """The server is to carry the next commit out and its answer to be lost; `meanwhile` happens in between."""
        self._mode, self._meanwhile = "after", meanwhile

    async def refuse(self) -> None:
        """Close every new connection at once from now on."""
        self._refusing = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refusing:
            await _close(writer)
            return
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        answers = asyncio.create_task(_pump(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if data.endswith(_COMMIT) and self._mode is not None:
                    await self._cut(data, answers, server_reader, server_writer)
                    return
                server_writer.write(data)
                await server_writer.drain()
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            await _close(server_writer)
            await _close(writer)

    async def _cut(
        self,
        commit: bytes,
        answers: asyncio.Task[None],
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        mode, self._mode = self._mode, None
        self.cuts += 1
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)
        if mode == "after":
            server_writer.write(commit)
            await server_writer.drain()
            assert await server_reader.read(65536)
        await _close(server_writer)
        await self._meanwhile()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    # Not waited for: cancelling that would cancel the wait of whoever else closes the same stream.
    writer.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
