"""The one place where errors of obstore and of S3 become domain errors.

obstore tells a few errors by class. For the others the code that S3 gave is only in the response, which obstore quotes
in its message: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

import errno
import logging
import os

from obstore.exceptions import BaseError

from pixyproxy.domain.errors import BlobStoreError, BlobStoreExhaustedError, BlobStoreFullError

FAILURES = (BaseError, OSError, ValueError)
"""Everything that obstore raises; a missing object or bucket is a FileNotFoundError."""

_FULL = {"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "InsufficientStorage"}
"""Codes of servers (Ceph, MinIO) without room; Amazon's S3 has none."""
_INSUFFICIENT_STORAGE = "507"
_REASONS = {
    "AccessDenied": "the credentials lack the permission",
    "AuthorizationHeaderMalformed": "S3_REGION is not the region of the bucket",
    "ExpiredToken": "the credentials have expired",
    "InvalidAccessKeyId": "S3 does not know the access key (AWS_ACCESS_KEY_ID)",
    "NoSuchBucket": "there is no such bucket (S3_BUCKET)",
    "PermanentRedirect": "the bucket is at another endpoint or in another region (S3_ENDPOINT_URL, S3_REGION)",
    "RequestTimeTooSkewed": "the clock of this machine is wrong, so S3 refuses its requests",
    "ServiceUnavailable": "S3 is overloaded",
    "SignatureDoesNotMatch": "the secret does not belong to the access key (AWS_SECRET_ACCESS_KEY)",
    "SlowDown": "S3 is overloaded and asks for fewer requests",
}
_STATUSES = {
    "301": "the bucket is at another endpoint or in another region (S3_ENDPOINT_URL, S3_REGION)",
    "403": "S3 refuses the credentials, or the clock of this machine is wrong",
    "404": "there is no such bucket (S3_BUCKET)",
    "503": "S3 is overloaded or down",
}
_MAX_CODE_LENGTH = 64

_log = logging.getLogger(__name__)


def blob_error(error: Exception, action: str) -> BlobStoreError:
    """Return the domain error for an error met during `action` ("store a picture"), and log it."""
    text = str(error).partition("\n\nDebug source:")[0]
    status, code = _status(text), _code(text)
    if not status and _lacks_open_files():
        return BlobStoreExhaustedError(f"The blob store cannot {action}: the service has too many files open.")
    _log.error("The blob store cannot %s: %s", action, text)
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return BlobStoreFullError("No space is left in the blob store.")
    if reason := _REASONS.get(code) or _STATUSES.get(status):
        return BlobStoreError(f"The blob store cannot {action}: {reason}.")
    if status:
        return BlobStoreError(f"The blob store cannot {action}: S3 answers {status} {code}".rstrip() + ".")
    return BlobStoreError(f"The blob store cannot {action}: S3 cannot be reached, or its answer was lost.")


def _status(text: str) -> str:
    """Return the HTTP status in a message of obstore, or nothing if there was no response."""
    status = text.partition("status code: ")[2][:3]
    return status if status.isdecimal() else ""


def _code(text: str) -> str:
    """Return the error code in the response of S3 that a message quotes; a response to HEAD has none."""
    code = text.partition("<Code>")[2].partition("</Code>")[0]
    return code if len(code) <= _MAX_CODE_LENGTH and code.isascii() and code.isalnum() else ""


def _lacks_open_files() -> bool:
    """Return whether this process can open no file now, since obstore does not tell why it cannot connect."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE}
    return False
