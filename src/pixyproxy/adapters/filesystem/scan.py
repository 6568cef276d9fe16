"""Scans of the store's folders for stored and rescued pictures, half-written files, and files that others may read."""

import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pixyproxy.adapters.filesystem.durable_files import (
    FILE_MODE,
    FOLDER_MODE,
    PRIVATE_FILE_MODE,
    PRIVATE_FOLDER_MODE,
    SystemCalls,
)
from pixyproxy.adapters.filesystem.store_folder import StoreFolder
from pixyproxy.ports.blob_maintenance import FileAccess, StoredBlob

_GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SHARD = re.compile("[0-9a-f]{2}")
_STORED = re.compile(rf"({_GUID})\.(bin|json)")
_TEMPORARY = re.compile(rf"\.(?:{_GUID}|probe)\.[0-9a-f]{{32}}\.(tmp|old)")
_RESCUED = re.compile(rf"({_GUID})\.([1-9][0-9]{{0,8}})\.json")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def names(calls: SystemCalls, folder: Path) -> list[str]:
    """Return the names in a folder; none if it does not exist (any more) or is no folder."""
    try:
        return calls.names(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def shards(calls: SystemCalls, root: Path, prefix: str = "") -> Iterator[Path]:
    """Yield the folders `ab/cd` that files are stored in, with a prefix `ab` those below it.

    Without a prefix it raises OSError if the root cannot be read.
    """
    for first in [root / prefix] if prefix else first_level(calls, root):
        for second in filter(_SHARD.fullmatch, names(calls, first)):
            yield first / second


def first_level(calls: SystemCalls, root: Path) -> list[Path]:
    """Return the folders `ab` of a root; raises OSError if it cannot be read."""
    return [root / name for name in filter(_SHARD.fullmatch, calls.names(root))]


def stored_blobs(folder: StoreFolder, prefix: str = "") -> Iterator[StoredBlob]:
    """Yield everything stored (whose GUID begins with two digits), shard by shard; nothing is kept open in between."""
    for shard in shards(folder.calls, folder.root, prefix):
        yield from _stored_in(folder.calls, shard)


def _stored_in(calls: SystemCalls, shard: Path) -> Iterator[StoredBlob]:
    prefix = shard.parent.name + shard.name
    found: dict[str, tuple[int | None, int]] = {}
    for name in names(calls, shard):
        match = _STORED.fullmatch(name)
        # A file in the folder of another prefix is no image: nothing would ever read it.
        if match is None or not name.startswith(prefix):
            continue
        status = file_status(calls, shard / name)
        if status is not None:
            size, changed = found.get(match[1], (None, status.st_mtime_ns))
            found[match[1]] = (
                status.st_size if match[2] == "bin" else size,
                max(changed, status.st_mtime_ns),
            )
    for guid, (size, changed) in found.items():
        yield StoredBlob(guid, size, time_of(changed))


def half_written(store: StoreFolder, folder: Path, older_than: datetime) -> Iterator[Path]:
    """Yield the temporary files of a folder that have not changed since then, and rescued sidecars without bytes."""
    here = names(store.calls, folder)
    rescued = set(here) if folder == store.rescued else set()
    for name in here:
        temporary = _TEMPORARY.fullmatch(name)
        if temporary is None and (name not in rescued or not _RESCUED.fullmatch(name) or bytes_name(name) in rescued):
            continue
        status = file_status(store.calls, folder / name, follow=False)
        if status is None:
            continue
        changed = status.st_mtime_ns
        if temporary is not None and temporary[1] == "old":
            # A backup is a link to a file that may be years old; only ctime says when the link was made.
            changed = max(changed, status.st_ctime_ns)
        if time_of(changed) < older_than:
            yield folder / name


def rescued_sidecars(calls: SystemCalls, folder: Path) -> list[tuple[str, Path]]:
    """Return GUID and path of each numbered sidecar in a folder of rescued pictures, lower numbers first."""
    found = [(match[1], int(match[2]), name) for name in names(calls, folder) if (match := _RESCUED.fullmatch(name))]
    return [(guid, folder / name) for guid, _, name in sorted(found)]


def bytes_name(sidecar: str) -> str:
    """Return the name of the bytes that belong to a sidecar of this name."""
    return sidecar.removesuffix(".json") + ".bin"


def file_status(calls: SystemCalls, path: Path, *, follow: bool = True) -> os.stat_result | None:
    """Return the status of a regular file, or None if there is none of this name."""
    try:
        status = calls.stat(path, follow=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def exists(calls: SystemCalls, path: Path) -> bool:
    """Return whether there is anything of this name, even a dangling link."""
    try:
        calls.stat(path, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def time_of(nanoseconds: int) -> datetime:
    """Convert a file timestamp, clamped to what `datetime` can represent."""
    return _EPOCH + timedelta(microseconds=max(0, min(nanoseconds // 1000, _LATEST_US)))


def inspect_access(folder: StoreFolder, *, apply: bool, deep: bool) -> FileAccess:
    """Find what has other permissions than new files and folders, or another group; with `apply` correct it.

    Files come before their folders, so that a run that is cut short leaves the outer folders to be found.
    """
    wrong = refused = 0
    for path, mode in _expected_modes(folder, deep=deep):
        try:
            status = folder.calls.stat(path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not _is_wrong(folder, path, status, mode):
            continue
        wrong += 1
        if apply:
            # The bits that a folder hands down, such as its group, are the operator's.
            kept = status.st_mode & 0o7000 if stat.S_ISDIR(status.st_mode) else 0
            try:
                folder.calls.protect(path, mode | kept)
            except PermissionError:
                refused += 1
    return FileAccess(wrong, refused)


def _is_wrong(folder: StoreFolder, path: Path, status: os.stat_result, mode: int) -> bool:
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False  # a link, which has no permissions of its own
    if path.parent == folder.quarantine and status.st_mode & 0o777 == PRIVATE_FILE_MODE:
        return False  # what was private where it was found stays so
    if mode & 0o070 and folder.calls.group not in (None, status.st_gid):
        return True
    if path == folder.root:
        # The operator may have made it, and may write to it.
        return bool(status.st_mode & 0o007) or (folder.calls.group is not None and status.st_mode & 0o050 != 0o050)
    return status.st_mode & 0o777 != mode


def _expected_modes(folder: StoreFolder, *, deep: bool) -> Iterator[tuple[Path, int]]:
    """Yield everything that the store has made, with its permissions; without `deep` the outermost only."""
    calls = folder.calls
    trees = [tree for tree in (folder.root, folder.thumbnails) if exists(calls, tree)]
    for tree in trees if deep else ():
        for shard in shards(calls, tree):
            yield from ((shard / name, FILE_MODE) for name in names(calls, shard))
            yield shard, FOLDER_MODE
    if deep:
        yield from ((folder.quarantine / name, FILE_MODE) for name in names(calls, folder.quarantine))
        yield from ((folder.rescued / name, PRIVATE_FILE_MODE) for name in names(calls, folder.rescued))
    for tree in trees:
        yield from ((path, FOLDER_MODE) for path in first_level(calls, tree))
    yield folder.marker, FILE_MODE
    yield folder.rescued, PRIVATE_FOLDER_MODE
    yield from ((path, FOLDER_MODE) for path in (folder.quarantine, folder.thumbnails, folder.root))
