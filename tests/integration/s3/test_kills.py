"""The S3 server is killed again and again while pictures are stored: what was acknowledged is there, and whole."""

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from pixyproxy.adapters.filesystem.rescue.rescue_folder import RescueFolder
from pixyproxy.adapters.s3.blob_maintenance import S3BlobMaintenance
from pixyproxy.adapters.s3.blob_store import S3BlobStore
from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.domain.image import new_guid
from tests.fixtures.s3.seaweedfs import PATIENCE_S, SeaweedFS

T = TypeVar("T")
ROUNDS = 4
SIZE = 300_000


async def in_time(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return the result of an attempt that may fail for a while: a server that was killed finds its volumes again."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await attempt()
        except BlobStoreError:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.2)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.slow
async def test_no_picture_is_lost_when_the_server_is_killed(private_s3: SeaweedFS, tmp_path: Path) -> None:
    location, rescue = private_s3.server.location("kills"), tmp_path / "rescue"
    store = S3BlobStore(location, RescueFolder(rescue))
    await store.open()
    acknowledged: dict[str, bytes] = {}
    rescued: dict[str, bytes] = {}

    async def make(end: float) -> None:
        while asyncio.get_running_loop().time() < end:
            guid, data = new_guid(), random.randbytes(SIZE)
            sidecar = {"guid": guid, "size_bytes": SIZE, "sha256": sha256_of(data)}
            try:
                await store.put(guid, data, sidecar)
                acknowledged[guid] = data
            except BlobStoreError:
                await store.rescue(guid, data, sidecar)
                rescued[guid] = data

    for _ in range(ROUNDS):
        end = asyncio.get_running_loop().time() + 1.5
        makers = [asyncio.create_task(make(end)) for _ in range(4)]
        await asyncio.sleep(random.uniform(0.2, 1))
        await asyncio.to_thread(private_s3.kill)
        await asyncio.gather(*makers)
        await asyncio.to_thread(private_s3.start)
    assert acknowledged
    assert rescued
    maintenance = S3BlobMaintenance(location, RescueFolder(rescue))
    await maintenance.open()
    for guid in rescued:
        assert await in_time(partial(maintenance.adopt_rescued, guid))
    for guid, data in (acknowledged | rescued).items():
        await in_time(partial(maintenance.verify, guid, size=SIZE, sha256=sha256_of(data)))
        assert (await store.read_sidecar(guid))["guid"] == guid
    await maintenance.close()
    await store.close()
