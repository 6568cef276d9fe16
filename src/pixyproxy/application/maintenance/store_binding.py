"""The use case that binds a blob store to its database, and tells a wrong or emptied store from a new one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from pixyproxy.domain.errors import StoreIdentityError
from pixyproxy.domain.image import new_guid
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.maintenance_repository import BindingState, MaintenanceRepository, StoreIdentity

LEASE_NAME = "store-binding"
NEWEST = 10
"""Newest images of an earlier version's database, half of which a blob store must hold to be taken for its own."""
_LEASE = timedelta(seconds=20)
_POLL_S = 0.1


class StoreBinding:
    """The identity that a database and its blob store share.

    The database records that it begins before the store is marked, and that it is bound afterwards: a marker without
    an entry in this database was never written for it.
    """

    def __init__(
        self,
        maintenance: MaintenanceRepository,
        blobs: BlobStore,
        stored: BlobMaintenance,
        clock: Clock,
        *,
        owner: str,
    ) -> None:
        """`owner` names this process in the lease that lets one process at a time bind."""
        self._maintenance = maintenance
        self._blobs = blobs
        self._stored = stored
        self._clock = clock
        self._owner = owner

    async def bind(self) -> None:
        """Bind a new database and a new blob store to each other, or make sure that they belong to each other.

        Raises:
            StoreIdentityError: they do not; nothing was changed.
        """
        if not self._blobs.is_lasting:
            return
        known = await self._maintenance.identity()
        if known is not None and known.state is BindingState.BOUND:
            await self._blobs.set_identity(await self._require(known.value))
            return
        # Two machines whose folders are not shared must not both mark their own.
        await self._acquire_lease()
        try:
            value = await self._bindable()
            await self._maintenance.save_identity(StoreIdentity(value, BindingState.BEGUN))
            await self._blobs.set_identity(value)
            await self._maintenance.save_identity(StoreIdentity(value, BindingState.BOUND))
        finally:
            await self._maintenance.release_lease(LEASE_NAME, self._owner)

    async def verify(self) -> str:
        """Return a sentence for people if database and blob store belong to each other or could be bound.

        Raises:
            StoreIdentityError: they do not belong to each other.
        """
        if not self._blobs.is_lasting:
            return "forgets everything at exit, so nothing is bound to it"
        known = await self._maintenance.identity()
        if known is not None and known.state is BindingState.BOUND:
            return f"belongs to this database ({await self._require(known.value)})"
        await self._bindable()
        return "not bound to this database yet: the first `pixyproxy serve` or `generate` does it"

    @asynccontextmanager
    async def rebuilding(self) -> AsyncIterator[None]:
        """Give a database the identity of the blob store from which it is rebuilt; if that fails, it stays unfinished.

        Raises:
            StoreIdentityError: the store does not hold the newest images of the database.
        """
        known, found = await self._maintenance.identity(), await self._blobs.identity()
        _require_whole(known)
        # An empty folder may be the place of a disk that is not mounted.
        if not self._blobs.is_lasting or (found is None and not await self._holds_pictures()):
            yield
            return
        if found is None or known is None or known.value != found:
            await self._require_newest()
        value = found or (new_guid() if known is None else known.value)
        is_bound = known == StoreIdentity(value, BindingState.BOUND)
        if not is_bound:
            await self._maintenance.save_identity(StoreIdentity(value, BindingState.REBUILDING))
        await self._blobs.set_identity(value)
        yield
        if not is_bound:
            await self._maintenance.save_identity(StoreIdentity(value, BindingState.BOUND))

    async def _require(self, identity: str) -> str:
        """Return the identity of a bound database if the blob store carries it."""
        found = await self._blobs.identity()
        if found is None:
            raise StoreIdentityError(
                f"The blob store does not carry the identity {identity} of this database: it is another one, was "
                "emptied, or is not mounted. Choose or mount the right one. `pixyproxy rebuild` marks one that holds "
                "this database's newest pictures; to go on with an empty folder, write that identity to its file "
                "pixyproxy.id."
            )
        if found != identity:
            raise StoreIdentityError(
                f"The blob store belongs to another database ({found}; this one is {identity}): choose the one that "
                "belongs to this database, or the database that belongs to it."
            )
        return identity

    async def _bindable(self) -> str:
        """Return the identity under which a database that is not bound yet can be bound to the blob store."""
        known, found = await self._maintenance.identity(), await self._blobs.identity()
        if known is not None and known.state is BindingState.BOUND:
            return await self._require(known.value)
        _require_whole(known)
        if known is not None and known.state is BindingState.REBUILDING:
            raise StoreIdentityError("A rebuild of this database was interrupted: run `pixyproxy rebuild` again.")
        if known is not None and known.value == found:
            return known.value
        if not await self._require_newest():
            # A new database.
            if found is not None:
                raise StoreIdentityError(
                    f"The blob store belongs to another database ({found}): choose another store or the right "
                    "database, or run `pixyproxy rebuild` to fill this one from the store."
                )
            if await self._holds_pictures():
                raise StoreIdentityError(
                    "The blob store holds pictures, and this database is new: choose another store or the right "
                    "database, or run `pixyproxy rebuild` to fill this one from the store."
                )
        return found or (new_guid() if known is None else known.value)

    async def _require_newest(self) -> int:
        """Return the number of newest images that were looked for; at least half of them must be in the store."""
        newest = [image.guid for image in await self._maintenance.newest(NEWEST)]
        held = len(await self._stored.sizes(newest)) if newest else 0
        if held * 2 < len(newest):
            raise StoreIdentityError(
                f"The blob store holds {held} of the {len(newest)} newest pictures of this database: it is another "
                "one, was emptied, or is not mounted. Choose or mount the right one."
            )
        return len(newest)

    async def _holds_pictures(self) -> bool:
        async for blob in self._stored.walk():
            if blob.size is not None:
                return True
        return False

    async def _acquire_lease(self) -> None:
        """Wait for the lease, which another process holds for a moment, or until it ends if that process has died."""
        while True:
            now = self._clock.now()
            if await self._maintenance.acquire_lease(LEASE_NAME, self._owner, now, now + _LEASE):
                return
            await asyncio.sleep(_POLL_S)


def _require_whole(known: StoreIdentity | None) -> None:
    if known is not None and known.state is BindingState.COPYING:
        raise StoreIdentityError("The copy of this database is not complete: run `pixyproxy copy-database` again.")
