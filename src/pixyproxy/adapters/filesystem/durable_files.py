"""Files and folders that survive a crash of the machine, and the system calls that they are written with.

On fsync(2), which flushes a file but not its entry in the folder, and why a failed flush is never repeated on the same
file ("fsyncgate": the kernel marks the pages clean, so that a second fsync succeeds although the data is lost):
https://lwn.net/Articles/752063/, https://www.postgresql.org/message-id/20180427222842.in2e4mibx45zdth5@alap3.anarazel.de
"""

import errno
import itertools
import logging
import os
import sys
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

_log = logging.getLogger(__name__)

_numbers = itertools.count()
_process = ""


def _draw_process_name() -> None:
    """Choose what the temporary names of this process have in common; a forked process has other names."""
    global _process
    _process = uuid.uuid4().hex[:20]  # a random number per name would cost a system call each


_draw_process_name()
os.register_at_fork(after_in_child=_draw_process_name)


class SystemCalls:
    """The system calls of this package, so that tests can record them and make each of them fail.

    Every method raises the OSError it gets and does nothing else.
    """

    def open(self, path: str | Path, flags: int, mode: int = 0o666) -> int:
        """Call open(2) for a descriptor that child processes do not inherit."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        os.close(fd)

    def write(self, fd: int, data: memoryview) -> int:
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """Call fsync(2), or F_FULLFSYNC on macOS, where fsync leaves data in the cache of the drive."""
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        target.hardlink_to(source)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def mkdir(self, path: Path) -> None:
        path.mkdir()

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder (readdir(3)), in no order."""
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]

    def stat(self, path: Path, *, follow: bool = True) -> os.stat_result:
        return path.stat(follow_symlinks=follow)

    def status(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)

    def statvfs(self, path: Path) -> os.statvfs_result:
        return os.statvfs(path)

    def may_write(self, path: Path) -> bool:
        """Call access(2) for creating files in a folder; False on a read-only file system, for root too."""
        return os.access(path, os.W_OK | os.X_OK)

    def is_dir(self, path: Path) -> bool:
        return path.is_dir()

    def is_mount(self, path: Path) -> bool:
        return path.is_mount()


class FlushError(OSError):
    """A file that was written but not flushed: its content on the disk is unknown."""


def temporary_name(folder: Path, guid: str, kind: str) -> Path:
    """Return a path in the folder that no other file has and that no reader opens."""
    return folder / f".{guid}.{_process}{next(_numbers):012x}.{kind}"


def write_temporary(calls: SystemCalls, folder: Path, guid: str, data: bytes, *, mode: int = 0o666) -> Path:
    """Write a new file of the folder whole, flush it and return its temporary path.

    If the flush fails, that file is removed and a new one is written, once. Raises OSError and leaves no file then.
    """
    return write_temporaries(calls, folder, guid, (data,), mode=mode)[0]


def write_temporaries(
    calls: SystemCalls, folder: Path, guid: str, contents: Sequence[bytes], *, mode: int = 0o666
) -> list[Path]:
    """Write several files as `write_temporary` does one; if a flush fails, all of them are written anew."""

    def write() -> list[Path]:
        files = [(temporary_name(folder, guid, "tmp"), data) for data in contents]
        _write(calls, files, mode)
        return [path for path, _ in files]

    try:
        return write()
    except FlushError:
        return write()


def write_new(calls: SystemCalls, path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Create a file that did not exist, write it whole and flush it.

    Raises FlushError if flushing failed, FileExistsError or another OSError otherwise; no new file is left then.
    """
    _write(calls, [(path, data)], mode)


def _write(calls: SystemCalls, files: Sequence[tuple[Path, bytes]], mode: int) -> None:
    """Create and write all files before the first is flushed: several flushes take little longer than one then."""
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
    """Flush a file that exists."""
    _flush(calls, path, os.O_RDONLY)


def flush_folder(calls: SystemCalls, folder: Path) -> None:
    """Flush the entries of a folder: files created, renamed and removed in it stay so after a crash."""
    _flush(calls, folder, os.O_RDONLY | os.O_DIRECTORY)


def _flush(calls: SystemCalls, path: Path, flags: int) -> None:
    fd = calls.open(path, flags)
    try:
        calls.fsync(fd)
    finally:
        calls.close(fd)


def make_folder(calls: SystemCalls, folder: Path) -> bool:
    """Create a folder unless it exists, and return whether it was created. Its parent is not flushed yet."""
    try:
        calls.mkdir(folder)
    except FileExistsError:
        return False
    return True


def make_folders(calls: SystemCalls, folder: Path) -> None:
    """Create a folder and its missing parents, and flush the parent of each one created."""
    if calls.is_dir(folder):
        return
    if folder.parent != folder:
        make_folders(calls, folder.parent)
    if make_folder(calls, folder):
        flush_folder(calls, folder.parent)


def remove_quietly(calls: SystemCalls, *paths: Path) -> None:
    """Remove the files that exist; a failure is logged, because a more important error is being handled."""
    for path in paths:
        try:
            calls.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.warning("The blob store cannot remove the remains of a failed write: %s", error)
