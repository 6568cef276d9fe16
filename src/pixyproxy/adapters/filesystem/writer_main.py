"""The process that writes pictures for the service: `python -m pixyproxy.adapters.filesystem.writer_main`.

It lives as long as the service holds the other end of its socket, and writes what was sent before that closed.
"""

import logging
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

from pixyproxy.adapters.filesystem.layout import Layout
from pixyproxy.adapters.filesystem.mount import Mount
from pixyproxy.adapters.filesystem.syscalls import SystemCalls
from pixyproxy.adapters.filesystem.writer import Writer
from pixyproxy.adapters.filesystem.writer_messages import PACKET_BYTES, Answer, Kind, read_put
from pixyproxy.domain.errors import BlobStoreError


class _ToService(logging.Handler):
    """Hands log lines to the service, whose log they belong in."""

    def __init__(self, link: socket.socket) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        _send(self._link, Answer(Kind.LOG, number=record.levelno, words=record.getMessage()))


def serve(link: socket.socket, root: Path, *, was_mount: bool, threads: int) -> None:
    """Write what comes until the other end closes."""
    calls = SystemCalls()
    mount, writer = Mount(root, calls, was_mount=was_mount), Writer(Layout(root), calls)
    logging.basicConfig(handlers=[_ToService(link)], level=logging.INFO)

    def work() -> None:
        try:
            while packet := _receive(link):
                key, guid, data, sidecar = read_put(packet)
                del packet
                _send(link, _write(writer, mount, key, guid, data, sidecar))
        except BaseException:  # noqa: BLE001 - whatever it is, the threads of the service do better
            # Whoever sent this waits for an answer: it learns that there is none when the process has ended.
            traceback.print_exc()
            os._exit(1)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    _send(link, Answer(Kind.READY))
    for worker in workers:
        worker.join()


def _write(writer: Writer, mount: Mount, key: int, guid: str, data: bytes, sidecar: bytes) -> Answer:
    try:
        mount.require()
        writer.put(guid, data, sidecar)
    except OSError as error:
        return Answer(Kind.FAILED, key, error.errno or 0, str(error.filename or ""))
    except BlobStoreError as error:
        return Answer(Kind.UNUSABLE, key, words=error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the service has the picture and must hear of it
        return Answer(Kind.FAULT, key, words=f"{type(error).__name__}: {error}")
    return Answer(Kind.DONE, key)


def _receive(link: socket.socket) -> bytes:
    try:
        return link.recv(PACKET_BYTES)
    except ConnectionError:
        return b""


def _send(link: socket.socket, answer: Answer) -> None:
    try:
        link.send(answer.packet())
    except OSError:
        return  # the service is gone: there is nobody to tell


def main(arguments: list[str]) -> None:
    """Run with the number of the socket, the folder, whether a disk was mounted there, and how many threads."""
    # These are meant for the service, which closes the socket when it has no more use for this process.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descriptor, root, was_mount, threads = arguments
    with socket.socket(fileno=int(descriptor)) as link:
        serve(link, Path(root), was_mount=was_mount == "1", threads=int(threads))


if __name__ == "__main__":
    main(sys.argv[1:])
