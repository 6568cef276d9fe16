"""A process beside the service that writes pictures, for when many are to be written at once.

Writing one takes some twenty system calls. Around each of them a thread gives the interpreter's lock away and waits
until it has it back, which for small pictures takes longer than the calls, and stops everybody else meanwhile.
"""

import asyncio
import itertools
import logging
import os
import socket
import struct
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
STUCK_S = 30.0
"""A process that owes an answer, or its beginning or end, and has said nothing for so long is killed."""
LOOK_S = 1.0
"""How often it is looked at for both."""

_log = logging.getLogger(__name__)


class WriterGoneError(Exception):
    """The process did not say what came of a picture, and does nothing with it any more."""


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
        self._used = self._heard = 0.0
        self._let_go = False
        self._ended = asyncio.Event()
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
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _spawn(self, theirs: socket.socket) -> "subprocess.Popen[bytes]":
        number = theirs.fileno()
        mount = (str(self._mount.root), str(int(self._mount.was_mount)))
        return subprocess.Popen(  # noqa: S603 - all arguments are ours
            # Without -P the working folder would come first where modules are looked for.
            [sys.executable, "-P", "-m", writer_main.__name__, str(number), *mount, str(self._threads)],
            # A group of its own: who presses Ctrl-C means the service.
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[number], process_group=0,
        )  # fmt: skip

    def put(self, guid: str, data: bytes, sidecar: bytes) -> "asyncio.Future[None] | None":
        """Have both files written; None if the process cannot take them now.

        The future ends when both are durable, or in the OSError or BlobStoreError of who wrote them, or in
        WriterGoneError, and then the process does nothing any more.
        """
        if not self.ready or self._link is None or len(data) + len(sidecar) > MAX_BYTES:
            return None
        key = next(self._keys)
        self._used = self._loop.time()
        if not self._waiting:
            self._heard = self._used
        try:
            self._link.sendmsg(put_packet(key, guid, data, sidecar))
        except OSError:  # no room for it now, or the process is just ending, which `_receive` finds
            return None
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
                try:
                    self._take(Answer.of(packet))
                except (struct.error, ValueError, KeyError) as error:
                    # Such as one of another version, which was installed since this service began.
                    _log.error("The process that writes pictures is not understood, and is killed: %r", error)
                    self._kill()
            else:
                if not self._let_go:
                    _log.warning("The process that writes pictures has ended: threads write them")
                self._end()
                self._on_end(not self._let_go)

    def _take(self, answer: Answer) -> None:
        self._heard = self._loop.time()
        if answer.kind is Kind.READY:
            self.ready = not self._let_go
            self._used = self._heard
            _log.info("Pictures are written by a process of their own now (pid %s)", self.pid)
        elif answer.kind is Kind.LOG:
            _log.log(answer.number, "%s", answer.words)
        elif answer.kind is Kind.DONE:
            self._waiting.pop(answer.key).set_result(None)
        elif answer.kind is Kind.FAULT:
            _log.error("The process that writes pictures has a fault: %s", answer.words)
            self._waiting.pop(answer.key).set_exception(WriterGoneError())
        else:
            self._waiting.pop(answer.key).set_exception(_error(answer))

    def _look(self) -> None:
        """Let the process go if it has nothing to do, and end it if it does nothing."""
        now = self._loop.time()
        if self._waiting or not self.ready:
            if now - self._heard >= STUCK_S:
                _log.error("The process that writes pictures (pid %s) says nothing: it is killed", self.pid)
                self._heard = now
                self._kill()
        elif now - self._used >= IDLE_S:
            self._say_no_more()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _say_no_more(self) -> None:
        """Have the process end when it has written what it has."""
        self.ready, self._let_go = False, True
        self._heard = self._loop.time()
        if self._link is not None:
            with suppress(OSError):  # it has just ended
                self._link.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        """Note that the process does nothing any more; whose pictures it still had hear of it."""
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
        process, self._process = self._process, None
        if process is not None:
            self._reaping = self._loop.create_task(asyncio.to_thread(process.wait))
        self._ended.set()

    async def stop(self) -> None:
        """Let it write what it has, and wait for its end."""
        self._say_no_more()
        if self._link is not None:
            await self._ended.wait()
        if self._reaping is not None:
            await asyncio.shield(self._reaping)


def _error(answer: Answer) -> Exception:
    if answer.kind is Kind.FAILED:
        return OSError(answer.number, os.strerror(answer.number), answer.words or None)
    return BlobStoreError(answer.words)
