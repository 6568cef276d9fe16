"""The folder of a blob store: the paths of its files, and the check that its disk is still mounted."""

import logging
from pathlib import Path

from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.domain.errors import BlobStoreError, BlobStoreFullError
from pixyproxy.ports.blob_store import require_canonical_guid

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Free space below which the store is full."""

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

    def remember_mount(self) -> None:
        """Remember whether a disk is mounted here now; raises BlobStoreError if there is no folder."""
        self._was_mount = self.calls.is_mount(self.root)
        self.require_present()

    def require_present(self) -> None:
        """Raise BlobStoreError if the folder is gone or its disk is no longer mounted.

        An outage must never look like an empty store.
        """
        if not self.calls.is_dir(self.root):
            raise unusable("its folder is not there")
        if self._was_mount and not self.calls.is_mount(self.root):
            raise unusable("the disk of its folder is no longer mounted")

    def require_writable(self) -> None:
        """Raise BlobStoreError unless files can be created in the folder."""
        self.require_present()
        if not self.calls.may_write(self.root):
            raise unusable("the service may not write to its folder, or the file system is mounted read-only")

    def require_room(self, min_free_bytes: int) -> None:
        """Raise BlobStoreFullError unless this many bytes and an inode are free."""
        room = self.calls.statvfs(self.root)
        # Some file systems (btrfs) create inodes as they are needed and report none at all.
        if room.f_bavail * room.f_frsize < min_free_bytes or (room.f_files and not room.f_favail):
            raise BlobStoreFullError("Not enough space is left in the blob store.")


def unusable(reason: str) -> BlobStoreError:
    """Return the error for a store that can do nothing at all, and log it."""
    _log.error("The blob store is not usable: %s", reason)
    return BlobStoreError(f"The blob store is not usable: {reason}.")
