"""Which stored bytes are hashed on their way out: all but those that were found right and have not changed since."""

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
    """Hands out whatever bytes there are, under the version that a test says."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self.version: Hashable = 1

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        return MemoryBlobReader(self.data[start:stop], self.version)


class Sums:
    """Counts what is hashed."""

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
async def test_what_was_found_right_is_hashed_once(data: bytes, sums: Sums) -> None:
    store, checksums = Store(data), ChecksumCache()
    content = content_of(data, store, checksums)
    for _ in range(3):
        assert await read_all(await content.read()) == data
    assert sums.begun == 1


@pytest.mark.parametrize("data", [b"a duck", LARGE], ids=["one piece", "pieces"])
async def test_a_change_is_noticed_by_the_version(data: bytes, sums: Sums) -> None:
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


async def test_without_a_version_all_is_hashed(sums: Sums) -> None:
    store, checksums = Store(b"a duck"), ChecksumCache()
    store.version = None
    content = content_of(b"a duck", store, checksums)
    for _ in range(3):
        await read_all(await content.read())
    store.data = b"a dead"
    with pytest.raises(BlobCorruptError):
        await content.read_whole()
    assert sums.begun == 4


async def test_what_was_not_read_to_its_end_was_not_found_right(sums: Sums) -> None:
    store, checksums = Store(LARGE), ChecksumCache()
    content = content_of(LARGE, store, checksums)
    async with await content.read() as reader:
        await anext(reader)
    await read_all(await content.read(0, len(LARGE) - 1))
    assert sums.begun == 1
    await read_all(await content.read())
    assert sums.begun == 2


async def test_another_sum_is_another_question(sums: Sums) -> None:
    store, checksums = Store(b"a duck"), ChecksumCache()
    await read_all(await content_of(b"a duck", store, checksums).read())
    with pytest.raises(BlobCorruptError):
        await content_of(b"a swan", store, checksums).read_whole()


async def test_without_a_memory_all_is_hashed(sums: Sums) -> None:
    store = Store(b"a duck")
    content = content_of(b"a duck", store, ChecksumCache())
    for _ in range(2):
        await read_all(await ImageContent.of(content.image, store, ChecksumCache()).read())
    assert sums.begun == 2


def test_the_memory_is_bounded_and_forgets_what_was_not_asked_for_longest() -> None:
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
