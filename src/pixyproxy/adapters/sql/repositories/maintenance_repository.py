"""The records of images behind SQL, seen by those who look after them."""

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime
from functools import partial

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.repositories import maintenance as recovery
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.maintenance_repository import MaintenanceRepository, Totals


class SQLMaintenanceRepository(MaintenanceRepository):
    """Looks after the images in an SQL database, which other repositories may share."""

    @abstractmethod
    def __init__(self, database: SQLDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        """Open the database and check its tables."""
        await self._database.open(self)

    async def close(self) -> None:
        """Close the database, unless another repository still uses it."""
        await self._database.close(self)

    async def renew_leases(self, owner: str, until: datetime) -> int:
        """Extend all in one statement; where the connection is lost during the commit, look whether they are."""
        return await self._database.write(
            partial(recovery.renew_leases, owner=owner, until=until),
            reread=partial(recovery.renewed, owner=owner, until=until),
        )

    async def expired(self, now: datetime, limit: int) -> tuple[Image, ...]:
        """Read them by the index of leases."""
        return await self._database.read(partial(recovery.expired, now=now, limit=limit))

    async def take_over(self, guid: str, owner: str, now: datetime, until: datetime) -> bool:
        """Compare and set in one statement; where the connection is lost during the commit, look whose lease it is."""
        return await self._database.write(
            partial(recovery.take_over, guid=guid, owner=owner, now=now, until=until),
            reread=partial(recovery.taken_over, guid=guid, owner=owner, now=now, until=until),
        )

    async def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Compare and set in one transaction; where the connection is lost during the commit, look who holds it."""

        async def acquire() -> bool:
            return await self._database.write(
                partial(recovery.acquire_lease, name=name, owner=owner, now=now, until=until),
                reread=partial(recovery.acquired_lease, name=name, owner=owner, now=now, until=until),
            )

        try:
            return await acquire()
        except ConstraintViolationError:
            # Another process inserted the row in the same moment: now there is one to compare with.
            return await acquire()

    async def release_lease(self, name: str, owner: str) -> None:
        """Set an end that has passed."""
        await self._database.write(partial(recovery.release_lease, name=name, owner=owner))

    async def statuses(self, guids: Collection[str]) -> dict[str, Status]:
        """Read them by the unique key."""
        return await self._database.read(partial(recovery.statuses, guids=guids))

    async def walk(self, after_id: int, limit: int) -> tuple[Image, ...]:
        """Read one page by the primary key."""
        return await self._database.read(partial(recovery.walk, after_id=after_id, limit=limit))

    async def totals(self) -> Totals:
        """Sum up slice by slice; what changes meanwhile is counted as it was when its slice was read."""
        return await recovery.totals(self._database.read)

    async def restore(self, image: Image) -> bool:
        """Insert the image; where the connection is lost during the commit, look whether it is there."""
        restoration = recovery.Restoration(image)
        try:
            return await self._database.write(restoration.run, reread=restoration.reread)
        except ConstraintViolationError:
            if not await self.statuses([image.guid]):
                raise
            return False
