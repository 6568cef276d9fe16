"""Errors of obstore become domain errors."""

import errno
import os

import pytest
from obstore.exceptions import GenericError

from pixyproxy.adapters.s3.error_translation import blob_error
from pixyproxy.domain.errors import BlobStoreError, BlobStoreExhaustedError, BlobStoreFullError


def answered(status: int, body: str = "") -> GenericError:
    return GenericError(f"Server returned non-2xx status code: {status} Reason: {body}\n\nDebug source:\nGeneric {{")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (answered(503, "<Error><Code>SlowDown</Code></Error>"), BlobStoreError, "S3 is overloaded and asks"),
        (answered(503), BlobStoreError, "S3 is overloaded or down"),
        (answered(507), BlobStoreFullError, "No space is left"),
        (answered(400, "<Code>XMinioAdminBucketQuotaExceeded</Code>"), BlobStoreFullError, "No space is left"),
        (answered(500, f"<Code>{'A' * 65}</Code>"), BlobStoreError, "S3 answers 500."),
        (answered(500, "<Code>a b</Code>"), BlobStoreError, "S3 answers 500."),
        (GenericError("error sending request"), BlobStoreError, "S3 cannot be reached, or its answer was lost"),
        (FileNotFoundError("status code: 404 Not Found: "), BlobStoreError, "there is no such bucket"),
    ],
)
def test_status_and_code_decide(error: Exception, kind: type[BlobStoreError], message: str) -> None:
    translated = blob_error(error, "store a picture")
    assert type(translated) is kind
    assert message in translated.message
    assert "Debug" not in translated.message


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_process_without_open_files_is_exhausted(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "too many")

    monkeypatch.setattr(os, "open", refuse)
    assert type(blob_error(GenericError("error sending request"), "store a picture")) is BlobStoreExhaustedError
    assert type(blob_error(answered(503), "store a picture")) is BlobStoreError
