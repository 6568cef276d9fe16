"""Maintenance of the blob store on S3 keeps the port's contract."""

from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.rescue.rescue_folder import RescueFolder
from pixyproxy.adapters.s3.blob_maintenance import S3BlobMaintenance
from tests.conformance.contracts.blob_maintenance import BlobMaintenanceContract, BlobMaintenanceHarness
from tests.fixtures.s3.fault_proxy import FaultProxy
from tests.fixtures.s3.harness import S3Harness
from tests.fixtures.s3.seaweedfs import S3Server


class S3BlobMaintenanceHarness(S3Harness, BlobMaintenanceHarness):
    tick_s = 1.1

    def maintenance(self) -> S3BlobMaintenance:
        return S3BlobMaintenance(self.location(), RescueFolder(self.rescue_folder))

    def plant_aside(self, guid: str, number: int, image: bytes | None, sidecar: bytes | None) -> None:
        self.rescue_folder.mkdir(exist_ok=True)
        for suffix, data in ((".bin", image), (".json", sidecar)):
            path = self.rescue_folder / f"{guid}.{number}{suffix}"
            if data is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(data)

    def plant_debris(self, guid: str, data: bytes) -> None:
        pytest.skip("S3 stores an object whole or not at all")

    def place(self, guid: str) -> tuple[bytes | None, bytes | None]:
        return self.image(guid), self.sidecar(guid)

    def quarantined(self, where: str) -> tuple[bytes | None, bytes | None]:
        assert where.startswith("quarantine/")
        stem = where.rpartition(".")[0]
        return self.get(f"{stem}.bin"), self.get(f"{stem}.json")

    def aside(self) -> list[bytes]:
        return [path.read_bytes() for path in self.rescued_files()]


class TestS3BlobMaintenance(BlobMaintenanceContract):
    adapter = S3BlobMaintenance

    @pytest.fixture
    def harness(
        self, s3_server: S3Server, fault_proxy: FaultProxy, s3_prefix: str, tmp_path: Path
    ) -> S3BlobMaintenanceHarness:
        return S3BlobMaintenanceHarness(s3_server, fault_proxy, s3_prefix, tmp_path / "rescue")
