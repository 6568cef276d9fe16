"""The thumbnail store on S3 keeps the port's contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pixyproxy.adapters.s3.thumbnail_store import S3ThumbnailStore
from tests.conformance.contracts.thumbnail_store import ThumbnailStoreContract, ThumbnailStoreHarness
from tests.fixtures.s3.fault_proxy import FaultProxy
from tests.fixtures.s3.harness import S3Harness, refuse_uploads
from tests.fixtures.s3.seaweedfs import S3Server


class S3ThumbnailHarness(S3Harness, ThumbnailStoreHarness):
    full_proxy: FaultProxy

    def store(self) -> S3ThumbnailStore:  # type: ignore[override]
        return S3ThumbnailStore(self.location())

    def full_store(self) -> S3ThumbnailStore:
        return S3ThumbnailStore(self.location(self.full_proxy.url))

    def contents(self) -> list[bytes]:  # type: ignore[override]
        return list(super().contents().elements())


class TestS3ThumbnailStore(ThumbnailStoreContract):
    adapter = S3ThumbnailStore

    @pytest.fixture
    def harness(
        self, s3_server: S3Server, fault_proxy: FaultProxy, s3_prefix: str, tmp_path: Path
    ) -> Iterator[S3ThumbnailHarness]:
        harness = S3ThumbnailHarness(s3_server, fault_proxy, s3_prefix, tmp_path / "rescue")
        with FaultProxy(s3_server.url) as full, full.failing(refuse_uploads):
            harness.full_proxy = full
            yield harness
