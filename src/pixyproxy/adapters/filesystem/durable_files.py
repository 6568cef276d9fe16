"""Files and folders that survive a crash of the machine, and the system calls that they are written with.

On fsync(2), which flushes a file but not its entry in the folder, and why a failed flush is never repeated on the same
file ("fsyncgate": the kernel marks the pages clean, so that a second fsync succeeds although the data is lost):
https://lwn.net/Articles/752063/, https://www.postgresql.org/message-id/20180427222842.in2e4mibx45zdth5@alap3.anarazel.de
"""

import errno
import grp
import itertools
import logging
import os
import stat
import sys
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache
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


FILE_MODE = 0o640
FOLDER_MODE = 0o750
"""Permissions of pictures and their folders: all for this service, reading for its group, nothing for others."""
PRIVATE_FILE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700


class SystemCalls:
    """The system calls of this package, so that tests can record them and make each of them fail.

    Every method raises the OSError it gets and does nothing else. `group` is the group that gets what it may read,
    None for that of the process.
    """

    group: int | None = None

    def __init__(self, group: int | None = None) -> None:
        self.group = group

    def open(self, path: str | Path, flags: int, mode: int = FILE_MODE) -> int:
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

    def mkdir(self, path: Path, mode: int) -> None:
        """Call mkdir(2); what the umask takes away `protect` gives back."""
        path.mkdir(mode)

    def protect(self, file: int | Path, mode: int) -> None:
        """Call chmod(2), since the umask may have taken permissions away, and chown(2) if there is a group."""
        os.chmod(file, mode)  # noqa: PTH101 - a path or a descriptor
        if self.group is not None and mode & 0o070:
            os.chown(file, -1, self.group)

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


def former_rescue_dirs(calls: SystemCalls) -> list[Path]:
    """Return the shared folder to which earlier versions rescued pictures, if it belongs to this user alone."""
    folder = Path(tempfile.gettempdir()) / "pixyproxy-rescue"
    try:
        status = calls.stat(folder, follow=False)
    except OSError:
        return []
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return [folder] if is_own else []


def group_id(group: str) -> int:
    """Return the id of a group given by name or id; raise ValueError if this process cannot give files to it."""
    try:
        number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        if number >= 2**32 - 1:
            raise ValueError
    except (KeyError, ValueError):
        raise ValueError(f"there is no group {group!r}") from None
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        raise ValueError(f"the user of the service is not in the group {group!r}, so it cannot give files to it")
    return number


class FlushError(OSError):
    """A file that was written but not flushed: its content on the disk is unknown."""


def temporary_name(folder: Path, guid: str, kind: str) -> Path:
    """Return a path in the folder that no other file has and that no reader opens."""
    return folder / f".{guid}.{_process}{next(_numbers):012x}.{kind}"


def write_temporary(calls: SystemCalls, folder: Path, guid: str, data: bytes, *, mode: int = FILE_MODE) -> Path:
    """Write a new file of the folder whole, flush it and return its temporary path.

    If the flush fails, that file is removed and a new one is written, once. Raises OSError and leaves no file then.
    """
    return write_temporaries(calls, folder, guid, (data,), mode=mode)[0]


def write_temporaries(
    calls: SystemCalls, folder: Path, guid: str, contents: Sequence[bytes], *, mode: int = FILE_MODE
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


def write_new(calls: SystemCalls, path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
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
                _protect(calls, created[path], mode)
                _write_all(calls, created[path], data)
            for path, fd in created.items():
                try:
                    calls.fsync(fd)
                except OSError as error:
                    raise FlushError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        remove_quietly(calls, *created)
        raise


def _protect(calls: SystemCalls, file: int | Path, mode: int) -> None:
    """Set mode and group of a new file or folder; bytes that were paid for are not given up where that fails."""
    try:
        calls.protect(file, mode)
    except OSError as error:
        _warn(mode, error.strerror)


@lru_cache
def _warn(mode: int, reason: str) -> None:
    """Log once for each reason."""
    _log.warning("the blob store cannot give new files mode %o and their group: %s (this is logged once)", mode, reason)


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


def make_folder(calls: SystemCalls, folder: Path, mode: int = FOLDER_MODE) -> bool:
    """Create a folder unless it exists, and return whether it was created. Its parent is not flushed yet."""
    try:
        calls.mkdir(folder, mode)
    except FileExistsError:
        return False
    _protect(calls, folder, mode)
    return True


def make_folders(calls: SystemCalls, folder: Path, mode: int = FOLDER_MODE) -> None:
    """Create a folder with this mode, and its missing parents, and flush the parent of each one created."""
    if calls.is_dir(folder):
        return
    if folder.parent != folder:
        make_folders(calls, folder.parent)
    if make_folder(calls, folder, mode):
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
