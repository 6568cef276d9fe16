"""Bringing what was kept aside into its place: blocking functions that raise OSError.

The bytes are copied, since they may lie on another disk, and only let go where they were kept once the copy is
durable: after a crash at any point they are whole in one place at least, and the same call finishes the move.
"""

import errno
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pixyproxy.adapters.filesystem import durable, scan
from pixyproxy.adapters.filesystem.checksum import agrees, read_whole
from pixyproxy.adapters.filesystem.layout import Layout
from pixyproxy.adapters.filesystem.quarantine import Quarantine
from pixyproxy.adapters.filesystem.syscalls import SystemCalls

_UNREADABLE = {errno.EACCES, errno.EIO}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
"""How file systems say that they have no hard links."""
_SETTLED_NS = 3_000_000_000

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes kept aside that agree with the sidecar beside them, `described` being the text of that."""

    guid: str
    path: Path
    sidecar_path: Path
    described: bytes
    size: int
    sha256: str


class Adoption:
    """Finds whole pictures in `aside` and in the rescue folders, and moves them to their place."""

    def __init__(self, layout: Layout, rescue_dirs: Sequence[Path], calls: SystemCalls, quarantine: Quarantine) -> None:
        self._layout = layout
        self._folders = (layout.aside, *rescue_dirs)
        self._calls = calls
        self._quarantine = quarantine
        self._adopting = threading.Lock()
        self._known: dict[Path, tuple[object, Kept | None]] = {}

    def guids(self) -> frozenset[str]:
        """The GUIDs for which `adopt` has something to do; a file is read once, and again when it has changed."""
        kept = list(self._whole())
        return frozenset(one.guid for one in kept if self._try(one.path, self._takes, one))

    def adopt(self, guid: str) -> bool:
        """Put bytes and sidecar in their place, or finish that; False if nothing kept aside is whole and fits."""
        with self._adopting:
            kept = list(self._whole(guid))
            for one in kept:
                if self._put_in_place(one):
                    for other in kept:
                        if (other.sha256, other.described) == (one.sha256, one.described):
                            self._let_go(other)
                    return True
            return False

    def _whole(self, guid: str | None = None) -> Iterator[Kept]:
        """What is kept aside (for one GUID) and is what its sidecar says."""
        seen = set()
        for folder in self._folders:
            for name, path in scan.kept_sidecars(self._calls, folder):
                if guid in (None, name):
                    seen.add(path)
                    if (kept := self._try(path, self._look, name, path)) is not None:
                        yield kept
        if guid is None:
            self._known = {path: self._known[path] for path in seen if path in self._known}

    def _look(self, guid: str, sidecar: Path) -> Kept | None:
        path = sidecar.parent / scan.bytes_name(sidecar.name)
        there = [scan.file_status(self._calls, one, follow=False) for one in (path, sidecar)]
        status = [one for one in there if one is not None and self._trusts(one, path.parent)]
        if len(status) < len(there):
            return None
        state = [(one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in status]
        known = self._known.get(sidecar)
        if known is not None and known[0] == state:
            return known[1]
        kept = self._read(guid, path, sidecar, status[0].st_size)
        # A file that changed a moment ago may change once more within the same tick of the file system's clock.
        if time.time_ns() - max(one.st_ctime_ns for one in status) > _SETTLED_NS:
            self._known[sidecar] = (state, kept)
        return kept

    def _trusts(self, status: os.stat_result, folder: Path) -> bool:
        """Whether this service can have written a file: any user of the machine may leave some in a rescue folder."""
        if folder == self._layout.aside:
            return True
        return status.st_uid in {0, os.geteuid(), self._calls.stat(self._layout.root).st_uid}

    def _read(self, guid: str, path: Path, sidecar: Path, size: int) -> Kept | None:
        described = read_whole(self._calls, sidecar)
        try:
            document = json.loads(described)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or document.get("guid") != guid:
            return None
        sha256 = document.get("sha256")
        if not isinstance(sha256, str) or type(document.get("size_bytes")) is not int:
            return None  # an answer that was no picture has neither
        if document["size_bytes"] != size or not agrees(self._calls, path, size, sha256):
            _log.error("What is kept aside for image %s is not what its sidecar says: %s", guid, path)
            return None
        return Kept(guid, path, sidecar, described, size, sha256)

    def _takes(self, kept: Kept) -> bool:
        image = Path(self._layout.image(kept.guid))
        return not scan.exists(self._calls, image) or self._is_in_place(kept)

    def _is_in_place(self, kept: Kept) -> bool:
        """Whether these very bytes are where they belong, as an interrupted move leaves them."""
        return self._described(kept.guid) in (None, kept.described) and agrees(
            self._calls, Path(self._layout.image(kept.guid)), kept.size, kept.sha256
        )

    def _described(self, guid: str) -> bytes | None:
        try:
            return read_whole(self._calls, Path(self._layout.sidecar(guid)))
        except FileNotFoundError:
            return None

    def _put_in_place(self, kept: Kept) -> bool:
        image, sidecar = Path(self._layout.image(kept.guid)), Path(self._layout.sidecar(kept.guid))
        there = scan.exists(self._calls, image)
        if there and not self._is_in_place(kept):
            return False
        self._make_folders(image.parent)
        temporary = [durable.write_temporary(self._calls, image.parent, kept.guid, kept.described)]
        try:
            if there:
                _flush_file(self._calls, image)
            else:
                data = self._try(kept.path, read_whole, self._calls, kept.path)
                if data is None or hashlib.sha256(data).hexdigest() != kept.sha256.lower():
                    return False
                temporary.append(durable.write_temporary(self._calls, image.parent, kept.guid, data))
                if self._described(kept.guid) not in (None, kept.described):
                    self._quarantine.move_sidecar(kept.guid)
            self._calls.rename(temporary[0], sidecar)
            if not there and not self._link(temporary[1], image):
                return False
            try:
                durable.flush_folder(self._calls, image.parent)
            except OSError:
                # Bytes whose flush failed must not be found there and believed to be durable.
                if not there:
                    durable.remove_quietly(self._calls, image)
                raise
        finally:
            durable.remove_quietly(self._calls, *temporary)
        return True

    def _make_folders(self, folder: Path) -> None:
        for level in (folder.parent, folder):
            durable.make_folder(self._calls, level)
            durable.flush_folder(self._calls, level.parent)

    def _link(self, source: Path, target: Path) -> bool:
        """Give a file its name, which rename(2) would take from another that has it; False if there is one."""
        try:
            self._calls.link(source, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if scan.exists(self._calls, target):
                return False
            self._calls.rename(source, target)
        return True

    def _let_go(self, kept: Kept) -> None:
        """Remove what is now in its place; if it cannot be, it is only there twice."""
        try:
            # Bytes first: a sidecar that is left alone is found as debris, bytes alone never would be.
            for path in (kept.path, kept.sidecar_path):
                try:
                    self._calls.unlink(path)
                except FileNotFoundError:
                    continue
            durable.flush_folder(self._calls, kept.path.parent)
        except OSError as error:
            _log.warning("What was kept aside for image %s is adopted and cannot be removed: %s", kept.guid, error)

    def _try(self, path: Path, function: Callable[..., _T], *args: object) -> _T | None:
        """None if a file has gone or is unreadable: a single one must not keep the others from being adopted."""
        try:
            return function(*args)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            _log.error("What is kept aside in %s cannot be read: %s", path, error)
            return None


def _flush_file(calls: SystemCalls, path: Path) -> None:
    fd = calls.open(path, os.O_RDONLY)
    try:
        calls.fsync(fd)
    finally:
        calls.close(fd)
