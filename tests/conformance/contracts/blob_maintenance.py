"""The contract of every BlobMaintenance.

An adapter's suite subclasses `BlobMaintenanceContract` and supplies the fixture `harness`,
which is the storage as seen past the adapter.
"""

import asyncio
import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreError
from pixyproxy.domain.image import new_guid
from pixyproxy.ports.blob_maintenance import BlobMaintenance, FileAccess, StoredBlob
from pixyproxy.ports.blob_store import BlobStore
from tests.conformance.contracts.blob_store import LARGE, NO_GUIDS, assert_at_most, open_files, own_threads

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class BlobMaintenanceHarness(ABC):
    """One storage, with direct access that bypasses the adapter."""

    tick_s: ClassVar[float] = 0.05
    """Seconds after which a change gets another time."""

    @abstractmethod
    def maintenance(self) -> BlobMaintenance:
        """Return a new maintenance of the storage, not opened yet."""

    @abstractmethod
    def store(self) -> BlobStore:
        """Return a new store on the storage, not opened yet."""

    @abstractmethod
    def cut_off(self) -> AbstractContextManager[None]:
        """Make the storage unreachable for a time; skips the test if it always is reachable."""

    @abstractmethod
    def plant(self, guid: str, image: bytes | None, sidecar: bytes | None) -> None:
        """Store something in the place of an image; None removes it."""

    @abstractmethod
    def plant_aside(self, guid: str, number: int, image: bytes | None, sidecar: bytes | None) -> None:
        """Store something as rescued."""

    @abstractmethod
    def plant_debris(self, guid: str, data: bytes) -> None:
        """Leave a half-written file, changed in 2001; skips the test if there can be none."""

    @abstractmethod
    def place(self, guid: str) -> tuple[bytes | None, bytes | None]:
        """Return bytes and sidecar in the place of an image."""

    @abstractmethod
    def quarantined(self, where: str) -> tuple[bytes | None, bytes | None]:
        """Return bytes and sidecar at the location that `quarantine` returned."""

    @abstractmethod
    def aside(self) -> list[bytes]:
        """Return all rescued bytes and sidecars."""

    @abstractmethod
    def contents(self) -> Counter[bytes]:
        """Return everything in the storage, temporary files too."""


def described(of: str, data: bytes, **more: Any) -> bytes:
    """Return a sidecar with the members that matter here."""
    return json.dumps(
        {"guid": of, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}
    ).encode()


class BlobMaintenanceContract:
    """One or more tests for each sentence of the port."""

    adapter: ClassVar[type[BlobMaintenance]]

    @pytest.fixture
    def harness(self, tmp_path: Path) -> BlobMaintenanceHarness:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    def no_leaks(self) -> Iterator[None]:
        """Assert after everything is closed that no thread and no file is left."""
        threads, files = own_threads(), open_files()
        yield
        assert_at_most(threads, own_threads)
        assert_at_most(files, open_files)

    @pytest.fixture
    async def store(self, harness: BlobMaintenanceHarness, no_leaks: None) -> AsyncIterator[BlobStore]:
        store = harness.store()
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def maintenance(self, store: BlobStore, harness: BlobMaintenanceHarness) -> AsyncIterator[BlobMaintenance]:
        maintenance = harness.maintenance()
        await maintenance.open()
        yield maintenance
        await maintenance.close()

    def test_subclasses_its_port(self, harness: BlobMaintenanceHarness) -> None:
        assert BlobMaintenance in self.adapter.__mro__
        assert type(harness.maintenance()) is self.adapter

    # walk

    async def test_an_empty_store_holds_nothing(self, maintenance: BlobMaintenance) -> None:
        assert await walked(maintenance) == []

    async def test_walk_yields_everything_stored_each_once(
        self, maintenance: BlobMaintenance, store: BlobStore
    ) -> None:
        guids = [new_guid() for _ in range(60)]
        for n, guid in enumerate(guids):
            await store.put(guid, bytes(n), {"n": n})
        assert sorted((blob.guid, blob.size) for blob in await walked(maintenance)) == sorted(
            (guid, n) for n, guid in enumerate(guids)
        )

    async def test_walk_of_more_than_one_batch(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guids = {f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(1201)}
        for guid in guids:
            harness.plant(guid, b"bytes", b"{}")
        found = [blob.guid for blob in await walked(maintenance)]
        assert len(found) == len(guids)
        assert set(found) == guids

    async def test_a_walk_can_be_limited_to_two_digits(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guids = [f"{prefix}{new_guid()[4:]}" for prefix in ("0a00", "0aff", "0b00", "a000")]
        for guid in guids:
            harness.plant(guid, b"bytes", b"{}")
        for prefix, count in (("0a", 2), ("0b", 1), ("a0", 1), ("00", 0)):
            found = [blob.guid async for blob in maintenance.walk(prefix)]
            assert sorted(found) == sorted(guid for guid in guids if guid.startswith(prefix))
            assert len(found) == count

    async def test_a_sidecar_alone_has_no_size(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        alone, bare, empty = new_guid(), new_guid(), new_guid()
        harness.plant(alone, None, b"{}")
        harness.plant(bare, b"bytes", None)
        harness.plant(empty, b"", b"{}")
        assert {blob.guid: blob.size for blob in await walked(maintenance)} == {alone: None, bare: 5, empty: 0}

    async def test_walk_gives_the_time_of_the_last_change(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        slack = timedelta(seconds=2)  # the clock of a file system may lag behind
        before = datetime.now(UTC) - slack
        await store.put(guid, b"bytes", {})
        [first] = await walked(maintenance)
        assert before <= first.modified_at <= datetime.now(UTC) + slack
        assert first.modified_at.utcoffset() == timedelta(0)
        assert await walked(maintenance) == [first]
        await asyncio.sleep(harness.tick_s)
        await store.put(guid, b"other", {})
        [second] = await walked(maintenance)
        assert second.modified_at > first.modified_at

    async def test_rescued_and_quarantined_bytes_are_not_walked(
        self, maintenance: BlobMaintenance, store: BlobStore
    ) -> None:
        guid, other = new_guid(), new_guid()
        await store.rescue(guid, b"bytes", {})
        await store.put(other, b"bytes", {})
        await maintenance.quarantine(other)
        assert await walked(maintenance) == []

    async def test_a_walk_survives_concurrent_changes(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        stays = {f"{n:08x}-1111-4000-8000-{n:012x}" for n in range(0, 2**32, 2**32 // 600)}
        goes = {f"{n:08x}-2222-4000-8000-{n:012x}" for n in range(0, 2**32, 2**32 // 60)}
        for guid in stays | goes:
            harness.plant(guid, b"bytes", b"{}")
        found, gone = [], sorted(goes)
        async for blob in maintenance.walk():
            found.append(blob.guid)
            if gone:
                await store.delete(gone.pop())
                await store.put(new_guid(), b"new", {})
        assert stays <= set(found)
        assert len(found) == len(set(found))

    async def test_a_walk_may_be_abandoned_and_several_run_at_a_time(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        for n in range(600):
            harness.plant(f"{n:08x}-0000-4000-8000-{n:012x}", b"bytes", b"{}")
        async for _ in maintenance.walk():
            break
        one, two = await asyncio.gather(walked(maintenance), walked(maintenance))
        assert len(one) == len(two) == 600

    # verify

    @pytest.mark.parametrize("data", [b"", b"x", LARGE, bytes(1024 * 1024)], ids=["empty", "one", "large", "a piece"])
    async def test_whole_bytes_are_verified(self, maintenance: BlobMaintenance, store: BlobStore, data: bytes) -> None:
        guid, sha256 = new_guid(), hashlib.sha256(data).hexdigest()
        await store.put(guid, data, {})
        await maintenance.verify(guid, size=len(data), sha256=sha256)
        await maintenance.verify(guid, size=len(data), sha256=sha256.upper())

    @pytest.mark.parametrize("at", [0, 1024 * 1024 - 1, 1024 * 1024, 3_000_000, len(LARGE) - 1])
    async def test_a_single_damaged_bit_is_found(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness, at: int
    ) -> None:
        guid, damaged = new_guid(), bytearray(LARGE)
        damaged[at] ^= 1
        harness.plant(guid, bytes(damaged), b"{}")
        with pytest.raises(BlobCorruptError):
            await maintenance.verify(guid, size=len(LARGE), sha256=hashlib.sha256(LARGE).hexdigest())

    @pytest.mark.parametrize("size", [0, 4, 6, len(LARGE)])
    async def test_bytes_of_another_length_are_corrupt(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness, size: int
    ) -> None:
        guid = new_guid()
        harness.plant(guid, b"bytes", b"{}")
        for data in (b"bytes", b"bytes"[:size]):
            with pytest.raises(BlobCorruptError):
                await maintenance.verify(guid, size=size, sha256=hashlib.sha256(data).hexdigest())

    async def test_missing_bytes_are_missing(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        alone = new_guid()
        harness.plant(alone, None, b"{}")
        for guid in (alone, new_guid()):
            with pytest.raises(BlobMissingError):
                await maintenance.verify(guid, size=0, sha256=hashlib.sha256(b"").hexdigest())

    async def test_many_are_verified_at_a_time(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        blobs = {new_guid(): bytes([n]) * 50_000 for n in range(30)}
        for guid, data in blobs.items():
            harness.plant(guid, data, b"{}")
        await asyncio.gather(
            *(
                maintenance.verify(guid, size=len(data), sha256=hashlib.sha256(data).hexdigest())
                for guid, data in blobs.items()
            )
        )

    # make_durable

    async def test_stored_bytes_can_be_made_durable(self, maintenance: BlobMaintenance, store: BlobStore) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {"guid": guid})
        await maintenance.make_durable(guid)
        await maintenance.verify(guid, size=5, sha256=hashlib.sha256(b"bytes").hexdigest())

    async def test_missing_bytes_cannot_be_made_durable(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        alone = new_guid()
        harness.plant(alone, None, b"{}")
        for guid in (alone, new_guid()):
            with pytest.raises(BlobMissingError):
                await maintenance.make_durable(guid)

    # sizes

    async def test_sizes_of_images_with_bytes(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        whole, empty, alone, none, other = (new_guid() for _ in range(5))
        harness.plant(whole, b"bytes", b"{}")
        harness.plant(empty, b"", None)
        harness.plant(alone, None, b"{}")
        harness.plant(other, b"unrequested", b"{}")
        assert await maintenance.sizes([whole, empty, alone, none, whole]) == {whole: 5, empty: 0}
        assert await maintenance.sizes(frozenset()) == {}

    async def test_sizes_of_a_thousand(self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness) -> None:
        guids = [new_guid() for _ in range(1000)]
        for n, guid in enumerate(guids[::100]):
            harness.plant(guid, bytes(n), b"{}")
        assert await maintenance.sizes(guids) == {guid: n for n, guid in enumerate(guids[::100])}

    # sidecars

    async def test_sidecars_and_why_there_is_none(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        whole, alone, bare, none, broken, text = (new_guid() for _ in range(6))
        harness.plant(whole, b"bytes", b'{"prompt": "a duck"}')
        harness.plant(alone, None, b"{}")
        harness.plant(bare, b"bytes", None)
        harness.plant(broken, b"bytes", b'{"prompt": ')
        harness.plant(text, b"bytes", b'"text"')
        sidecars = await maintenance.sidecars([whole, alone, bare, none, broken, text])
        assert (sidecars.pop(whole), sidecars.pop(alone)) == ({"prompt": "a duck"}, {})
        assert {guid: type(error) for guid, error in sidecars.items()} == {
            bare: BlobMissingError,
            none: BlobMissingError,
            broken: BlobCorruptError,
            text: BlobCorruptError,
        }
        assert await maintenance.sidecars(frozenset()) == {}

    # rescued and adopt_rescued

    async def test_rescued_bytes_are_offered_and_adopted(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        sidecar = json.loads(described(guid, LARGE, prompt="a duck 🦆"))
        await store.rescue(guid, LARGE, sidecar)
        assert await maintenance.rescued() == {guid}
        assert await maintenance.adopt_rescued(guid) is True
        assert harness.place(guid)[0] == LARGE
        assert await store.read_sidecar(guid) == sidecar
        assert harness.aside() == []
        assert sum(harness.contents().values()) == 2
        assert await maintenance.rescued() == frozenset()
        assert await maintenance.adopt_rescued(guid) is False

    async def test_rescued_responses_are_told_apart_from_pictures(
        self, maintenance: BlobMaintenance, store: BlobStore
    ) -> None:
        guid, other = new_guid(), new_guid()
        for data in (b"first answer", b"second answer"):
            await store.rescue(guid, data, {"guid": guid, "error": "no picture"})
        await store.rescue(other, LARGE, json.loads(described(other, LARGE)))
        assert await maintenance.rescued_responses() == {guid}
        assert await maintenance.read_rescued_responses(guid) == (b"first answer", b"second answer")
        assert await maintenance.read_rescued_responses(other) == ()
        assert await maintenance.read_rescued_responses(new_guid()) == ()

    async def test_nothing_is_rescued(self, maintenance: BlobMaintenance) -> None:
        assert await maintenance.rescued() == frozenset()
        assert await maintenance.adopt_rescued(new_guid()) is False

    async def test_only_bytes_that_agree_with_their_sidecar_are_adopted(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        data, refused = b"some bytes", {}
        for name, image, change in (
            ("another guid", data, {"guid": new_guid()}),
            ("no guid", data, {"guid": None}),
            ("another length", data, {"size_bytes": len(data) + 1}),
            ("a length that is none", data, {"size_bytes": str(len(data))}),
            ("a length that is true", b"x", {"size_bytes": True}),
            ("no length", data, {"size_bytes": None}),
            ("another hash", data, {"sha256": hashlib.sha256(b"others").hexdigest()}),
            ("no hash", data, {"sha256": None}),
            ("bytes damaged", b"same bytes", {}),
            ("bytes cut off", data[:-1], {}),
            ("bytes missing", None, {}),
        ):
            refused[name] = guid = new_guid()
            harness.plant_aside(guid, 1, image, described(guid, b"x" if image == b"x" else data, **change))
        for text in (None, b"", b"{", b"[]", b"null", b"[" * 100_000, b"{}"):
            refused[str(text)[:9]] = guid = new_guid()
            harness.plant_aside(guid, 1, data, text)
        before = harness.contents()
        assert await maintenance.rescued() == frozenset()
        for name, guid in refused.items():
            assert await maintenance.adopt_rescued(guid) is False, name
            assert harness.place(guid) == (None, None), name
        assert harness.contents() == before

    async def test_changed_rescued_files_are_read_again(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        harness.plant_aside(guid, 1, b"bytes", described(guid, b"bytes"))
        assert await maintenance.rescued() == {guid}
        harness.plant_aside(guid, 1, b"BYTES", described(guid, b"bytes"))
        assert await maintenance.rescued() == frozenset()
        assert await maintenance.adopt_rescued(guid) is False
        harness.plant_aside(guid, 1, b"BYTES", described(guid, b"BYTES"))
        assert await maintenance.rescued() == {guid}
        assert await maintenance.adopt_rescued(guid) is True

    async def test_of_several_the_first_whole_one_is_adopted_and_the_others_stay(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        harness.plant_aside(guid, 1, b"cut o", described(guid, b"cut off"))
        harness.plant_aside(guid, 2, b"second", described(guid, b"second"))
        harness.plant_aside(guid, 3, b"second", described(guid, b"second"))
        harness.plant_aside(guid, 10, b"tenth", described(guid, b"tenth"))
        assert await maintenance.rescued() == {guid}
        assert await maintenance.adopt_rescued(guid) is True
        assert harness.place(guid) == (b"second", described(guid, b"second"))
        assert sorted(harness.aside()) == sorted(
            [b"cut o", described(guid, b"cut off"), b"tenth", described(guid, b"tenth")]
        )
        assert await maintenance.rescued() == frozenset()
        assert await maintenance.adopt_rescued(guid) is False

    async def test_bytes_in_the_place_are_never_overwritten(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        longer, damaged, same, bare = new_guid(), new_guid(), new_guid(), new_guid()
        for guid, image, sidecar in (
            (longer, b"other bytes", b"{}"),
            (damaged, b"BYTES", described(damaged, b"bytes")),
            (same, b"bytes", b'{"the same bytes": "described otherwise"}'),
            (bare, b"", None),
        ):
            harness.plant(guid, image, sidecar)
            harness.plant_aside(guid, 1, b"bytes", described(guid, b"bytes"))
        before = harness.contents()
        assert await maintenance.rescued() == frozenset()
        for guid in (longer, damaged, same, bare):
            assert await maintenance.adopt_rescued(guid) is False
        assert harness.contents() == before
        assert harness.place(damaged)[0] == b"BYTES"

    async def test_an_older_sidecar_without_bytes_makes_way_and_is_kept(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        harness.plant(guid, None, b'{"older": true}')
        harness.plant_aside(guid, 1, b"bytes", described(guid, b"bytes"))
        before = harness.contents()
        assert await maintenance.rescued() == {guid}
        assert await maintenance.adopt_rescued(guid) is True
        assert harness.place(guid) == (b"bytes", described(guid, b"bytes"))
        assert harness.contents() == before

    @pytest.mark.parametrize("sidecar", [True, False], ids=["described", "bytes alone"])
    async def test_an_interrupted_move_is_offered_and_finished(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness, sidecar: bool
    ) -> None:
        guid = new_guid()
        text = described(guid, b"bytes")
        harness.plant(guid, b"bytes", text if sidecar else None)
        harness.plant_aside(guid, 1, b"bytes", text)
        assert await maintenance.rescued() == {guid}
        assert await maintenance.adopt_rescued(guid) is True
        assert harness.place(guid) == (b"bytes", text)
        assert harness.contents() == Counter([b"bytes", text])

    async def test_adopting_the_same_at_the_same_time_is_done_once(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        text = described(guid, LARGE)
        harness.plant_aside(guid, 1, LARGE, text)
        done = await asyncio.gather(*(maintenance.adopt_rescued(guid) for _ in range(8)))
        assert done.count(True) == 1
        assert harness.contents() == Counter([LARGE, text])

    async def test_two_that_adopt_the_same_lose_nothing(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        other = harness.maintenance()
        await other.open()
        blobs = {new_guid(): bytes([n]) * 10_000 for n in range(30)}
        for guid, data in blobs.items():
            harness.plant_aside(guid, 1, data, described(guid, data))
        done = await asyncio.gather(*(one.adopt_rescued(guid) for guid in blobs for one in (maintenance, other)))
        await other.close()
        assert all(True in pair for pair in zip(done[::2], done[1::2], strict=True))
        for guid, data in blobs.items():
            assert harness.place(guid) == (data, described(guid, data))
        assert harness.aside() == []

    # quarantine

    async def test_quarantined_bytes_are_moved_whole_and_not_served(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        guid, other = new_guid(), new_guid()
        await store.put(guid, LARGE, {"prompt": "a duck"})
        await store.put(other, b"other", {})
        before, place = harness.contents(), harness.place(guid)
        where = await maintenance.quarantine(guid)
        assert harness.quarantined(where) == place
        assert harness.place(guid) == (None, None)
        assert harness.contents() == before
        with pytest.raises(BlobMissingError):
            await store.read(guid, size=len(LARGE))
        assert [blob.guid for blob in await walked(maintenance)] == [other]
        with pytest.raises(BlobMissingError):
            await maintenance.quarantine(guid)

    async def test_bytes_or_sidecar_alone_are_quarantined_too(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        alone, bare = new_guid(), new_guid()
        harness.plant(alone, None, b"{}")
        harness.plant(bare, b"bytes", None)
        before = harness.contents()
        assert harness.quarantined(await maintenance.quarantine(alone)) == (None, b"{}")
        assert harness.quarantined(await maintenance.quarantine(bare)) == (b"bytes", None)
        assert await walked(maintenance) == []
        assert harness.contents() == before

    async def test_nothing_to_quarantine_is_missing(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        harness.plant_aside(guid, 1, b"bytes", b"{}")
        before = harness.contents()
        with pytest.raises(BlobMissingError):
            await maintenance.quarantine(guid)
        assert harness.contents() == before

    async def test_quarantine_never_overwrites(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guid, places = new_guid(), {}
        pairs = [(b"1", b"{}"), (None, b'{"n": 2}'), (b"3", None), (b"4", b'{"n": 4}'), (b"4", b'{"n": 4}')]
        for pair in pairs:
            harness.plant(guid, *pair)
            places[await maintenance.quarantine(guid)] = pair
        assert len(places) == len(pairs)
        for where, pair in places.items():
            assert harness.quarantined(where) == pair

    async def test_quarantining_the_same_at_the_same_time_is_done_once(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        harness.plant(guid, b"bytes", b"{}")
        done = await asyncio.gather(*(maintenance.quarantine(guid) for _ in range(8)), return_exceptions=True)
        [where] = [one for one in done if isinstance(one, str)]
        assert all(isinstance(one, BlobMissingError) for one in done if one != where)
        assert harness.quarantined(where) == (b"bytes", b"{}")

    async def test_two_that_quarantine_the_same_lose_nothing(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        other = harness.maintenance()
        await other.open()
        guids = [new_guid() for _ in range(30)]
        for guid in guids:
            harness.plant(guid, guid.encode(), b"{}")
        before = harness.contents()
        done = await asyncio.gather(
            *(one.quarantine(guid) for guid in guids for one in (maintenance, other)), return_exceptions=True
        )
        await other.close()
        assert {type(one) for one in done} <= {str, BlobMissingError}
        assert all(str in map(type, pair) for pair in zip(done[::2], done[1::2], strict=True))
        assert await walked(maintenance) == []
        assert harness.contents() == before

    # inspect_access

    async def test_new_files_have_the_permissions_of_new_files(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        await store.rescue(new_guid(), b"bytes", {})
        before = harness.contents()
        for apply in (False, True):
            for deep in (False, True):
                assert await maintenance.inspect_access(apply=apply, deep=deep) == FileAccess()
        assert harness.contents() == before
        assert harness.place(guid)[0] == b"bytes"

    # quarantine_debris

    async def test_half_written_files_are_moved_and_counted(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        guid = new_guid()
        await store.put(guid, b"bytes", {})
        for n in range(3):
            harness.plant_debris(guid, b"debris %d" % n)
        harness.plant_debris(new_guid(), b"debris elsewhere")
        before = harness.contents()
        assert await maintenance.quarantine_debris(LONG_AGO - timedelta(days=1)) == 0
        assert await maintenance.quarantine_debris(LONG_AGO + timedelta(days=1)) == 4
        assert await maintenance.quarantine_debris(LONG_AGO + timedelta(days=1)) == 0
        assert harness.contents() == before
        assert harness.place(guid)[0] == b"bytes"

    async def test_half_written_files_of_two_digits_are_moved_alone(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness
    ) -> None:
        for prefix in ("0a00", "0aff", "0b00"):
            harness.plant_debris(f"{prefix}{new_guid()[4:]}", b"debris")
        later = LONG_AGO + timedelta(days=1)
        assert await maintenance.quarantine_debris(later, "0a") == 2
        assert await maintenance.quarantine_debris(later, "0a") == 0
        assert await maintenance.quarantine_debris(later) == 1

    async def test_whole_files_are_no_debris(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        stored, kept, alone = new_guid(), new_guid(), new_guid()
        await store.put(stored, b"bytes", {})
        await store.rescue(kept, b"bytes", json.loads(described(kept, b"bytes")))
        harness.plant(alone, None, b"{}")
        assert await maintenance.quarantine_debris(datetime.now(UTC) + timedelta(days=1)) == 0
        assert harness.place(stored)[0] == b"bytes"
        assert await maintenance.rescued() == {kept}
        assert {blob.guid for blob in await walked(maintenance)} == {stored, alone}

    async def test_a_time_without_a_zone_is_refused(self, maintenance: BlobMaintenance) -> None:
        with pytest.raises(ValueError):
            await maintenance.quarantine_debris(datetime(2001, 1, 1))

    # every method

    @pytest.mark.parametrize("guid", NO_GUIDS, ids=ascii)
    async def test_a_guid_not_in_canonical_form_is_refused(
        self, maintenance: BlobMaintenance, harness: BlobMaintenanceHarness, guid: str
    ) -> None:
        for call in (
            maintenance.verify(guid, size=5, sha256="0" * 64),
            maintenance.sizes([new_guid(), guid]),
            maintenance.adopt_rescued(guid),
            maintenance.quarantine(guid),
        ):
            with pytest.raises(ValueError):
                await call
        assert harness.contents() == Counter()

    async def test_an_outage_is_an_error_and_nothing_is_missing(
        self, maintenance: BlobMaintenance, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        guid, kept = new_guid(), new_guid()
        await store.put(guid, b"bytes", {})
        await store.rescue(kept, b"kept", json.loads(described(kept, b"kept")))
        before = harness.contents()
        with harness.cut_off():
            for call in (
                walked(maintenance),
                maintenance.verify(guid, size=5, sha256=hashlib.sha256(b"bytes").hexdigest()),
                maintenance.verify(new_guid(), size=5, sha256="0" * 64),
                maintenance.sizes([guid]),
                maintenance.sizes([]),
                maintenance.rescued(),
                maintenance.adopt_rescued(kept),
                maintenance.adopt_rescued(new_guid()),
                maintenance.quarantine(guid),
                maintenance.quarantine(new_guid()),
                maintenance.quarantine_debris(datetime.now(UTC)),
                maintenance.inspect_access(apply=True),
            ):
                with pytest.raises(BlobStoreError) as caught:
                    await call
                assert type(caught.value) is BlobStoreError
        assert harness.contents() == before
        assert await maintenance.sizes([guid]) == {guid: 5}
        assert await maintenance.rescued() == {kept}

    # opening and closing

    async def test_an_outage_at_the_start(self, store: BlobStore, harness: BlobMaintenanceHarness) -> None:
        maintenance = harness.maintenance()
        with harness.cut_off(), pytest.raises(BlobStoreError):
            await maintenance.open()
        await maintenance.open()
        assert await walked(maintenance) == []
        await maintenance.close()

    async def test_closing_twice_or_unopened_does_nothing(
        self, store: BlobStore, harness: BlobMaintenanceHarness
    ) -> None:
        maintenance = harness.maintenance()
        await maintenance.close()
        await maintenance.open()
        await maintenance.open()
        await maintenance.close()
        await maintenance.close()
        assert harness.contents() == Counter()

    async def test_opening_again_after_closing_works(self, store: BlobStore, harness: BlobMaintenanceHarness) -> None:
        maintenance, guid = harness.maintenance(), new_guid()
        await store.put(guid, b"bytes", {})
        for _ in range(3):
            await maintenance.open()
            assert [blob.guid for blob in await walked(maintenance)] == [guid]
            await maintenance.verify(guid, size=5, sha256=hashlib.sha256(b"bytes").hexdigest())
            await maintenance.close()


async def walked(maintenance: BlobMaintenance) -> list[StoredBlob]:
    return [blob async for blob in maintenance.walk()]
