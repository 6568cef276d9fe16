"""The system calls the filesystem store makes, in one object, so that a test can make each of them fail."""

import io
import os
import sys
from pathlib import Path

NOWAIT = getattr(os, "RWF_NOWAIT", 0)
"""Flag of preadv(2): give what is in memory, never wait for the disk. 0 where the system has none (it is Linux's)."""


class SystemCalls:
    """Thin names for system calls; every method raises the OSError it gets and does nothing else."""

    def open(self, path: str | Path, flags: int, mode: int = 0o666) -> int:
        """open(2), never inherited by child processes."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """close(2)."""
        os.close(fd)

    def write(self, fd: int, data: memoryview) -> int:
        """write(2): the number of bytes written, perhaps fewer than given."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """fsync(2), and on macOS F_FULLFSYNC, because fsync there leaves data in the cache of the drive."""
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        """rename(2): atomically replaces the target if it exists."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """link(2): a second name for a file."""
        target.hardlink_to(source)

    def unlink(self, path: Path) -> None:
        """unlink(2)."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """mkdir(2)."""
        path.mkdir()

    def names(self, folder: Path) -> list[str]:
        """The names in a folder (readdir(3)), in no order."""
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]

    def stat(self, path: Path, *, follow: bool = True) -> os.stat_result:
        """stat(2), or lstat(2) where a symbolic link is not to be followed."""
        return path.stat(follow_symlinks=follow)

    def status(self, fd: int) -> os.stat_result:
        """fstat(2): length, times and more of an open file."""
        return os.fstat(fd)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """pread(2): perhaps fewer bytes than asked for."""
        return os.pread(fd, length, offset)

    def pread_nowait(self, fd: int, length: int, offset: int) -> bytes:
        """preadv2(2) with RWF_NOWAIT: what the page cache holds; BlockingIOError if that is nothing.

        `OSError` with EOPNOTSUPP where the file system cannot tell.
        """
        # A BytesIO is read into in place and hands its bytes out without a copy, unlike a bytearray.
        buffer = io.BytesIO(bytes(length))
        with buffer.getbuffer() as view:
            got = os.preadv(fd, [view], offset, NOWAIT)
        return buffer.getvalue() if got == length else buffer.getvalue()[:got]

    def statvfs(self, path: Path) -> os.statvfs_result:
        """statvfs(2): free blocks and inodes."""
        return os.statvfs(path)

    def may_write(self, path: Path) -> bool:
        """access(2) for creating files in a folder; False on a read-only file system, for root too."""
        return os.access(path, os.W_OK | os.X_OK)

    def is_dir(self, path: Path) -> bool:
        """Whether the path is a folder."""
        return path.is_dir()

    def is_mount(self, path: Path) -> bool:
        """Whether another file system is mounted at this path."""
        return path.is_mount()
