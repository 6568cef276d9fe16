"""Whether the folder of a store is still the one it was: an outage must never look like an empty store."""

import logging
from pathlib import Path

from pixyproxy.adapters.filesystem.syscalls import SystemCalls
from pixyproxy.domain.errors import BlobStoreError

_log = logging.getLogger(__name__)


class Mount:
    """Remembers of a folder whether a disk was mounted at it."""

    def __init__(self, root: Path, calls: SystemCalls) -> None:
        self.root = root
        self._calls = calls
        self._was_mount = False

    def remember(self) -> None:
        """Note how things are now."""
        self._was_mount = self._calls.is_mount(self.root)

    def require(self) -> None:
        """Raise BlobStoreError if the folder is gone, or was a mounted disk and is now the bare mount point."""
        if not self._calls.is_dir(self.root):
            raise unusable("its folder is not there")
        if self._was_mount and not self._calls.is_mount(self.root):
            raise unusable("the disk of its folder is no more mounted")


def unusable(reason: str) -> BlobStoreError:
    """The error for a store that can do nothing at all, which is logged too."""
    _log.error("The blob store is not usable: %s", reason)
    return BlobStoreError(f"The blob store is not usable: {reason}.")
