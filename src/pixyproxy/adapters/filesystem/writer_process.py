"""A process beside the service that writes pictures, for when many are to be written at once.

Writing one takes some twenty system calls. Around each of them a thread gives the interpreter's lock away and waits
until it has it back, which for small pictures takes longer than the calls, and stops everybody else meanwhile.
"""

import asyncio
import itertools
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from pixyproxy.adapters.filesystem import writer_main
from pixyproxy.adapters.filesystem.mount import Mount
from pixyproxy.adapters.filesystem.writer_messages import MAX_BYTES, PACKET_BYTES, Answer, Kind, put_packet
from pixyproxy.domain.errors import BlobStoreError

_SEND_BUFFER = 512 * 1024
"""Bytes that may wait for the process; what does not fit is written by threads."""
IDLE_S = 10.0
"""After so long without a picture the process is let go, and its memory with it."""

_log = logging.getLogger(__name__)


class WriterGoneError(Exception):
    """The process ended before it said what came of a picture."""


class WriterProcess:
    """The service's end. All methods are for the event loop on which it was started.

    `on_end` is called when the process has ended, by itself (True) or because it had nothing to do, after all whose
    pictures it had were told.
    """

    def __init__(self, mount: Mount, *, threads: int, on_end: Callable[[bool], object]) -> None:
        self._mount = mount
        self._threads = threads
        self._on_end = on_end
        self._keys = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._link: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reaping: asyncio.Task[int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._used = 0.0
        self._let_go = False
        self.ready = False

    @property
    def pid(self) -> int | None:
        """The number of the process while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process, which takes pictures a moment later; raises OSError where there can be none."""
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                ours.setblocking(False)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
                self._process = await asyncio.to_thread(self._spawn, theirs)
            except BaseException:
                ours.close()
                raise
        self._link = ours
        self._loop.add_reader(ours, self._receive)

    def _spawn(self, theirs: socket.socket) -> "subprocess.Popen[bytes]":
        number = theirs.fileno()
        mount = (str(self._mount.root), str(int(self._mount.was_mount)))
        return subprocess.Popen(  # noqa: S603 - all arguments are ours
            # Without -P the working folder would come first where modules are looked for.
            [sys.executable, "-P", "-m", writer_main.__name__, str(number), *mount, str(self._threads)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[number],
        )  # fmt: skip

    def put(self, guid: str, data: bytes, sidecar: bytes) -> "asyncio.Future[None] | None":
        """Have both files written; None if the process cannot take them now.

        The future ends when both are durable, or in the OSError or BlobStoreError of who wrote them, or in
        WriterGoneError, and then the process does nothing any more.
        """
        if not self.ready or self._link is None or len(data) + len(sidecar) > MAX_BYTES:
            return None
        key = next(self._keys)
        try:
            self._link.sendmsg(put_packet(key, guid, data, sidecar))
        except OSError:  # no room for it now, or the process is just ending, which `_receive` finds
            return None
        self._used = self._loop.time()
        answer = self._waiting[key] = self._loop.create_future()
        return answer

    def _receive(self) -> None:
        while self._link is not None:
            try:
                packet = self._link.recv(PACKET_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                packet = b""
            if packet:
                self._take(Answer.of(packet))
            else:
                if not self._let_go:
                    _log.warning("The process that writes pictures has ended: threads write them")
                self._close()
                self._reap()
                self._on_end(not self._let_go)

    def _take(self, answer: Answer) -> None:
        if answer.kind is Kind.READY:
            self.ready = True
            self._used = self._loop.time()
            self._timer = self._loop.call_later(IDLE_S, self._look_whether_idle)
            _log.info("Pictures are written by a process of their own now (pid %s)", self.pid)
        elif answer.kind is Kind.LOG:
            _log.log(answer.number, "%s", answer.words)
        elif answer.kind is Kind.DONE:
            self._waiting.pop(answer.key).set_result(None)
        else:
            self._waiting.pop(answer.key).set_exception(_error(answer))

    def _look_whether_idle(self) -> None:
        left_s = self._used + IDLE_S - self._loop.time()
        if self._waiting or left_s > 0:
            self._timer = self._loop.call_later(max(left_s, 1.0), self._look_whether_idle)
        else:
            self._say_no_more()

    def _say_no_more(self) -> None:
        """Have the process end when it has written what it has."""
        self.ready, self._let_go = False, True
        if self._link is not None:
            with suppress(OSError):  # it has just ended
                self._link.shutdown(socket.SHUT_WR)

    def _close(self) -> None:
        """Note that the process is gone; whose pictures it still had hear of it."""
        self.ready = False
        if self._timer is not None:
            self._timer.cancel()
        link, self._link = self._link, None
        if link is not None:
            self._loop.remove_reader(link)
            link.close()
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.set_exception(WriterGoneError())

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._reaping = self._loop.create_task(asyncio.to_thread(process.wait))

    async def stop(self) -> None:
        """Let it write what it has, and wait for its end."""
        self._say_no_more()
        if self._waiting:
            await asyncio.wait(tuple(self._waiting.values()))
        self._close()
        self._reap()
        if self._reaping is not None:
            await self._reaping


def _error(answer: Answer) -> Exception:
    if answer.kind is Kind.FAILED:
        return OSError(answer.number, os.strerror(answer.number), answer.words or None)
    if answer.kind is Kind.UNUSABLE:
        return BlobStoreError(answer.words)
    return RuntimeError(f"The process that writes pictures has a fault: {answer.words}")
