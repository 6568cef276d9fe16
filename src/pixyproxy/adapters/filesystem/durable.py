"""Writing files and folders so that they survive a crash of the machine.

What fsync(2) promises, what it does not (the folder's entry), and why a failed flush is never repeated on the same
file ("fsyncgate": the kernel marks the pages clean, so that a second fsync succeeds although the data is lost):
https://lwn.net/Articles/752063/, https://www.postgresql.org/message-id/20180427222842.in2e4mibx45zdth5@alap3.anarazel.de
"""

import errno
import itertools
import logging
import os
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pixyproxy.adapters.filesystem.syscalls import SystemCalls

_log = logging.getLogger(__name__)

# Asking the system for randomness at each name gives the interpreter's lock away each time.
_PROCESS = uuid.uuid4().hex[:20]
_numbers = itertools.count()


def temporary_name(folder: Path, guid: str, kind: str) -> Path:
    """A name in the folder that nothing else has and that no reader looks at."""
    return folder / f".{guid}.{_PROCESS}{next(_numbers):012x}.{kind}"


def write_temporary(calls: SystemCalls, folder: Path, guid: str, data: bytes, *, mode: int = 0o666) -> Path:
    """Write a new file of the folder whole and flush it; return its temporary path.

    If the flush fails, that file is removed and a new one is written, once. Raises OSError, leaving no file.
    """
    return write_temporaries(calls, folder, guid, (data,), mode=mode)[0]


def write_temporaries(
    calls: SystemCalls, folder: Path, guid: str, contents: Sequence[bytes], *, mode: int = 0o666
) -> list[Path]:
    """Write several as `write_temporary` does one; if a flush fails, all of them are written anew."""

    def write() -> list[Path]:
        files = [(temporary_name(folder, guid, "tmp"), data) for data in contents]
        _write(calls, files, mode)
        return [path for path, _ in files]

    try:
        return write()
    except FlushError:
        return write()


class FlushError(OSError):
    """A file was written but could not be flushed: what of it is on the disk is not known."""


def write_new(calls: SystemCalls, path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Create a file that did not exist, write it whole and flush it.

    Raises FlushError if flushing failed, FileExistsError or another OSError otherwise; no file is left then.
    """
    _write(calls, [(path, data)], mode)


def _write(calls: SystemCalls, files: Sequence[tuple[Path, bytes]], mode: int) -> None:
    """Create files, write all, and only then flush them: several take little more than one."""
    created: dict[Path, int] = {}
    try:
        with ExitStack() as opened:
            for path, data in files:
                created[path] = calls.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                opened.callback(calls.close, created[path])
                _write_all(calls, created[path], data)
            for path, fd in created.items():
                try:
                    calls.fsync(fd)
                except OSError as error:
                    raise FlushError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        remove_quietly(calls, *created)
        raise


def _write_all(calls: SystemCalls, fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = calls.write(fd, rest)
        if written <= 0:
            raise OSError(errno.EIO, "write(2) made no progress")
        rest = rest[written:]


def flush_file(calls: SystemCalls, path: Path) -> None:
    """Flush a file that is there."""
    fd = calls.open(path, os.O_RDONLY)
    try:
        calls.fsync(fd)
    finally:
        calls.close(fd)


def flush_folder(calls: SystemCalls, folder: Path) -> None:
    """Flush the entries of a folder: creations, renames and removals in it are durable after this."""
    fd = calls.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        calls.fsync(fd)
    finally:
        calls.close(fd)


def make_folder(calls: SystemCalls, folder: Path) -> bool:
    """Create a folder unless it is there; True if it was created now. Its parent is not flushed yet."""
    try:
        calls.mkdir(folder)
    except FileExistsError:
        return False
    return True


def make_folders(calls: SystemCalls, folder: Path) -> None:
    """Create a folder and whatever parents it lacks, and flush the parent of each one created."""
    if calls.is_dir(folder):
        return
    if folder.parent != folder:
        make_folders(calls, folder.parent)
    if make_folder(calls, folder):
        flush_folder(calls, folder.parent)


def remove_quietly(calls: SystemCalls, *paths: Path) -> None:
    """Remove what is there of some files, while an error that matters more is on its way."""
    for path in paths:
        try:
            calls.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.warning("The blob store cannot remove what is left of a failed write: %s", error)
