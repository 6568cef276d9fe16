"""The TCP socket under a transport: what its peer has acknowledged, and its end without waiting for the peer."""

import socket
import struct
import sys
from asyncio import Transport
from collections.abc import Iterator
from contextlib import contextmanager

_BYTES_ACKED = 120
"""Offset of `tcpi_bytes_acked` in `struct tcp_info` (linux/tcp.h)."""


def bytes_acknowledged(transport: Transport) -> int:
    """Return a number that changes by as many bytes as the peer acknowledges; that of Linux is their sum.

    The write buffer alone tells little: the kernel's own buffer takes megabytes, and frees them in large steps.
    """
    if sys.platform != "linux":
        return transport.get_write_buffer_size()
    with _socket_of(transport) as borrowed:
        info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder)


def reset(transport: Transport) -> None:
    """End a connection and drop what was not sent yet, from the kernel's buffer too."""
    with _socket_of(transport) as borrowed:
        borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@contextmanager
def _socket_of(transport: Transport) -> Iterator[socket.socket]:
    """Yield the socket; uvloop's own object for it has neither of the two calls."""
    borrowed = socket.socket(fileno=transport.get_extra_info("socket").fileno())
    try:
        yield borrowed
    finally:
        borrowed.detach()
