"""Sockets whose time limits the kernel keeps."""

import socket
import struct
from typing import TYPE_CHECKING

import pymysql
from pymysql.constants import CR

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECT_SECONDS = 3


class PatientSocket(socket.socket):
    """A socket that waits in `recv` and `send` themselves, for as long as SO_RCVTIMEO and SO_SNDTIMEO say.

    A time limit of Python's own is kept by a `poll` before each of them. That is another system call, and worse,
    another time that the interpreter's lock is given up and waited for: with a few threads on one event loop
    this costs a good part of the reads per second.
    """

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """As the base does; raises TimeoutError where that would find nothing, which its callers take for no news."""
        try:
            return super().recv_into(buffer, nbytes, flags)
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error


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
