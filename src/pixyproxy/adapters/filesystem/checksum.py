"""Comparing stored bytes with a length and a sha256, in pieces, so that memory stays bounded."""

import hashlib
import os
from pathlib import Path

from pixyproxy.adapters.filesystem import reader
from pixyproxy.adapters.filesystem.syscalls import SystemCalls
from pixyproxy.domain.errors import BlobCorruptError

PIECE = 1024 * 1024
"""Bytes that are read and hashed at once."""


def check(calls: SystemCalls, path: Path, size: int, sha256: str) -> None:
    """Read a file to its end; raises BlobCorruptError if it is not these bytes, OSError if it cannot be read."""
    fd, _ = reader.open_file(calls, str(path), size)
    try:
        if _sha256(calls, fd, size) != sha256.lower():
            raise BlobCorruptError("The stored picture does not have the hash that was recorded.")
    finally:
        calls.close(fd)


def agrees(calls: SystemCalls, path: Path, size: int, sha256: str) -> bool:
    """Whether a file is these bytes; raises OSError if it cannot be read."""
    try:
        check(calls, path, size, sha256)
    except BlobCorruptError:
        return False
    return True


def read_whole(calls: SystemCalls, path: Path) -> bytes:
    """All bytes of a file."""
    fd = calls.open(path, os.O_RDONLY)
    try:
        return reader.read_exactly(calls, fd, calls.status(fd).st_size, 0)
    finally:
        calls.close(fd)


def _sha256(calls: SystemCalls, fd: int, size: int) -> str:
    digest = hashlib.sha256()
    for offset in range(0, size, PIECE):
        digest.update(reader.read_exactly(calls, fd, min(PIECE, size - offset), offset))
    return digest.hexdigest()
