"""Thousands of mixed and aborted requests leave memory and open files of the service level."""

import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fixtures.openai.pictures import picture
from tests.fixtures.service import PATIENCE_S, Deadline, Service

LARGE = picture("large", "png", 3_000_000)
MAY_GROW_BYTES = 24 * 1024 * 1024
"""Growth for which a leak of 5 KB a request would be enough."""


class Clients:
    """Clients that send requests of all kinds and go away at any moment."""

    def __init__(self, service: Service) -> None:
        host, port = service.url.removeprefix("http://").rsplit(":", 1)
        self._address = (host, int(port))
        with service.client() as client:
            made = client.post("/image", json={"prompt": "a level duck", "size": "64x64"}).json()
            self._paths = [made["content_url"], made["thumbnail_url"], f"/image/{made['guid']}"]

    def act(self, number: int) -> None:
        """Send a request, whole or not, and read all, a part or nothing of the response."""
        chance = random.Random(number)
        requests: list[Callable[[random.Random], bytes]] = [
            self._read, self._read, self._read, self._create, self._stream, self._edit, self._broken, self._pipelined
        ]  # fmt: skip
        data = chance.choice(requests)(chance)
        with suppress(ConnectionError), socket.create_connection(self._address, timeout=PATIENCE_S) as connection:
            if chance.random() < 0.2:
                data = data[: chance.randrange(len(data))]
            connection.sendall(data)
            if chance.random() < 0.6:
                connection.shutdown(socket.SHUT_WR)
                for _ in range(chance.choice([1, 2, 1000])):
                    if not connection.recv(65536):
                        break

    def _read(self, chance: random.Random) -> bytes:
        extra = chance.choice(["", "Range: bytes=0-99\r\n", "If-None-Match: *\r\n", "Authorization: Basic eDp5\r\n"])
        path = chance.choice([*self._paths, "/image", "/image?prompt=duck", "/docs", "/openapi.json", "/nowhere"])
        return f"GET {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode()

    def _create(self, chance: random.Random) -> bytes:
        return _post("/image", b'{"prompt": "duck %d", "size": "32x32"}' % chance.randrange(10**9))

    def _stream(self, chance: random.Random) -> bytes:
        body = b'{"prompt": "duck %d", "size": "32x32", "n": 2, "stream": true}' % chance.randrange(10**9)
        return _post("/v1/images/generations", body)

    def _edit(self, chance: random.Random) -> bytes:
        parts = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n'
        parts += (
            b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + LARGE + b"\r\n--b--\r\n"
        )
        return _post("/v1/images/edits", parts, b"multipart/form-data; boundary=b")

    def _broken(self, chance: random.Random) -> bytes:
        return chance.choice(
            [
                b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000,
                b"\x16\x03\x01" + bytes(300),
                b"POST /image HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                _post("/image", b"{" * 1000),
                b"GET /image HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            ]
        )

    def _pipelined(self, chance: random.Random) -> bytes:
        return b"".join(self._read(chance) for _ in range(20))


def _post(path: str, body: bytes, media_type: bytes = b"application/json") -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (path.encode(), media_type, len(body)) + body


def open_files(service: Service) -> int:
    return sum(1 for _ in Path(f"/proc/{service.pid}/fd").iterdir())


def resident_bytes(service: Service) -> int:
    return int(Path(f"/proc/{service.pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.parametrize(("warm_up", "count"), [(100, 200), pytest.param(2000, 5000, marks=pytest.mark.slow)])
def test_memory_and_open_files_stay_level(tmp_path: Path, warm_up: int, count: int) -> None:
    with Service(tmp_path) as service, ThreadPoolExecutor(16) as threads:
        sockets = open_sockets(service)
        clients = Clients(service)
        list(threads.map(clients.act, range(warm_up)))
        settle(service, sockets)
        files, size = open_files(service), resident_bytes(service)
        list(threads.map(clients.act, range(warm_up, warm_up + count)))
        settle(service, sockets)
        grown = resident_bytes(service) - size
        print(f"{grown / 1e6:.1f} MB more after {count} requests, {open_files(service) - files} files")
        assert open_files(service) <= files
        assert count < 1000 or grown < MAY_GROW_BYTES


def settle(service: Service, sockets: int) -> None:
    """Wait until all requests have ended and all connections are closed."""
    deadline = Deadline("all requests have ended")
    while (log := service.log).count("REQUEST START") > log.count("REQUEST END") or open_sockets(service) > sockets:
        deadline.wait()


def open_sockets(service: Service) -> int:
    found = 0
    for path in Path(f"/proc/{service.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(path.readlink()).startswith("socket:")
    return found
