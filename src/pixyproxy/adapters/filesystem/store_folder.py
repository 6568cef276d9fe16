"""The folder of a blob store: the paths of its files, its marker, and the check that it is still the same folder."""

import logging
import os
from collections.abc import Hashable
from pathlib import Path

from pixyproxy.adapters.filesystem import durable_files
from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.domain.errors import BlobStoreError, BlobStoreFullError, StoreIdentityError
from pixyproxy.ports.blob_store import identity_in, require_canonical_guid

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Free space below which the store is full."""

MARKER = "pixyproxy.id"
"""The file whose first line is the identity of the database that the folder belongs to."""
_MARKER_TEXT = """{}
This folder holds the pictures of the PixyProxy database with the identity above. Keep this file with them.
"""
_MARKER_BYTES = 128

_log = logging.getLogger(__name__)


class StoreFolder:
    """A folder with `ab/cd/GUID.bin` and `ab/cd/GUID.json` of each image, named by the first digits of the GUID.

    Paths are made from GUIDs alone; methods that take one raise ValueError if it is not in canonical form.
    """

    def __init__(self, root: Path, calls: SystemCalls | None = None) -> None:
        self.root = root.absolute()
        self.calls = calls or SystemCalls()
        self.rescued = self.root / "aside"
        """Bytes that could not be stored in their place; no two-digit name can collide with this one."""
        self.quarantine = self.root / "quarantine"
        """Files that are not in order; they are neither served nor walked."""
        self.thumbnails = self.root / "derived"
        """Thumbnails, in folders like those of the images."""
        self._prefix = str(self.root)
        self._was_mount = False
        self.marker = self.root / MARKER
        self._identity: str | None = None
        self._seen_marker: Hashable = None

    def image(self, guid: str) -> str:
        """Return the path of the bytes; a plain string because one is made for every read."""
        return f"{self._prefix}/{self.location(guid)}"

    def location(self, guid: str) -> str:
        """Return the path of the bytes relative to the root."""
        require_canonical_guid(guid)
        return f"{guid[:2]}/{guid[2:4]}/{guid}.bin"

    def sidecar(self, guid: str) -> str:
        """Return the path of the sidecar."""
        require_canonical_guid(guid)
        return f"{self._prefix}/{guid[:2]}/{guid[2:4]}/{guid}.json"

    def remember(self) -> None:
        """Remember the folder as it is now: its identity, and whether a disk is mounted here.

        Raises BlobStoreError if there is no folder.
        """
        self._was_mount = self.calls.is_mount(self.root)
        self._identity = None
        self.require_present()
        self._identity, self._seen_marker = self._read_marker()

    def require_present(self) -> None:
        """Raise BlobStoreError if the folder is gone, was exchanged, or its disk is no longer mounted.

        An outage must never look like an empty store.
        """
        if not self.calls.is_dir(self.root):
            raise unusable("its folder is not there")
        if self._was_mount and not self.calls.is_mount(self.root):
            raise unusable("the disk of its folder is no longer mounted")
        if self._identity is not None:
            self._require_identity(self._identity)

    def read_identity(self) -> str | None:
        """Return the identity in the marker, None without a marker; raises BlobStoreError if it holds none."""
        return self._read_marker()[0]

    def write_identity(self, identity: str) -> None:
        """Write the marker durably unless it is there; raises StoreIdentityError if it names another database."""
        require_canonical_guid(identity)
        self.require_present()
        if self.read_identity() is None:
            temporary = durable_files.temporary_name(self.root, "probe", "tmp")
            durable_files.write_new(self.calls, temporary, _MARKER_TEXT.format(identity).encode())
            try:
                self.calls.rename(temporary, self.marker)
            except BaseException:
                durable_files.remove_quietly(self.calls, temporary)
                raise
        # Even if it was there: the process that wrote it may have ended before it had flushed the folder.
        durable_files.flush_folder(self.calls, self.root)
        self._require_identity(identity)
        self._identity = identity

    def require_writable(self) -> None:
        """Raise BlobStoreError unless files can be created in the folder."""
        self.require_present()
        if not self.calls.may_write(self.root):
            raise unusable("the service may not write to its folder, or the file system is mounted read-only")

    def _require_identity(self, identity: str) -> None:
        """Raise StoreIdentityError unless the marker holds this identity; it is read only if it is another file."""
        try:
            if identity == self._identity and _stamp(self.calls.stat(self.marker)) == self._seen_marker:
                return
        except (FileNotFoundError, NotADirectoryError):
            pass
        found, seen = self._read_marker()
        if found != identity:
            problem = f"has no file {MARKER}" if found is None else f"belongs to another database ({found})"
            raise mismatch(f"its folder {problem}, where that of the database {identity} is expected")
        self._seen_marker = seen

    def _read_marker(self) -> tuple[str | None, Hashable]:
        try:
            fd = self.calls.open(self.marker, os.O_RDONLY)
        except FileNotFoundError:
            return None, None
        try:
            seen = _stamp(self.calls.status(fd))
            identity = identity_in(self.calls.pread(fd, _MARKER_BYTES, 0))
        finally:
            self.calls.close(fd)
        if identity is None:
            raise unusable(f"the file {MARKER} in its folder does not begin with an identity")
        return identity, seen

    def require_room(self, min_free_bytes: int) -> None:
        """Raise BlobStoreFullError unless this many bytes and an inode are free."""
        room = self.calls.statvfs(self.root)
        # Some file systems (btrfs) create inodes as they are needed and report none at all.
        if room.f_bavail * room.f_frsize < min_free_bytes or (room.f_files and not room.f_favail):
            raise BlobStoreFullError("Not enough space is left in the blob store.")


def _stamp(status: os.stat_result) -> Hashable:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def mismatch(reason: str) -> StoreIdentityError:
    """Return the error for a folder that does not belong to the database, and log it."""
    _log.error("The blob store is not usable: %s", reason)
    return StoreIdentityError("The blob store is not the one that belongs to the database.")


def unusable(reason: str) -> BlobStoreError:
    """Return the error for a store that can do nothing at all, and log it."""
    _log.error("The blob store is not usable: %s", reason)
    return BlobStoreError(f"The blob store is not usable: {reason}.")
