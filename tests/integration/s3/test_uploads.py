"""Uploads of pictures when S3 loses answers, is overloaded, refuses, or has not what it acknowledged."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pixyproxy.adapters.filesystem.rescue.rescue_folder import RescueFolder
from pixyproxy.adapters.s3.blob_maintenance import S3BlobMaintenance
from pixyproxy.adapters.s3.blob_store import S3BlobStore
from pixyproxy.adapters.s3.writer import MAX_PICTURE_BYTES
from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.domain.image import new_guid
from tests.fixtures.s3.fault_proxy import Exchange, FaultProxy
from tests.fixtures.s3.harness import S3Harness
from tests.fixtures.s3.seaweedfs import S3Server

DATA = b"\x89PNG a picture that was paid for"


def sidecar_of(guid: str, data: bytes = DATA) -> dict[str, Any]:
    return {
        "guid": guid,
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "media_type": "image/png",
        "filename": "a-duck-äöü.png",
    }


@pytest.fixture
def harness(s3_server: S3Server, fault_proxy: FaultProxy, s3_prefix: str, tmp_path: Path) -> S3Harness:
    return S3Harness(s3_server, fault_proxy, s3_prefix, tmp_path / "rescue")


@pytest.fixture
async def store(harness: S3Harness) -> AsyncIterator[S3BlobStore]:
    store = harness.store()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def maintenance(harness: S3Harness) -> AsyncIterator[S3BlobMaintenance]:
    maintenance = S3BlobMaintenance(harness.location(), RescueFolder(harness.rescue_folder))
    await maintenance.open()
    yield maintenance
    await maintenance.close()


class Uploads:
    """A fault of the first `times` uploads of objects whose key ends so."""

    def __init__(self, fault: Callable[[Exchange], object], times: int = 1000, suffix: str = ".bin") -> None:
        self._fault = fault
        self._left = times
        self._suffix = suffix
        self.seen = 0

    def __call__(self, exchange: Exchange) -> None:
        if exchange.method == "PUT" and exchange.path.endswith(self._suffix):
            self.seen += 1
            if self._left > 0:
                self._left -= 1
                self._fault(exchange)


def overloaded(exchange: Exchange) -> None:
    exchange.answer(503, "SlowDown")


def in_conflict(exchange: Exchange) -> None:
    exchange.answer(409, "ConditionalRequestConflict")


def acknowledged_only(exchange: Exchange) -> None:
    exchange.answer(200)


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (Exchange.lose_answer, 1),
        (Exchange.lose_answer, 2),
        (Exchange.lose_answer, 1000),
        (Exchange.lose_request, 1),
        (Exchange.lose_request, 2),
        (overloaded, 1),
        (overloaded, 2),
        (in_conflict, 1),
        (in_conflict, 2),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_an_upload_that_fails_at_first_is_stored_once(
    store: S3BlobStore, harness: S3Harness, fault: Callable[[Exchange], object], times: int
) -> None:
    guid, uploads = new_guid(), Uploads(fault, times)
    with harness.proxy.failing(uploads):
        await store.put(guid, DATA, sidecar_of(guid))
    assert uploads.seen > 1
    assert harness.image(guid) == DATA
    assert await store.read_sidecar(guid) == sidecar_of(guid)
    assert len(harness.keys()) == 2


@pytest.mark.parametrize("fault", [Exchange.lose_request, overloaded, in_conflict, acknowledged_only])
async def test_an_upload_that_fails_for_good_is_an_error_and_can_be_rescued(
    store: S3BlobStore, maintenance: S3BlobMaintenance, harness: S3Harness, fault: Callable[[Exchange], object]
) -> None:
    guid, uploads = new_guid(), Uploads(fault)
    with harness.proxy.failing(uploads), pytest.raises(BlobStoreError) as caught:
        await store.put(guid, DATA, sidecar_of(guid))
    assert type(caught.value) is BlobStoreError
    assert ("overloaded" in caught.value.message) == (fault is overloaded)
    assert uploads.seen <= 9
    assert harness.keys() == []
    place = await store.rescue(guid, DATA, sidecar_of(guid))
    assert Path(place).parent == harness.rescue_folder
    assert await maintenance.rescued() == {guid}
    assert await maintenance.adopt_rescued(guid) is True
    assert harness.image(guid) == DATA
    assert await store.read_sidecar(guid) == sidecar_of(guid)
    assert harness.rescued_files() == []


@pytest.mark.parametrize("fault", [Exchange.lose_request, Exchange.lose_answer, overloaded])
async def test_bytes_whose_sidecar_is_not_stored_are_rescued_and_adopted_where_they_are(
    store: S3BlobStore, maintenance: S3BlobMaintenance, harness: S3Harness, fault: Callable[[Exchange], object]
) -> None:
    guid = new_guid()
    with harness.proxy.failing(Uploads(fault, suffix=".json")), pytest.raises(BlobStoreError):
        await store.put(guid, DATA, sidecar_of(guid))
    assert harness.image(guid) == DATA
    await store.rescue(guid, DATA, sidecar_of(guid))
    assert await maintenance.adopt_rescued(guid) is True
    assert await store.read_sidecar(guid) == sidecar_of(guid)
    assert harness.rescued_files() == []


async def test_a_sidecar_that_cannot_be_stored_again_leaves_the_picture(store: S3BlobStore, harness: S3Harness) -> None:
    guid = new_guid()
    await store.put(guid, DATA, sidecar_of(guid))
    before = harness.contents()
    for data in (DATA, b"other bytes"):
        with harness.proxy.failing(Uploads(overloaded, suffix=".json")), pytest.raises(BlobStoreError):
            await store.put(guid, data, sidecar_of(guid, data))
        assert harness.contents() == before
    await store.put(guid, b"other bytes", sidecar_of(guid, b"other bytes"))
    assert harness.image(guid) == b"other bytes"


async def test_other_bytes_that_are_acknowledged_and_not_there_are_an_error(
    store: S3BlobStore, harness: S3Harness
) -> None:
    guid = new_guid()
    await store.put(guid, DATA, sidecar_of(guid))

    def acknowledge_overwriting(exchange: Exchange) -> None:
        if "if-none-match" not in exchange.headers:
            exchange.answer(200)

    with harness.proxy.failing(Uploads(acknowledge_overwriting)), pytest.raises(BlobStoreError, match="does not have"):
        await store.put(guid, b"other bytes", sidecar_of(guid, b"other bytes"))
    assert harness.image(guid) == DATA


async def test_a_picture_that_is_too_large_for_one_request_is_an_error(store: S3BlobStore, harness: S3Harness) -> None:
    guid = new_guid()
    before = len(harness.proxy.requests)
    with pytest.raises(BlobStoreError, match=str(MAX_PICTURE_BYTES)):
        await store.put(guid, bytes(MAX_PICTURE_BYTES + 1), sidecar_of(guid))
    assert len(harness.proxy.requests) == before


async def test_a_large_picture_is_one_upload(store: S3BlobStore, harness: S3Harness) -> None:
    guid, data, uploads = new_guid(), bytes(20 * 1024 * 1024), Uploads(Exchange.pass_on)
    with harness.proxy.failing(uploads):
        await store.put(guid, data, sidecar_of(guid, data))
    assert uploads.seen == 1
    assert harness.image(guid) == data


async def test_bytes_come_before_their_sidecar_and_are_looked_at(store: S3BlobStore, harness: S3Harness) -> None:
    guid = new_guid()
    before = len(harness.proxy.requests)
    await store.put(guid, DATA, sidecar_of(guid))
    requests = [(method, path.rpartition(".")[2]) for method, path in harness.proxy.requests[before:] if guid in path]
    assert requests == [("PUT", "bin"), ("HEAD", "bin"), ("PUT", "json")]


async def test_media_type_and_file_name_are_stored_with_the_bytes(store: S3BlobStore, harness: S3Harness) -> None:
    guid = new_guid()
    await store.put(guid, DATA, sidecar_of(guid))
    url = await store.address(guid, size=len(DATA))
    assert url is not None
    headers = httpx.get(url, trust_env=False).headers
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"] == (
        "inline; filename=\"a-duck-___.png\"; filename*=UTF-8''a-duck-%C3%A4%C3%B6%C3%BC.png"
    )


@pytest.mark.parametrize("media_type", [None, 5, "", "image/png\r\nx-evil: 1", "bild/ä", "\ud800"])
async def test_a_media_type_that_no_header_can_have_is_not_sent(
    store: S3BlobStore, harness: S3Harness, media_type: object
) -> None:
    guid = new_guid()
    await store.put(guid, DATA, {"media_type": media_type, "filename": media_type})
    url = await store.address(guid, size=len(DATA))
    assert url is not None
    headers = httpx.get(url, trust_env=False).headers
    assert headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in headers


async def test_quarantined_bytes_are_removed_only_when_their_copy_is_whole(
    store: S3BlobStore, maintenance: S3BlobMaintenance, harness: S3Harness
) -> None:
    guid = new_guid()
    await store.put(guid, DATA, sidecar_of(guid))
    before = harness.contents()

    def report_success(exchange: Exchange) -> None:
        if "x-amz-copy-source" in exchange.headers:
            exchange.answer(200)

    with harness.proxy.failing(report_success), pytest.raises(BlobStoreError, match="has not copied it"):
        await maintenance.quarantine(guid)
    assert harness.contents() == before
    assert (await maintenance.quarantine(guid)).startswith(f"quarantine/{guid}/")
    assert harness.contents() == before


async def test_a_write_goes_on_when_its_caller_is_cancelled(store: S3BlobStore, harness: S3Harness) -> None:
    guid = new_guid()
    task = asyncio.create_task(store.put(guid, DATA, sidecar_of(guid)))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    assert harness.image(guid) == DATA
    assert json.loads(harness.sidecar(guid) or b"") == sidecar_of(guid)
