"""Adoption of rescued pictures: moving them to their place, once there is room again.

The bytes are copied, since they may be on another disk, and the rescued files are removed only when the copy is
durable: after a crash at any point the picture is whole in one place at least, and the same call finishes the move.
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

from pixyproxy.adapters.filesystem import durable_files, scan
from pixyproxy.adapters.filesystem.quarantine import Quarantine
from pixyproxy.adapters.filesystem.reader import SETTLED_NS, has_checksum, read_whole
from pixyproxy.adapters.filesystem.store_folder import StoreFolder

_UNREADABLE = {errno.EACCES, errno.EIO}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
"""Errors of file systems without hard links."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RescuedPicture:
    """A rescued picture that agrees with its own sidecar, whose text is `sidecar`."""

    guid: str
    path: Path
    sidecar_path: Path
    sidecar: bytes
    size: int
    sha256: str


class Adoption:
    """Finds whole pictures in `aside` and in the rescue folders, and moves them to their place.

    The methods block and raise OSError.
    """

    def __init__(self, folder: StoreFolder, rescue_dirs: Sequence[Path], quarantine: Quarantine) -> None:
        self._store = folder
        self._folders = (folder.rescued, *rescue_dirs)
        self._calls = folder.calls
        self._quarantine = quarantine
        self._adopting = threading.Lock()
        self._read_before: dict[Path, tuple[object, RescuedPicture | None]] = {}

    def guids(self) -> frozenset[str]:
        """Return the GUIDs that `adopt` would move; a file is read once, and again after it has changed."""
        pictures = list(self.whole_pictures())
        guids = frozenset(one.guid for one in pictures if self._try(one.path, self._fits, one))
        self._store.require_present()
        return guids

    def adopt(self, guid: str) -> bool:
        """Move bytes and sidecar to their place, or finish that; False if no rescued picture is whole and fits."""
        self._store.require_present()
        with self._adopting:
            pictures = list(self.whole_pictures(guid))
            for one in pictures:
                if self._put_in_place(one):
                    for other in pictures:
                        if (other.sha256, other.sidecar) == (one.sha256, one.sidecar):
                            self.remove_rescued(other)
                    return True
            return False

    def response_guids(self) -> frozenset[str]:
        """Return the GUIDs for which there are rescued bytes whose sidecar describes no picture."""
        guids = frozenset(guid for guid, _ in self._responses())
        self._store.require_present()
        return guids

    def read_responses(self, guid: str) -> tuple[bytes, ...]:
        """Return the rescued bytes of a GUID whose sidecar describes no picture, those that can be read."""
        found = [self._try(path, read_whole, self._calls, path) for name, path in self._responses() if name == guid]
        return tuple(data for data in found if data is not None)

    def _responses(self) -> Iterator[tuple[str, Path]]:
        for folder in self._folders:
            for guid, sidecar in scan.rescued_sidecars(self._calls, folder):
                path = folder / scan.bytes_name(sidecar.name)
                status = scan.file_status(self._calls, path, follow=False)
                if status is not None and self._trusts(status, folder):
                    text = self._try(sidecar, read_whole, self._calls, sidecar)
                    if text is not None and _describes_response(text, guid):
                        yield guid, path

    def whole_pictures(self, guid: str | None = None) -> Iterator[RescuedPicture]:
        """Yield the rescued pictures (of one GUID) that agree with their sidecars."""
        seen = set()
        for folder in self._folders:
            for name, path in scan.rescued_sidecars(self._calls, folder):
                if guid in (None, name):
                    seen.add(path)
                    if (picture := self._try(path, self._read_if_changed, name, path)) is not None:
                        yield picture
        if guid is None:
            self._read_before = {path: self._read_before[path] for path in seen if path in self._read_before}

    def _read_if_changed(self, guid: str, sidecar: Path) -> RescuedPicture | None:
        path = sidecar.parent / scan.bytes_name(sidecar.name)
        files = [scan.file_status(self._calls, one, follow=False) for one in (path, sidecar)]
        trusted = [one for one in files if one is not None and self._trusts(one, path.parent)]
        if len(trusted) < len(files):
            return None
        state = [(one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in trusted]
        before = self._read_before.get(sidecar)
        if before is not None and before[0] == state:
            return before[1]
        picture = self._read(guid, path, sidecar, trusted[0].st_size)
        # A file that changed a moment ago may change again within the same tick of the file system's clock.
        if time.time_ns() - max(one.st_ctime_ns for one in trusted) > SETTLED_NS:
            self._read_before[sidecar] = (state, picture)
        return picture

    def _trusts(self, status: os.stat_result, folder: Path) -> bool:
        """Return whether this service can have written a file: any user may write to a shared rescue folder."""
        if folder == self._store.rescued:
            return True
        return status.st_uid in {0, os.geteuid(), self._calls.stat(self._store.root).st_uid}

    def _read(self, guid: str, path: Path, sidecar_path: Path, size: int) -> RescuedPicture | None:
        sidecar = read_whole(self._calls, sidecar_path)
        try:
            document = json.loads(sidecar)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or document.get("guid") != guid:
            return None
        sha256 = document.get("sha256")
        if not isinstance(sha256, str) or type(document.get("size_bytes")) is not int:
            return None  # a response that was no picture has neither
        if document["size_bytes"] != size or not has_checksum(self._calls, path, size, sha256):
            _log.error("The rescued picture of image %s does not agree with its sidecar: %s", guid, path)
            return None
        return RescuedPicture(guid, path, sidecar_path, sidecar, size, sha256)

    def _fits(self, picture: RescuedPicture) -> bool:
        image = Path(self._store.image(picture.guid))
        return not scan.exists(self._calls, image) or self._is_in_place(picture)

    def _is_in_place(self, picture: RescuedPicture) -> bool:
        """Return whether these very bytes are in their place already, as after an interrupted move."""
        return self._sidecar_in_place(picture.guid) in (None, picture.sidecar) and has_checksum(
            self._calls, Path(self._store.image(picture.guid)), picture.size, picture.sha256
        )

    def _sidecar_in_place(self, guid: str) -> bytes | None:
        try:
            return read_whole(self._calls, Path(self._store.sidecar(guid)))
        except FileNotFoundError:
            return None

    def _put_in_place(self, picture: RescuedPicture) -> bool:
        guid, image = picture.guid, Path(self._store.image(picture.guid))
        in_place = scan.exists(self._calls, image)
        if in_place and not self._is_in_place(picture):
            return False
        self._make_folders(image.parent)
        temporary = [durable_files.write_temporary(self._calls, image.parent, guid, picture.sidecar)]
        try:
            if in_place:
                durable_files.flush_file(self._calls, image)
            else:
                data = self._try(picture.path, read_whole, self._calls, picture.path)
                if data is None or hashlib.sha256(data).hexdigest() != picture.sha256.lower():
                    return False
                temporary.append(durable_files.write_temporary(self._calls, image.parent, guid, data))
                if self._sidecar_in_place(guid) not in (None, picture.sidecar):
                    self._quarantine.move_sidecar(guid)
            self._calls.rename(temporary[0], Path(self._store.sidecar(guid)))
            if not in_place and not self._link(temporary[1], image):
                return False
            try:
                durable_files.flush_folder(self._calls, image.parent)
            except OSError:
                # Bytes whose flush failed must not be found there and taken for durable.
                if not in_place:
                    durable_files.remove_quietly(self._calls, image)
                raise
        finally:
            durable_files.remove_quietly(self._calls, *temporary)
        return True

    def _make_folders(self, folder: Path) -> None:
        for level in (folder.parent, folder):
            durable_files.make_folder(self._calls, level)
            durable_files.flush_folder(self._calls, level.parent)

    def _link(self, source: Path, target: Path) -> bool:
        """Give a file its name and return True, or False if another file has it, which rename(2) would replace."""
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

    def remove_rescued(self, picture: RescuedPicture) -> None:
        """Remove the rescued files of a picture that is in its place now; if that fails, they only exist twice."""
        try:
            # Bytes first: a sidecar that is left alone is found as debris, bytes alone never would be.
            for path in (picture.path, picture.sidecar_path):
                try:
                    self._calls.unlink(path)
                except FileNotFoundError:
                    continue
            durable_files.flush_folder(self._calls, picture.path.parent)
        except OSError as error:
            _log.warning("The rescued picture of image %s is adopted, and cannot be removed: %s", picture.guid, error)

    def _try(self, path: Path, function: Callable[..., _T], *args: object) -> _T | None:
        """Return None if a file is gone or unreadable: one file must not keep the others from being adopted."""
        try:
            return function(*args)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            _log.error("The rescued picture %s cannot be read: %s", path, error)
            return None


def _describes_response(sidecar: bytes, guid: str) -> bool:
    """Return whether a sidecar belongs to bytes that could not be read as a picture when they were rescued."""
    try:
        document = json.loads(sidecar)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("guid") == guid and "sha256" not in document
