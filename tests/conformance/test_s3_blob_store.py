"""The blob store on S3 keeps the port's contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.rescue.rescue_folder import RescueFolder
from pixyproxy.adapters.s3.blob_store import S3BlobStore
from tests.conformance.contracts.blob_store import BlobStoreContract, BlobStoreHarness
from tests.fixtures.s3.fault_proxy import FaultProxy
from tests.fixtures.s3.harness import S3Harness, refuse_uploads
from tests.fixtures.s3.seaweedfs import S3Server


class S3BlobStoreHarness(S3Harness, BlobStoreHarness):
    full_proxy: FaultProxy

    def full_store(self) -> S3BlobStore:
        return S3BlobStore(self.location(self.full_proxy.url), RescueFolder(self.rescue_folder))

    def rescued(self, place: str) -> tuple[bytes, bytes]:
        return Path(place).read_bytes(), Path(place).with_suffix(".json").read_bytes()

    def at(self, location: str) -> bytes | None:
        raise AssertionError("it has no files")

    def settle(self, guid: str) -> None:
        """Every upload has another id."""

    def names(self) -> set[str]:
        return {*self.keys(), *(path.name for path in self.rescued_files())}


class TestS3BlobStore(BlobStoreContract):
    adapter = S3BlobStore

    @pytest.fixture
    def harness(
        self, s3_server: S3Server, fault_proxy: FaultProxy, s3_prefix: str, tmp_path: Path
    ) -> Iterator[S3BlobStoreHarness]:
        harness = S3BlobStoreHarness(s3_server, fault_proxy, s3_prefix, tmp_path / "rescue")
        with FaultProxy(s3_server.url) as full, full.failing(refuse_uploads):
            harness.full_proxy = full
            yield harness
