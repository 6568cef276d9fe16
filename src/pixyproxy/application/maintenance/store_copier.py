"""The use case that copies the pictures of one blob store to another, while a service may use the first."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pixyproxy.application.generation.sidecar import result_of, sidecar_of
from pixyproxy.application.hashing import sha256_of
from pixyproxy.application.maintenance.findings import batches
from pixyproxy.domain.errors import (
    BlobCorruptError,
    BlobMissingError,
    BlobStoreError,
    DataValidationError,
    ImageNotFoundError,
    StoreIdentityError,
)
from pixyproxy.domain.image import Status
from pixyproxy.ports.blob_maintenance import BlobMaintenance, StoredBlob
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import BindingState, MaintenanceRepository

_AT_ONCE = 4


class Outcome(StrEnum):
    """The outcome for a picture of the source."""

    COPIED = "copied"
    DESCRIBED = "described anew"
    PRESENT = "there already"
    DELETED = "deleted meanwhile"
    FAILED = "not copied"


@dataclass(frozen=True, slots=True)
class CopiedPicture:
    """A picture of the source, its outcome, and the problem if it was not copied."""

    guid: str
    size_bytes: int
    outcome: Outcome
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """A blob store with its maintenance."""

    blobs: BlobStore
    stored: BlobMaintenance


class StoreCopier:
    """Copies bytes and sidecars; overwrites no other bytes and changes nothing in the source.

    A picture whose length and sidecar are the same in both stores is not read again, so that a copy that was
    interrupted goes on where it was.
    """

    def __init__(
        self, images: ImageRepository, maintenance: MaintenanceRepository, source: Store, target: Store
    ) -> None:
        self._images = images
        self._maintenance = maintenance
        self._source = source
        self._target = target
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def identity(self) -> str:
        """Return the identity that database and source share, and that the target is to carry.

        Raises:
            StoreIdentityError: source or target belong to another database.
        """
        known = await self._maintenance.identity()
        found = await self._source.blobs.identity()
        if known is None or known.state is not BindingState.BOUND or known.value != found:
            raise StoreIdentityError(
                "The store to copy from does not carry the identity of this database: choose the one that does. A new "
                "database is bound to its store by the first `pixyproxy serve` or `generate`."
            )
        if await self._target.blobs.identity() not in {None, found}:
            raise StoreIdentityError("The store to copy to belongs to another database: choose an empty one.")
        return known.value

    async def waiting(self) -> int:
        """Return the number of rescued pictures and responses of the source, which are not copied."""
        pictures, responses = await self._source.stored.rescued(), await self._source.stored.rescued_responses()
        return len(pictures | responses)

    async def copy_all(self) -> AsyncIterator[CopiedPicture]:
        """Copy each picture and yield its outcome; raises BlobStoreError if a store cannot be reached."""
        async for batch in batches(self._source.stored.walk()):
            pictures = [blob for blob in batch if blob.size is not None]
            for start in range(0, len(pictures), _AT_ONCE * 8):
                for copied in await self._copy_some(pictures[start : start + _AT_ONCE * 8]):
                    yield copied

    async def _copy_some(self, blobs: Sequence[StoredBlob]) -> list[CopiedPicture]:
        guids = [blob.guid for blob in blobs]
        sidecars, there = await asyncio.gather(self._source.stored.sidecars(guids), self._target.stored.sidecars(guids))
        sizes = await self._target.stored.sizes(guids)

        async def copy(blob: StoredBlob) -> CopiedPicture:
            size = blob.size or 0
            async with self._places:
                try:
                    sidecar = await self._described(blob.guid, sidecars[blob.guid])
                    outcome = await self._copy(blob.guid, size, sidecar, there[blob.guid], sizes.get(blob.guid))
                except (BlobMissingError, ImageNotFoundError):
                    return CopiedPicture(blob.guid, size, Outcome.DELETED)
                except (BlobCorruptError, DataValidationError) as error:
                    return CopiedPicture(blob.guid, size, Outcome.FAILED, error.message)
            return CopiedPicture(blob.guid, size, outcome)

        return list(await asyncio.gather(*map(copy, blobs)))

    async def _copy(
        self,
        guid: str,
        size: int,
        sidecar: dict[str, Any],
        there: dict[str, Any] | BlobStoreError,
        there_size: int | None,
    ) -> Outcome:
        result = result_of(sidecar)
        if there_size is not None:
            if there_size != result.size_bytes:
                raise BlobCorruptError("Other bytes are in its place in the store to copy to.")
            if there == sidecar:
                return Outcome.PRESENT
            await self._target.stored.verify(guid, size=result.size_bytes, sha256=result.sha256)
            await self._target.blobs.replace_sidecar(guid, sidecar)
            return Outcome.DESCRIBED
        async with await self._source.blobs.read(guid, size=size) as reader:
            data = b"".join([piece async for piece in reader])
        if len(data) != result.size_bytes or await sha256_of(data) != result.sha256:
            raise BlobCorruptError("The bytes are not those that the sidecar describes.")
        await self._target.blobs.put(guid, data, sidecar)
        await self._target.stored.verify(guid, size=result.size_bytes, sha256=result.sha256)
        return Outcome.COPIED

    async def _described(self, guid: str, sidecar: dict[str, Any] | BlobStoreError) -> dict[str, Any]:
        """Return the sidecar of a picture, from its row if the source has lost it."""
        if not isinstance(sidecar, BlobStoreError):
            return sidecar
        image = await self._images.get(guid)
        if image.status is not Status.READY:
            raise BlobCorruptError(f"{sidecar.message} Its row is {image.status.value}: reconcile it first.")
        return sidecar_of(image)
