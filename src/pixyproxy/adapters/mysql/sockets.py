"""Sockets whose time limits the kernel keeps."""

import socket
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pymysql
from pymysql.constants import CR

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

CONNECT_SECONDS = 3
_PIECE = 65_536


class TLSCapable(ABC):
    """What is sent and received like a socket's, can go over to TLS, and is waited for then as it was before.

    Python's own sockets for TLS ask OpenSSL to read and write, which knows nothing of another way to wait.
    """

    _tls: ssl.SSLObject | None = None

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands; from now on whatever is sent and received is encrypted."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._exchange(tls.do_handshake)
        self._tls = tls

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """As sockets do."""
        tls = self._tls
        if tls is None:
            return self.receive(buffer, nbytes, flags)
        target = memoryview(buffer)
        try:
            received = self._exchange(lambda: tls.read(nbytes or len(target)))
        except ssl.SSLEOFError:
            return 0
        target[: len(received)] = received
        return len(received)

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """As sockets do."""
        tls = self._tls
        if tls is None:
            self.transmit(data, flags)
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._exchange(partial(tls.write, rest)) :]

    @abstractmethod
    def receive(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Receive what is on the way, encrypted or not; raises TimeoutError if nothing comes."""

    @abstractmethod
    def transmit(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send as it is, encrypted or not; raises TimeoutError if nothing of it is taken."""

    def _exchange(self, step: Callable[[], T]) -> T:
        """The result of a step of TLS, for which is sent and received what it takes."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                piece = bytearray(_PIECE)
                if count := self.receive(piece):
                    self._incoming.write(memoryview(piece)[:count])
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                self._flush()  # the other side is told why
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.transmit(self._outgoing.read())


class TLSOverSockets:
    """What the driver takes for a context, with which its sockets go over to TLS themselves."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, plain: TLSCapable, server_hostname: str) -> TLSCapable:
        """The same socket, with TLS."""
        plain.start_tls(self._context, server_hostname)
        return plain


class PatientSocket(TLSCapable, socket.socket):
    """A socket that waits in `recv` and `send` themselves, for as long as SO_RCVTIMEO and SO_SNDTIMEO say.

    A time limit of Python's own is kept by a `poll` before each of them. That is another system call, and worse,
    another time that the interpreter's lock is given up and waited for: with a few threads on one event loop
    this costs a good part of the reads per second.
    """

    def receive(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """As sockets do; raises TimeoutError where they find nothing, which their callers take for no news."""
        try:
            return socket.socket.recv_into(self, buffer, nbytes, flags)
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error

    def transmit(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """As sockets do."""
        socket.socket.sendall(self, data, flags)


def connect_patiently(host: str, port: int, answer_seconds: float) -> PatientSocket:
    """Connect within CONNECT_SECONDS for each address; raises pymysql.OperationalError as the driver would."""
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as plain:
            patient = PatientSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    except OSError as error:
        raise unreachable(error) from error
    patient.settimeout(None)
    limit = struct.pack("ll", int(answer_seconds), int(answer_seconds % 1 * 1_000_000))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        patient.setsockopt(socket.SOL_SOCKET, option, limit)
    patient.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    patient.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return patient


def unreachable(error: OSError) -> pymysql.OperationalError:
    """What the driver raises where no connection comes about."""
    return pymysql.OperationalError(CR.CR_CONN_HOST_ERROR, f"Can't connect to MySQL server ({error})")
