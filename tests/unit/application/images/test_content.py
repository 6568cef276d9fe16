"""Checksums of content: bytes are hashed when read, unless the same version was hashed before."""

import hashlib
from collections.abc import Hashable

import pytest

from pixyproxy.adapters.memory.blob_store import MemoryBlobReader, MemoryBlobStore
from pixyproxy.application.images import content as content_module
from pixyproxy.application.images.content import ChecksumCache, ImageContent
from pixyproxy.domain.errors import BlobCorruptError
from pixyproxy.domain.image import new_guid
from pixyproxy.ports.blob_store import BlobReader
from tests.conformance.contracts.blob_store import LARGE, read_all
from tests.fixtures.images import make_image


class Store(MemoryBlobStore):
    """A store of one blob, with the version that the test sets."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self.version: Hashable = 1

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        return MemoryBlobReader(self.data[start:stop], self.version)


class Sums:
    """A counter of the hashes that are computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        monkeypatch.setattr(content_module.hashlib, "sha256", self._sha256)

    def _sha256(self) -> "hashlib._Hash":
        self.begun += 1
        return hashlib.new("sha256")


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Sums:
    return Sums(monkeypatch)


def content_of(data: bytes, store: Store, checksums: ChecksumCache) -> ImageContent:
    image = make_image(size_bytes=len(data), sha256=hashlib.new("sha256", data).hexdigest())
    return ImageContent.of(image, store, checksums)


@pytest.mark.parametrize("data", [b"a duck", LARGE], ids=["one piece", "pieces"])
async def test_an_unchanged_blob_is_hashed_once(data: bytes, sums: Sums) -> None:
    store, checksums = Store(data), ChecksumCache()
    content = content_of(data, store, checksums)
    for _ in range(3):
        assert await read_all(await content.read()) == data
    assert sums.begun == 1


@pytest.mark.parametrize("data", [b"a duck", LARGE], ids=["one piece", "pieces"])
async def test_a_new_version_is_hashed_again(data: bytes, sums: Sums) -> None:
    store, checksums = Store(data), ChecksumCache()
    content = content_of(data, store, checksums)
    await read_all(await content.read())
    store.data, store.version = data[:-1] + b"?", 2
    for _ in range(2):
        with pytest.raises(BlobCorruptError):
            await read_all(await content.read())
    store.data, store.version = data, 3
    assert await read_all(await content.read()) == data
    assert sums.begun == 4


async def test_without_a_version_every_read_is_hashed(sums: Sums) -> None:
    store, checksums = Store(b"a duck"), ChecksumCache()
    store.version = None
    content = content_of(b"a duck", store, checksums)
    for _ in range(3):
        await read_all(await content.read())
    store.data = b"a dead"
    with pytest.raises(BlobCorruptError):
        await content.read_whole()
    assert sums.begun == 4


async def test_a_partial_read_does_not_fill_the_cache(sums: Sums) -> None:
    store, checksums = Store(LARGE), ChecksumCache()
    content = content_of(LARGE, store, checksums)
    async with await content.read() as reader:
        await anext(reader)
    await read_all(await content.read(0, len(LARGE) - 1))
    assert sums.begun == 1
    await read_all(await content.read())
    assert sums.begun == 2


async def test_another_checksum_is_compared_again(sums: Sums) -> None:
    store, checksums = Store(b"a duck"), ChecksumCache()
    await read_all(await content_of(b"a duck", store, checksums).read())
    with pytest.raises(BlobCorruptError):
        await content_of(b"a swan", store, checksums).read_whole()


async def test_without_a_shared_cache_every_read_is_hashed(sums: Sums) -> None:
    store = Store(b"a duck")
    content = content_of(b"a duck", store, ChecksumCache())
    for _ in range(2):
        await read_all(await ImageContent.of(content.image, store, ChecksumCache()).read())
    assert sums.begun == 2


def test_the_cache_drops_the_least_recently_used() -> None:
    checksums = ChecksumCache(size=3)
    guids = [new_guid() for _ in range(4)]
    for guid in guids[:3]:
        checksums.add(guid, "sum", 1)
    assert checksums.contains(guids[0], "sum", 1)
    checksums.add(guids[3], "sum", 1)
    assert [checksums.contains(guid, "sum", 1) for guid in guids] == [True, False, True, True]
    checksums.add(guids[0], "sum", None)
    assert not checksums.contains(guids[0], "sum", None)
    assert not checksums.contains(guids[0], "other", 1)
    assert not checksums.contains(guids[0], "sum", 2)
