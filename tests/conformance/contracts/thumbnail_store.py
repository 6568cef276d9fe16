"""The contract of every ThumbnailStore.

An adapter's suite subclasses `ThumbnailStoreContract` and supplies the fixture `harness`, which is the storage as seen
past the adapter.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest

from pixyproxy.domain.errors import BlobStoreError, BlobStoreFullError
from pixyproxy.domain.image import new_guid
from pixyproxy.ports.thumbnail_store import ThumbnailStore
from tests.conformance.contracts.blob_store import LARGE, NO_GUIDS, assert_at_most, open_files, own_threads

NO_NAMES = (
    "",
    "x",
    ".webp",
    "a.",
    "../a.webp",
    "a/b.webp",
    "A.webp",
    "a.webp\n",
    "a\x00.webp",
    "ä.webp",
    "a.b.webp",
    "a.webp2",
    "x" * 101 + ".webp",
    "a.abcdefghijk",
)


class ThumbnailStoreHarness(ABC):
    """One storage, with direct access that bypasses the adapter."""

    @abstractmethod
    def store(self) -> ThumbnailStore:
        """Return a new store on the storage, not opened yet."""

    @abstractmethod
    def full_store(self) -> ThumbnailStore:
        """Return a new store on the storage that finds no room for another byte."""

    @abstractmethod
    def cut_off(self) -> AbstractContextManager[None]:
        """Make the storage unreachable for a time; skips the test if it always is reachable."""

    @abstractmethod
    def contents(self) -> list[bytes]:
        """Return everything in the storage, temporary files too."""


class ThumbnailStoreContract:
    """One or more tests for each sentence of the port."""

    adapter: ClassVar[type[ThumbnailStore]]

    @pytest.fixture
    def harness(self, tmp_path: Path) -> ThumbnailStoreHarness:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    async def store(self, harness: ThumbnailStoreHarness, no_leaks: None) -> AsyncIterator[ThumbnailStore]:
        store = harness.store()
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def no_leaks(self) -> Iterator[None]:
        """Assert after the store is closed that no thread and no file is left."""
        threads, files = own_threads(), open_files()
        yield
        assert_at_most(threads, own_threads)
        assert_at_most(files, open_files)

    def test_subclasses_its_port(self, harness: ThumbnailStoreHarness) -> None:
        assert ThumbnailStore in self.adapter.__mro__
        assert type(harness.store()) is self.adapter

    # get and put

    async def test_a_thumbnail_is_returned_under_its_name_only(self, store: ThumbnailStore) -> None:
        guid, other = new_guid(), new_guid()
        await store.put(guid, "thumbnail-256.webp", LARGE)
        await store.put(guid, "x.b", b"")
        assert await store.get(guid, "thumbnail-256.webp") == LARGE
        assert await store.get(guid, "x.b") == b""
        assert await store.get(guid, "thumbnail-128.webp") is None
        assert await store.get(guid, "x.bin") is None
        assert await store.get(other, "thumbnail-256.webp") is None

    async def test_a_thumbnail_is_there_for_another_store(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, "a.webp", b"small")
        other = harness.store()
        await other.open()
        assert await other.get(guid, "a.webp") == b"small"
        await other.close()

    async def test_a_thumbnail_replaces_an_older_one(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, "a.webp", b"the old one")
        await store.put(guid, "a.webp", b"new")
        assert await store.get(guid, "a.webp") == b"new"
        assert harness.contents() == [b"new"]

    async def test_a_reader_sees_all_of_the_old_or_all_of_the_new(self, store: ThumbnailStore) -> None:
        guid, versions = new_guid(), [bytes([n]) * 300_000 for n in range(2)]
        await store.put(guid, "a.webp", versions[0])

        async def write() -> None:
            for n in range(20):
                await store.put(guid, "a.webp", versions[n % 2])

        writing = asyncio.create_task(write())
        while not writing.done():
            assert await store.get(guid, "a.webp") in versions
            await asyncio.sleep(0)
        await writing

    async def test_a_full_store_stores_no_thumbnail_and_loses_none(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, "a.webp", b"small")
        full = harness.full_store()
        await full.open()
        for name in ("a.webp", "b.webp"):
            with pytest.raises(BlobStoreFullError):
                await full.put(guid, name, b"larger than before")
        await full.close()
        assert harness.contents() == [b"small"]
        assert await store.get(guid, "a.webp") == b"small"

    # delete

    async def test_delete_removes_all_thumbnails_of_one_image(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness
    ) -> None:
        guid = new_guid()
        other = f"{guid[:-1]}{'0' if guid[-1] != '0' else '1'}"
        for one in (guid, other):
            await store.put(one, "a.webp", b"small")
            await store.put(one, "b.jpg", b"small")
        await store.delete(guid)
        assert await store.get(guid, "a.webp") is None
        assert await store.get(guid, "b.jpg") is None
        assert await store.get(other, "b.jpg") == b"small"
        assert len(harness.contents()) == 2

    async def test_deleting_no_thumbnails_is_no_error(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness
    ) -> None:
        guid = new_guid()
        await store.delete(guid)
        await store.put(guid, "a.webp", b"small")
        await store.delete(guid)
        await store.delete(guid)
        assert harness.contents() == []

    # walk

    async def test_a_walk_can_be_limited_to_two_digits(self, store: ThumbnailStore) -> None:
        guids = [f"{prefix}{new_guid()[4:]}" for prefix in ("0a00", "0aff", "0b00", "a000")]
        for guid in guids:
            await store.put(guid, "a.webp", b"small")
        for prefix, count in (("0a", 2), ("0b", 1), ("a0", 1), ("00", 0)):
            found = [guid async for guid in store.walk(prefix)]
            assert sorted(found) == sorted(guid for guid in guids if guid.startswith(prefix))
            assert len(found) == count

    async def test_walk_yields_each_guid_with_thumbnails_once(self, store: ThumbnailStore) -> None:
        assert await walked(store) == []
        guids = [new_guid() for _ in range(30)]
        for guid in guids:
            await store.put(guid, "a.webp", b"small")
            await store.put(guid, "b.jpg", b"small")
        assert await walked(store) == sorted(guids)
        await store.delete(guids[0])
        assert await walked(store) == sorted(guids[1:])

    # every method

    @pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
    async def test_an_invalid_name_is_refused(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness, name: str
    ) -> None:
        with pytest.raises(ValueError):
            await store.put(new_guid(), name, b"bytes")
        with pytest.raises(ValueError):
            await store.get(new_guid(), name)
        assert harness.contents() == []

    @pytest.mark.parametrize("guid", NO_GUIDS, ids=ascii)
    async def test_what_is_no_canonical_guid_is_refused(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness, guid: str
    ) -> None:
        for call in (store.put(guid, "a.webp", b"bytes"), store.get(guid, "a.webp"), store.delete(guid)):
            with pytest.raises(ValueError):
                await call
        assert harness.contents() == []

    async def test_an_outage_is_an_error_and_nothing_is_missing(
        self, store: ThumbnailStore, harness: ThumbnailStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, "a.webp", b"small")
        with harness.cut_off():
            for call in (
                store.put(guid, "b.webp", b"bytes"),
                store.get(guid, "a.webp"),
                store.get(guid, "b.webp"),
                store.delete(guid),
                walked(store),
            ):
                with pytest.raises(BlobStoreError):
                    await call
        assert harness.contents() == [b"small"]
        assert await store.get(guid, "a.webp") == b"small"

    # opening and closing

    async def test_making_a_store_touches_nothing(self, harness: ThumbnailStoreHarness, no_leaks: None) -> None:
        await harness.store().close()
        assert harness.contents() == []

    async def test_opening_again_after_closing_works(self, harness: ThumbnailStoreHarness, no_leaks: None) -> None:
        store, guid = harness.store(), new_guid()
        for n in range(3):
            await store.open()
            await store.put(guid, "a.webp", bytes([n]))
            assert await store.get(guid, "a.webp") == bytes([n])
            await store.close()
            await store.close()


async def walked(store: ThumbnailStore) -> list[str]:
    return sorted([guid async for guid in store.walk()])
