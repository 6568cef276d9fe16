"""Errors of S3 are domain errors that say what to mend, and none looks like a missing picture."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.rescue.rescue_folder import RescueFolder
from pixyproxy.adapters.s3.blob_maintenance import S3BlobMaintenance
from pixyproxy.adapters.s3.blob_store import S3BlobStore
from pixyproxy.adapters.s3.bucket import MARKER, S3Location
from pixyproxy.domain.errors import BlobStoreError, BlobStoreFullError
from pixyproxy.domain.image import new_guid
from tests.fixtures.s3.fault_proxy import Exchange, FaultProxy
from tests.fixtures.s3.harness import S3Harness
from tests.fixtures.s3.seaweedfs import S3Server


@pytest.fixture
def harness(s3_server: S3Server, fault_proxy: FaultProxy, s3_prefix: str, tmp_path: Path) -> S3Harness:
    return S3Harness(s3_server, fault_proxy, s3_prefix, tmp_path / "rescue")


@pytest.fixture
async def store(harness: S3Harness) -> AsyncIterator[S3BlobStore]:
    store = harness.store()
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda location: replace(location, bucket="no-such-bucket"), "there is no such bucket (S3_BUCKET)"),
        (lambda location: replace(location, secret_access_key="wrong"), "the secret does not belong to the access key"),
        (lambda location: replace(location, access_key_id="wrong"), "S3 does not know the access key"),
        (lambda location: replace(location, endpoint_url="http://127.0.0.1:1"), "S3 cannot be reached"),
    ],
    ids=["bucket", "secret", "key", "endpoint"],
)
async def test_a_store_that_is_configured_wrongly_cannot_be_opened(
    harness: S3Harness, change: Callable[[S3Location], S3Location], reason: str, tmp_path: Path
) -> None:
    store = S3BlobStore(change(harness.location(harness.server.url)), RescueFolder(tmp_path / "rescue"))
    with pytest.raises(BlobStoreError) as caught:
        await store.open()
    assert type(caught.value) is BlobStoreError
    assert reason in caught.value.message
    assert harness.server.secret not in caught.value.message
    await store.close()


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "RequestTimeTooSkewed", "the clock of this machine is wrong"),
        (403, "AccessDenied", "the credentials lack the permission"),
        (403, "Unheard0f", "S3 refuses the credentials, or the clock of this machine is wrong"),
        (400, "ExpiredToken", "the credentials have expired"),
        (400, "AuthorizationHeaderMalformed", "S3_REGION is not the region of the bucket"),
        (503, "SlowDown", "asks for fewer requests"),
        (500, "InternalError", "S3 answers 500 InternalError"),
        (418, "<script>", "S3 answers 418."),
    ],
)
async def test_every_method_says_why_s3_refuses(
    store: S3BlobStore, harness: S3Harness, status: int, code: str, reason: str
) -> None:
    guid = new_guid()
    await store.put(guid, b"bytes", {})
    before = harness.contents()
    with harness.proxy.failing(lambda exchange: exchange.answer(status, code)):
        for call in (
            store.put(guid, b"other", {}),
            store.read(guid, size=5),
            store.read_sidecar(guid),
            store.replace_sidecar(guid, {}),
            store.delete(guid),
            store.check_writable(),
            store.identity(),
        ):
            with pytest.raises(BlobStoreError) as caught:
                await call
            assert type(caught.value) is BlobStoreError
            # A response to HEAD has no body, and so no code.
            assert reason in caught.value.message or "HEAD" in str(caught.value.__cause__)
    assert harness.contents() == before


async def test_a_full_bucket_is_one_whatever_its_server_calls_it(store: S3BlobStore, harness: S3Harness) -> None:
    guid = new_guid()
    for status, code in ((507, ""), (507, "XMinioStorageFull"), (403, "QuotaExceeded")):

        def refuse(exchange: Exchange, status: int = status, code: str = code) -> None:
            if exchange.method == "PUT":
                exchange.answer(status, code)

        with harness.proxy.failing(refuse), pytest.raises(BlobStoreFullError):
            await store.put(guid, b"bytes", {})
    assert harness.keys() == []


async def test_a_bucket_that_vanishes_is_not_an_empty_one(store: S3BlobStore, harness: S3Harness) -> None:
    maintenance = S3BlobMaintenance(harness.location(), RescueFolder(harness.rescue_folder))
    await maintenance.open()
    guid = new_guid()
    await store.put(guid, b"bytes", {})
    with harness.proxy.failing(lambda exchange: exchange.answer(404, "NoSuchBucket")):
        for call in (
            store.read(guid, size=5),
            store.read_sidecar(guid),
            store.put(guid, b"bytes", {}),
            store.delete(guid),
            maintenance.sizes([guid]),
            maintenance.quarantine(guid),
            anext(maintenance.walk()),
        ):
            with pytest.raises(BlobStoreError, match="no such bucket") as caught:
                await call
            assert type(caught.value) is BlobStoreError
    await maintenance.close()
    assert harness.image(guid) == b"bytes"


async def test_a_marker_without_an_identity_is_an_error(harness: S3Harness) -> None:
    harness.set(MARKER, b"no identity")
    with pytest.raises(BlobStoreError, match="does not begin with an identity"):
        await harness.store().open()


async def test_a_download_that_breaks_off_once_goes_on_where_it_was(store: S3BlobStore, harness: S3Harness) -> None:
    guid, data = new_guid(), bytes(range(256)) * 10_000
    await store.put(guid, data, {})
    cut = iter([1_000_000, 1_000_001])
    with harness.proxy.failing(lambda exchange: exchange.break_off(next(cut, len(data)))):
        async with await store.read(guid, size=len(data)) as reader:
            assert b"".join([piece async for piece in reader]) == data


async def test_a_download_that_breaks_off_again_and_again_is_an_error(store: S3BlobStore, harness: S3Harness) -> None:
    guid, size = new_guid(), 3 * 1024 * 1024
    await store.put(guid, bytes(size), {})
    with harness.proxy.failing(lambda exchange: exchange.break_off(1000)):
        async with await store.read(guid, size=size) as reader:
            with pytest.raises(BlobStoreError):
                async for _ in reader:
                    pass


async def test_what_others_keep_below_the_prefix_is_no_picture(store: S3BlobStore, harness: S3Harness) -> None:
    maintenance = S3BlobMaintenance(harness.location(), RescueFolder(harness.rescue_folder))
    await maintenance.open()
    guid = new_guid()
    await store.put(guid, b"bytes", {})
    for key in ("readme.txt", "ab/readme.txt", f"ab/cd/{guid}.bin", f"{guid[:2]}/{guid[2:4]}/{guid}.txt", "zz/x/y"):
        harness.set(key, b"else")
    assert [blob.guid async for blob in maintenance.walk()] == [guid]
    await maintenance.close()
