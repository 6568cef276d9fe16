"""Searching the folders of the store: what is stored, and what half-written files lie about."""

import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pixyproxy.adapters.filesystem.layout import Layout
from pixyproxy.adapters.filesystem.syscalls import SystemCalls
from pixyproxy.ports.blob_maintenance import StoredBlob

_GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SHARD = re.compile("[0-9a-f]{2}")
_STORED = re.compile(rf"({_GUID})\.(bin|json)")
_TEMPORARY = re.compile(rf"\.(?:{_GUID}|probe)\.[0-9a-f]{{32}}\.(tmp|old)")
_KEPT = re.compile(rf"({_GUID})\.([1-9][0-9]{{0,8}})\.json")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def names(calls: SystemCalls, folder: Path) -> list[str]:
    """The names in a folder; none if it is not there (any more) or is no folder."""
    try:
        return calls.names(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def shards(calls: SystemCalls, root: Path) -> Iterator[Path]:
    """The folders two levels below that files are stored in; raises OSError if the root cannot be read."""
    for first in filter(_SHARD.fullmatch, calls.names(root)):
        for second in filter(_SHARD.fullmatch, names(calls, root / first)):
            yield root / first / second


def stored(calls: SystemCalls, layout: Layout) -> Iterator[StoredBlob]:
    """Everything stored, folder by folder; nothing is held open in between."""
    for folder in shards(calls, layout.root):
        yield from _stored_in(calls, folder)


def _stored_in(calls: SystemCalls, folder: Path) -> Iterator[StoredBlob]:
    prefix = folder.parent.name + folder.name
    found: dict[str, tuple[int | None, int]] = {}
    for name in names(calls, folder):
        match = _STORED.fullmatch(name)
        # A file in the folder of another prefix is no image: nothing would ever read it.
        if match is None or not name.startswith(prefix):
            continue
        status = file_status(calls, folder / name)
        if status is not None:
            size, changed = found.get(match[1], (None, status.st_mtime_ns))
            found[match[1]] = (
                status.st_size if match[2] == "bin" else size,
                max(changed, status.st_mtime_ns),
            )
    for guid, (size, changed) in found.items():
        yield StoredBlob(guid, size, time_of(changed))


def half_written(calls: SystemCalls, layout: Layout, folder: Path, older_than: datetime) -> Iterator[Path]:
    """The temporary files of a folder that have not changed since then, and in `aside` sidecars without bytes."""
    here = names(calls, folder)
    kept = set(here) if folder == layout.aside else set()
    for name in here:
        temporary = _TEMPORARY.fullmatch(name)
        if temporary is None and (name not in kept or not _KEPT.fullmatch(name) or bytes_name(name) in kept):
            continue
        status = file_status(calls, folder / name, follow=False)
        if status is None:
            continue
        changed = status.st_mtime_ns
        if temporary is not None and temporary[1] == "old":
            # A backup is a link to a file that may be years old; when the link was made only ctime tells.
            changed = max(changed, status.st_ctime_ns)
        if time_of(changed) < older_than:
            yield folder / name


def kept_sidecars(calls: SystemCalls, folder: Path) -> list[tuple[str, Path]]:
    """GUID and path of each numbered sidecar in a folder for what is kept aside, lower numbers first."""
    found = [(match[1], int(match[2]), name) for name in names(calls, folder) if (match := _KEPT.fullmatch(name))]
    return [(guid, folder / name) for guid, _, name in sorted(found)]


def bytes_name(sidecar: str) -> str:
    """The name of the bytes that belong to a sidecar of this name."""
    return sidecar.removesuffix(".json") + ".bin"


def file_status(calls: SystemCalls, path: Path, *, follow: bool = True) -> os.stat_result | None:
    """What is known of a regular file; None if there is none of this name."""
    try:
        status = calls.stat(path, follow=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def exists(calls: SystemCalls, path: Path) -> bool:
    """Whether there is anything of this name, be it a link that leads nowhere."""
    try:
        calls.stat(path, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def time_of(nanoseconds: int) -> datetime:
    """A time stamp of the file system; one outside of what can be told, for a file bears any year, is its border."""
    return _EPOCH + timedelta(microseconds=max(0, min(nanoseconds // 1000, _LATEST_US)))
