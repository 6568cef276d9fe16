"""The contract of every BlobStore.

An adapter's suite subclasses `BlobStoreContract` and supplies the fixture `harness`,
which is the storage as seen past the adapter.
"""

import asyncio
import gc
import inspect
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from pixyproxy.domain.errors import (
    BlobCorruptError,
    BlobMissingError,
    BlobStoreError,
    BlobStoreFullError,
    StoreIdentityError,
)
from pixyproxy.domain.image import new_guid
from pixyproxy.ports.blob_store import BlobReader, BlobStore

SIDECAR: dict[str, Any] = {
    "prompt": "a duck 🦆, \x00 and \ud800",
    "parameters": {"size": "1x1", "list": [1, 2.5, None, True]},
    "usage": None,
}
LARGE = bytes(range(256)) * 20_001  # 5,120,256 bytes: several pieces, the last a short one

GUID = "0b9f1c2d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"
NO_GUIDS = (
    "",
    "x",
    "../../etc/passwd",
    "aside",
    GUID.upper(),
    GUID.replace("-", ""),
    f"{{{GUID}}}",
    f"{GUID}\n",
    f"{GUID}\x00",
    f"urn:uuid:{GUID}",
    "0b9f1c2d-0000-4000-8000-00000000000\uff10",
)


class BlobStoreHarness(ABC):
    """One storage, with direct access that bypasses the adapter."""

    @abstractmethod
    def store(self) -> BlobStore:
        """Return a new store on the storage, not opened yet."""

    @abstractmethod
    def full_store(self) -> BlobStore:
        """Return a new store on the storage that finds no room for another byte."""

    @abstractmethod
    def cut_off(self) -> AbstractContextManager[None]:
        """Make the storage unreachable for a time; skips the test if it always is reachable."""

    @abstractmethod
    def image(self, guid: str) -> bytes | None:
        """Return the bytes stored under a GUID."""

    @abstractmethod
    def sidecar(self, guid: str) -> bytes | None:
        """Return the text stored beside them."""

    @abstractmethod
    def plant(self, guid: str, image: bytes | None, sidecar: bytes | None) -> None:
        """Store something there; None removes it."""

    @abstractmethod
    def rescued(self, place: str) -> tuple[bytes, bytes]:
        """Return bytes and sidecar at the location that `rescue` returned."""

    @abstractmethod
    def at(self, location: str) -> bytes | None:
        """Return the bytes at a location that the store returned; None if it has no files."""

    @abstractmethod
    def settle(self, guid: str) -> None:
        """Wait until every later change to a stored image gets another version."""

    @abstractmethod
    def exchange(self, identity: str | None) -> None:
        """Make the storage look like another one, which carries this identity or none."""

    @abstractmethod
    def names(self) -> set[str]:
        """Return the names of all files in the storage, temporary ones too."""


class BlobStoreContract:
    """One or more tests for each sentence of the port."""

    adapter: ClassVar[type[BlobStore]]

    @pytest.fixture
    def harness(self, tmp_path: Path) -> BlobStoreHarness:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    async def store(self, harness: BlobStoreHarness, no_leaks: None) -> AsyncIterator[BlobStore]:
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

    def test_subclasses_its_port(self, harness: BlobStoreHarness) -> None:
        assert BlobStore in self.adapter.__mro__
        assert type(harness.store()) is self.adapter

    # put

    async def test_put_stores_the_exact_bytes(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid, data = new_guid(), bytes(range(256))
        await store.put(guid, data, SIDECAR)
        assert harness.image(guid) == data
        assert harness.sidecar(guid) is not None

    @pytest.mark.parametrize("data", [b"", b"\x00", b"one", LARGE], ids=["empty", "nul", "short", "large"])
    async def test_stored_bytes_and_sidecar_are_read_back(self, store: BlobStore, data: bytes) -> None:
        guid = new_guid()
        await store.put(guid, data, SIDECAR)
        assert await read_all(await store.read(guid, size=len(data))) == data
        assert await store.read_sidecar(guid) == SIDECAR

    async def test_stored_bytes_are_there_for_another_store(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", SIDECAR)
        other = harness.store()
        await other.open()
        assert await read_all(await other.read(guid, size=5)) == b"bytes"
        assert await other.read_sidecar(guid) == SIDECAR
        await other.close()

    async def test_put_leaves_nothing_but_the_blob(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        before = harness.names()
        guid = new_guid()
        await store.put(guid, b"bytes", SIDECAR)
        added = harness.names() - before
        assert 1 <= len(added) <= 2
        assert all(guid in name for name in added)

    async def test_put_again_replaces_both(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid = new_guid()
        await store.put(guid, b"the old bytes", {"version": 1})
        names = harness.names()
        await store.put(guid, b"new", {"version": 2})
        assert harness.image(guid) == b"new"
        assert await store.read_sidecar(guid) == {"version": 2}
        assert harness.names() == names

    async def test_blobs_do_not_mix(self, store: BlobStore) -> None:
        guids = [new_guid() for _ in range(40)]
        await asyncio.gather(*(store.put(guid, guid.encode(), {"guid": guid}) for guid in guids))
        for guid in guids:
            assert await read_all(await store.read(guid, size=36)) == guid.encode()
            assert await store.read_sidecar(guid) == {"guid": guid}

    async def test_concurrent_puts_of_one_guid_leave_one_whole(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid = new_guid()
        await asyncio.gather(*(store.put(guid, bytes([n]) * 100_000, {"n": n}) for n in range(12)))
        data = await read_all(await store.read(guid, size=100_000))
        assert data == bytes([(await store.read_sidecar(guid))["n"]]) * 100_000
        assert all(guid in name for name in harness.names())
        assert len(harness.names()) <= 2

    async def test_a_reader_sees_all_of_the_old_or_all_of_the_new(self, store: BlobStore) -> None:
        guid, size = new_guid(), 300_000
        await store.put(guid, b"0" * size, {})

        async def write() -> None:
            for n in range(1, 9):
                await store.put(guid, str(n).encode() * size, {})

        writing = asyncio.create_task(write())
        seen = set()
        while not writing.done():
            data = await read_all(await store.read(guid, size=size))
            assert len(set(data)) == 1
            seen.add(data[0])
            await asyncio.sleep(0)
        await writing
        assert seen

    async def test_the_sidecar_is_a_copy(self, store: BlobStore) -> None:
        guid, sidecar = new_guid(), {"tags": ["one"]}
        await store.put(guid, b"bytes", sidecar)
        sidecar["tags"].append("two")
        (await store.read_sidecar(guid))["tags"].append("three")
        assert await store.read_sidecar(guid) == {"tags": ["one"]}

    async def test_a_full_store_raises_and_leaves_nothing(self, harness: BlobStoreHarness, no_leaks: None) -> None:
        full, guid, before = harness.full_store(), new_guid(), harness.names()
        await full.open()
        with pytest.raises(BlobStoreFullError):
            await full.put(guid, b"bytes" * 1000, SIDECAR)
        assert harness.names() == before
        with pytest.raises(BlobMissingError):
            await full.read(guid, size=5000)
        await full.close()

    async def test_a_full_store_leaves_the_older_blob(
        self, store: BlobStore, harness: BlobStoreHarness, no_leaks: None
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"old", {"version": 1})
        full, before = harness.full_store(), harness.names()
        await full.open()
        with pytest.raises(BlobStoreFullError):
            await full.put(guid, b"new" * 1000, {"version": 2})
        await full.close()
        assert harness.names() == before
        assert await read_all(await store.read(guid, size=3)) == b"old"
        assert await store.read_sidecar(guid) == {"version": 1}

    # check_writable

    async def test_a_store_with_room_is_writable_and_the_check_leaves_nothing(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        before = harness.names()
        await store.check_writable()
        assert harness.names() == before

    async def test_a_full_store_is_not_writable(self, harness: BlobStoreHarness, no_leaks: None) -> None:
        full = harness.full_store()
        await full.open()
        before = harness.names()
        with pytest.raises(BlobStoreFullError):
            await full.check_writable()
        assert harness.names() == before
        await full.close()

    # rescue

    async def test_rescued_bytes_are_at_the_returned_location(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid = new_guid()
        place = await store.rescue(guid, b"no picture", SIDECAR)
        data, sidecar = harness.rescued(place)
        assert data == b"no picture"
        assert b"a duck" in sidecar

    async def test_rescued_bytes_are_not_served(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.rescue(guid, b"no picture", SIDECAR)
        with pytest.raises(BlobMissingError):
            await store.read(guid, size=10)
        with pytest.raises(BlobMissingError):
            await store.read_sidecar(guid)

    async def test_a_rescue_never_overwrites(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid = new_guid()
        await store.put(guid, b"served", {})
        contents = [str(n).encode() for n in range(6)]
        places = await asyncio.gather(*(store.rescue(guid, data, {"is": data.decode()}) for data in contents))
        assert len(set(places)) == len(contents)
        for place, data in zip(places, contents, strict=True):
            kept, sidecar = harness.rescued(place)
            assert kept == data
            assert data in sidecar
        assert harness.image(guid) == b"served"

    # read

    @pytest.mark.parametrize("size", [1, 300_000, len(LARGE)])
    async def test_ranges(self, store: BlobStore, size: int) -> None:
        guid, data = new_guid(), LARGE[-size:]
        await store.put(guid, data, {})
        middle = size // 2
        for start, stop in (
            (0, None),
            (0, size),
            (0, 1),
            (size - 1, size),
            (size - 1, None),
            (middle, None),
            (middle // 2, middle + 1),
            (1, size),
        ):
            reader = await store.read(guid, size=size, start=start, stop=stop)
            assert await read_all(reader) == data[start:stop], (start, stop)

    @pytest.mark.parametrize("at", [0, 2, 5])
    async def test_an_empty_range_has_no_pieces(self, store: BlobStore, at: int) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        async with await store.read(guid, size=5, start=at, stop=at) as reader:
            assert [piece async for piece in reader] == []

    async def test_a_large_blob_is_read_in_nonempty_pieces(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, LARGE, {})
        async with await store.read(guid, size=len(LARGE)) as reader:
            pieces = [piece async for piece in reader]
        assert len(pieces) > 1
        assert all(type(piece) is bytes and piece for piece in pieces)
        assert b"".join(pieces) == LARGE

    async def test_no_more_pieces_after_the_end_or_after_closing(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, LARGE, {})
        reader = await store.read(guid, size=len(LARGE))
        await read_all(reader)
        assert [piece async for piece in reader] == []
        closed = await store.read(guid, size=len(LARGE))
        await closed.close()
        assert [piece async for piece in closed] == []

    async def test_closing_a_reader_twice_does_nothing(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, LARGE, {})
        for turns in (0, 1, 100):
            reader = await store.read(guid, size=len(LARGE))
            async for _ in reader:
                turns -= 1
                if turns < 1:
                    break
            await reader.close()
            await reader.close()

    async def test_a_cancelled_reader_frees_its_resources(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, LARGE, {})

        async def read() -> None:
            async with await store.read(guid, size=len(LARGE)) as reader:
                async for _ in reader:
                    pass

        for turns in range(12):  # the fixture `no_leaks` counts files and threads at the end
            task = asyncio.create_task(read())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await read()

    async def test_a_blob_deleted_while_it_is_read_is_read_to_its_end(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, LARGE, {})
        async with await store.read(guid, size=len(LARGE)) as reader:
            await store.delete(guid)
            assert b"".join([piece async for piece in reader]) == LARGE

    async def test_a_blob_replaced_while_it_is_read_is_the_old_one_to_its_end(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, LARGE, {})
        async with await store.read(guid, size=len(LARGE)) as reader:
            await store.put(guid, bytes(len(LARGE)), {})
            assert b"".join([piece async for piece in reader]) == LARGE

    async def test_many_readers_of_one_blob(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, LARGE, {})
        readers = await asyncio.gather(*(store.read(guid, size=len(LARGE), start=n) for n in range(20)))
        for n, data in enumerate(await asyncio.gather(*map(read_all, readers))):
            assert data == LARGE[n:]

    async def test_missing_bytes(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid, bare = new_guid(), new_guid()
        harness.plant(bare, None, b"{}")
        for missing in (guid, bare):
            with pytest.raises(BlobMissingError):
                await store.read(missing, size=5)
            with pytest.raises(BlobMissingError):
                await store.read(missing, size=0)
            with pytest.raises(BlobMissingError):
                await store.read(missing, size=len(LARGE))

    @pytest.mark.parametrize("size", [0, 4, 6, 300_000, len(LARGE)])
    async def test_bytes_of_another_length_are_corrupt(
        self, store: BlobStore, harness: BlobStoreHarness, size: int
    ) -> None:
        guid = new_guid()
        harness.plant(guid, b"bytes", b"{}")
        for start in (0, size):
            with pytest.raises(BlobCorruptError):
                await store.read(guid, size=size, start=start)

    @pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 6), (3, 2), (6, 6), (0, -1)])
    async def test_a_range_outside_the_blob_is_refused(self, store: BlobStore, start: int, stop: int) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        with pytest.raises(ValueError):
            await store.read(guid, size=5, start=start, stop=stop)

    # read_sidecar

    async def test_a_missing_sidecar(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid, bare = new_guid(), new_guid()
        harness.plant(bare, b"bytes", None)
        for missing in (guid, bare):
            with pytest.raises(BlobMissingError):
                await store.read_sidecar(missing)

    @pytest.mark.parametrize(
        "text", [b"", b"{", b"[]", b'"text"', b"null", b"1", b"{}}", b"[" * 100_000, b'{"a": 1'], ids=lambda t: t[:9]
    )
    async def test_a_sidecar_that_is_no_json_object_is_corrupt(
        self, store: BlobStore, harness: BlobStoreHarness, text: bytes
    ) -> None:
        guid = new_guid()
        harness.plant(guid, b"bytes", text)
        with pytest.raises(BlobCorruptError):
            await store.read_sidecar(guid)

    # version

    async def test_the_version_stays_while_the_bytes_do(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid, other = new_guid(), new_guid()
        for one in (guid, other):
            await store.put(one, LARGE, {})
        for one in (guid, other):
            harness.settle(one)
        seen = []
        for start, stop in ((0, None), (5, 9), (0, None)):
            async with await store.read(guid, size=len(LARGE), start=start, stop=stop) as reader:
                seen.append(reader.version)
        assert len(set(seen)) == 1
        async with await store.read(other, size=len(LARGE)) as reader:
            assert None not in {*seen, reader.version}

    async def test_a_replaced_or_changed_blob_has_another_version(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid, seen = new_guid(), []

        async def look() -> None:
            async with await store.read(guid, size=5) as reader:
                seen.append(reader.version)

        await store.put(guid, b"bytes", {})
        await look()
        harness.settle(guid)
        await look()
        harness.plant(guid, b"other", b"{}")
        await look()
        harness.settle(guid)
        await look()
        await store.put(guid, b"bytes", {})
        await look()
        await store.delete(guid)
        await store.put(guid, b"third", {})
        await look()
        told = [version for version in seen if version is not None]
        # The version may be unknown just after a change, but not differ from the later one.
        assert len(set(told)) == len(told) - (seen[0] == seen[1]) - (seen[2] == seen[3])
        assert seen[1] is not None
        assert seen[3] not in (None, seen[1])

    # location

    async def test_the_location_of_an_image_is_where_its_bytes_are(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        location = await store.location(guid, size=5)
        if location is None:
            pytest.skip("it has no files")
        assert re.fullmatch(r"[A-Za-z0-9.-]+(/[A-Za-z0-9.-]+)*", location)
        assert harness.at(location) == b"bytes"

    async def test_missing_bytes_and_bytes_of_another_length_have_no_location(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        if await store.location(guid, size=5) is None:
            pytest.skip("it has no files")
        for size in (4, 6, 0):
            with pytest.raises(BlobCorruptError):
                await store.location(guid, size=size)
        with pytest.raises(BlobMissingError):
            await store.location(new_guid(), size=5)

    # address

    async def test_at_the_address_of_an_image_are_its_bytes(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {"media_type": "image/png", "filename": "a-duck.png"})
        url = await store.address(guid, size=5)
        if url is None:
            pytest.skip("it sends clients nowhere")
        async with httpx.AsyncClient() as client:
            response = await client.get(url)
            assert (response.status_code, response.content) == (200, b"bytes")
            assert response.headers["content-type"] == "image/png"
            assert response.headers["content-disposition"] == 'inline; filename="a-duck.png"'
            part = await client.get(url, headers={"Range": "bytes=1-2"})
            assert (part.status_code, part.content) == (206, b"yt")

    async def test_missing_bytes_and_bytes_of_another_length_have_no_address(self, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        if await store.address(guid, size=5) is None:
            pytest.skip("it sends clients nowhere")
        for size in (4, 6, 0):
            with pytest.raises(BlobCorruptError):
                await store.address(guid, size=size)
        with pytest.raises(BlobMissingError):
            await store.address(new_guid(), size=5)

    # replace_sidecar

    async def test_a_replaced_sidecar_is_the_new_one_beside_the_same_bytes(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid, other = new_guid(), new_guid()
        await store.put(other, b"other", {"is": "other"})
        await store.put(guid, b"bytes", {"version": 1, "only": "old"})
        names = harness.names()
        await store.replace_sidecar(guid, SIDECAR)
        assert await store.read_sidecar(guid) == SIDECAR
        assert harness.image(guid) == b"bytes"
        assert harness.names() == names
        again = harness.store()
        await again.open()
        assert await again.read_sidecar(guid) == SIDECAR
        assert await again.read_sidecar(other) == {"is": "other"}
        await again.close()

    async def test_replacing_the_sidecar_of_missing_bytes_leaves_nothing(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid, bare = new_guid(), new_guid()
        harness.plant(bare, None, b'{"version": 1}')
        before = harness.names()
        for missing in (guid, bare):
            with pytest.raises(BlobMissingError):
                await store.replace_sidecar(missing, {"version": 2})
        assert harness.names() == before
        assert harness.sidecar(bare) == b'{"version": 1}'

    async def test_bytes_without_a_sidecar_get_one(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid = new_guid()
        harness.plant(guid, b"bytes", None)
        await store.replace_sidecar(guid, SIDECAR)
        assert await store.read_sidecar(guid) == SIDECAR
        assert harness.image(guid) == b"bytes"

    async def test_replacing_the_sidecar_in_a_full_store_leaves_the_old_one(
        self, store: BlobStore, harness: BlobStoreHarness, no_leaks: None
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {"version": 1})
        full, before = harness.full_store(), harness.names()
        await full.open()
        with pytest.raises(BlobStoreFullError):
            await full.replace_sidecar(guid, SIDECAR)
        await full.close()
        assert harness.names() == before
        assert harness.image(guid) == b"bytes"
        assert await store.read_sidecar(guid) == {"version": 1}

    async def test_concurrent_sidecar_replacements_leave_one_whole(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        names = harness.names()
        await asyncio.gather(*(store.replace_sidecar(guid, {"n": [n] * 10_000}) for n in range(12)))
        left = (await store.read_sidecar(guid))["n"]
        assert left == [left[0]] * 10_000
        assert harness.image(guid) == b"bytes"
        assert harness.names() == names

    # delete

    async def test_delete_removes_bytes_and_sidecar(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        guid, other = new_guid(), new_guid()
        await store.put(other, b"other", {})
        before = harness.names()
        await store.put(guid, b"bytes", SIDECAR)
        await store.delete(guid)
        assert harness.names() == before
        assert harness.image(other) == b"other"
        with pytest.raises(BlobMissingError):
            await store.read(guid, size=5)

    async def test_deleting_a_missing_blob_is_no_error(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        await store.delete(new_guid())
        guid, bytes_only, sidecar_only = new_guid(), new_guid(), new_guid()
        await store.put(guid, b"bytes", {})
        await store.delete(guid)
        await store.delete(guid)
        harness.plant(bytes_only, b"bytes", None)
        harness.plant(sidecar_only, None, b"{}")
        await store.delete(bytes_only)
        await store.delete(sidecar_only)
        assert harness.names() == set()

    async def test_put_after_delete(self, store: BlobStore) -> None:
        guid = new_guid()
        for n in range(3):
            await store.put(guid, bytes([n]), {"n": n})
            assert await read_all(await store.read(guid, size=1)) == bytes([n])
            await store.delete(guid)

    # every method

    @pytest.mark.parametrize("guid", NO_GUIDS, ids=ascii)
    async def test_a_guid_not_in_canonical_form_is_refused(
        self, store: BlobStore, harness: BlobStoreHarness, guid: str
    ) -> None:
        for call in (
            store.put(guid, b"bytes", {}),
            store.rescue(guid, b"bytes", {}),
            store.read(guid, size=5),
            store.read_sidecar(guid),
            store.replace_sidecar(guid, {}),
            store.delete(guid),
        ):
            with pytest.raises(ValueError):
                await call
        for ability in found_by(store):
            with pytest.raises(ValueError):
                await ability(guid, size=5)
        assert harness.names() == set()

    async def test_an_outage_is_an_error_and_nothing_is_missing(
        self, store: BlobStore, harness: BlobStoreHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", SIDECAR)
        abilities = [ability for ability in found_by(store) if await ability(guid, size=5) is not None]
        with harness.cut_off():
            for call in (
                store.check_writable(),
                store.identity(),
                store.set_identity(GUID),
                store.put(guid, b"other", {}),
                store.rescue(guid, b"other", {}),
                store.read(guid, size=5),
                store.read(new_guid(), size=5),
                store.read(guid, size=len(LARGE)),
                store.read_sidecar(guid),
                store.replace_sidecar(guid, {}),
                store.delete(guid),
                *(ability(one, size=5) for ability in abilities for one in (guid, new_guid())),
            ):
                with pytest.raises(BlobStoreError) as caught:
                    await call
                assert not isinstance(caught.value, BlobMissingError)
        assert await read_all(await store.read(guid, size=5)) == b"bytes"
        assert await store.read_sidecar(guid) == SIDECAR

    # identity

    async def test_a_new_store_carries_no_identity(self, store: BlobStore) -> None:
        assert await store.identity() is None
        await store.check_writable()
        assert await store.identity() is None

    async def test_an_identity_is_carried_for_good(self, store: BlobStore, harness: BlobStoreHarness) -> None:
        await store.set_identity(GUID)
        await store.set_identity(GUID)
        assert await store.identity() == GUID
        other = harness.store()
        await other.open()
        assert await other.identity() == GUID
        with pytest.raises(StoreIdentityError):
            await other.set_identity(new_guid())
        assert await store.identity() == GUID
        await other.check_writable()
        await other.close()

    async def test_an_identity_is_a_guid(self, store: BlobStore) -> None:
        with pytest.raises(ValueError, match="canonical"):
            await store.set_identity("../x")
        assert await store.identity() is None

    @pytest.mark.parametrize("other", [None, "1c2d0b9f-4e5f-4a6b-8c7d-0e1f2a3b4c5d"], ids=["none", "another"])
    @pytest.mark.parametrize("reopened", [False, True])
    async def test_a_store_that_was_exchanged_is_not_used(
        self, store: BlobStore, harness: BlobStoreHarness, other: str | None, reopened: bool
    ) -> None:
        guid = new_guid()
        await store.set_identity(GUID)
        if reopened:
            await store.close()
            await store.open()
        await store.check_writable()
        harness.exchange(other)
        before = harness.names()
        for _ in range(2):
            for call in (store.check_writable(), store.put(guid, b"bytes", SIDECAR), store.read(guid, size=5)):
                with pytest.raises(BlobStoreError) as caught:
                    await call
                assert type(caught.value) is StoreIdentityError
        assert harness.names() == before
        assert await store.identity() == other
        harness.exchange(GUID)
        await store.check_writable()
        await store.put(guid, b"bytes", SIDECAR)

    async def test_the_marker_is_no_blob(self, store: BlobStore) -> None:
        await store.set_identity(GUID)
        with pytest.raises(BlobMissingError):
            await store.read(GUID, size=len(GUID))

    # opening and closing

    async def test_making_a_store_touches_nothing(self, harness: BlobStoreHarness, no_leaks: None) -> None:
        store = harness.store()
        await store.close()
        assert harness.names() == set()

    async def test_closing_twice_does_nothing(self, harness: BlobStoreHarness, no_leaks: None) -> None:
        store = harness.store()
        await store.open()
        await store.close()
        await store.close()

    async def test_opening_again_after_closing_works(self, harness: BlobStoreHarness, no_leaks: None) -> None:
        store, guid = harness.store(), new_guid()
        for n in range(3):
            await store.open()
            await store.put(guid, bytes([n]), {"n": n})
            assert await read_all(await store.read(guid, size=1)) == bytes([n])
            await store.close()


def found_by(store: BlobStore) -> list[Callable[..., Awaitable[str | None]]]:
    """Return the optional abilities of a store that say where the bytes are."""
    abilities = ("location", "address")
    methods = [getattr(store, name) for name in abilities]
    defaults = {BlobStore.location, BlobStore.address}
    return [method for method in methods if inspect.unwrap(method).__func__ not in defaults]


async def read_all(reader: BlobReader) -> bytes:
    async with reader:
        return b"".join([piece async for piece in reader])


def assert_at_most(limit: int, count: Callable[[], int]) -> None:
    """Assert that a count falls to a limit soon: a connection is closed a moment after its client is."""
    end = time.monotonic() + 30
    while count() > limit and time.monotonic() < end:
        gc.collect()
        time.sleep(0.02)
    assert count() <= limit, [thread.name for thread in threading.enumerate()]


def own_threads() -> int:
    """Return the number of threads besides those of the event loop's executor."""
    return sum(1 for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))


def open_files() -> int:
    """Return the number of descriptors that this process holds, on Linux."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0
