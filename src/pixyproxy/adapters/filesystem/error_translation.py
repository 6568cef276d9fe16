"""The one place where operating system errors become domain errors, by number."""

import errno
import logging

from pixyproxy.domain.errors import BlobStoreError, BlobStoreFullError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REASONS = {
    errno.EACCES: "the service lacks the permission",
    errno.EPERM: "the service lacks the permission",
    errno.EROFS: "its file system is mounted read-only",
    errno.EIO: "its disk reports an input/output error",
    errno.ENOENT: "its folder is not there",
    errno.ENOTDIR: "its folder is not a folder",
    errno.EMFILE: "the service has too many files open",
    errno.ENFILE: "the machine has too many files open",
    errno.ESTALE: "its network file system has lost the folder",
    errno.ETIMEDOUT: "its network file system does not answer",
}

_log = logging.getLogger(__name__)


def blob_error(error: OSError, action: str) -> BlobStoreError:
    """The domain error for an OSError met while doing `action` ("store a picture"), which is logged with its path."""
    _log.error("The blob store cannot %s: %s", action, error)
    if error.errno in _FULL:
        return BlobStoreFullError("No space is left in the blob store.")
    reason = _REASONS.get(error.errno or 0) or f"error {errno.errorcode.get(error.errno or 0, 'unknown')}"
    return BlobStoreError(f"The blob store cannot {action}: {reason}.")
