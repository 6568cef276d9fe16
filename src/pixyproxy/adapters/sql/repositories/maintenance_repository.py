"""Leases, surveys and restoring of images in an SQL database."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from pixyproxy.adapters.sql.mapping import SELECT_IMAGE, guid_key, to_image, to_time
from pixyproxy.adapters.sql.repositories.image_transactions import ids_of, restore_images
from pixyproxy.adapters.sql.repositories.queue_transactions import find_call
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.session import Parameters, Row, Session, in_list
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.generation import QueuedCall
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.maintenance_repository import (
    COUNT_LIMIT,
    BindingState,
    MaintenanceRepository,
    RowSummary,
    StoreIdentity,
    Totals,
)

_MAX_GUIDS = 500
"""GUIDs of one statement at most: SQLite before 3.32 takes 999 parameters."""
SLICE = 20_000
"""Rows summed up by one statement, so that it meets its time limit however many rows there are."""

# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_IS_LEASED = "status IN ('generating', 'queued')"
_IS_OWN = f"{_IS_LEASED} AND lease_owner = :owner AND LENGTH(lease_owner) = LENGTH(:owner)"
_HAS_ENDED = "(lease_expires_at IS NULL OR lease_expires_at < :now)"
_IS_FREE = f"{_IS_LEASED} AND {_HAS_ENDED}"
_RENEW = f"""UPDATE images
    SET lease_expires_at = CASE WHEN lease_expires_at > :until THEN lease_expires_at ELSE :until END WHERE {_IS_OWN}"""
_RENEWED = f"""SELECT COUNT(*), COUNT(CASE WHEN lease_expires_at >= :until THEN 1 END) FROM images WHERE {_IS_OWN}"""
_LEASE_OWNERS = f"SELECT DISTINCT lease_owner FROM images WHERE {_IS_LEASED} AND lease_owner IS NOT NULL"
_END_LEASES = f"UPDATE images SET lease_expires_at = :at WHERE {_IS_OWN} AND lease_expires_at > :at"
_EXPIRED = f"{SELECT_IMAGE} WHERE status = :status AND {_HAS_ENDED} ORDER BY images.id LIMIT :most"
_LEAVE_QUEUE = """UPDATE images SET lease_owner = NULL, lease_expires_at = NULL
    WHERE status = 'queued' AND lease_owner = :owner AND LENGTH(lease_owner) = LENGTH(:owner)"""
_QUEUED_BEFORE = "SELECT COUNT(*) FROM images WHERE status = 'queued' AND id < :image_id"
_TAKE_OVER = f"UPDATE images SET lease_owner = :owner, lease_expires_at = :until WHERE guid = :guid AND {_IS_FREE}"
_IS_TAKEN = f"""SELECT CASE WHEN {_IS_OWN} AND lease_expires_at >= :until THEN 'own' WHEN {_IS_FREE} THEN 'free' END
    FROM images WHERE guid = :guid"""
_NAMED_LEASE_IS_OWN = "owner = :owner AND LENGTH(owner) = LENGTH(:owner)"
_ACQUIRE = f"""UPDATE maintenance_leases SET owner = :owner, expires_at = :until
    WHERE name = :name AND (expires_at < :now OR ({_NAMED_LEASE_IS_OWN}))"""
_NAMED_LEASE = "SELECT 1 FROM maintenance_leases WHERE name = :name"
_ADD_NAMED_LEASE = "INSERT INTO maintenance_leases (name, owner, expires_at) VALUES (:name, :owner, :until)"
_IS_ACQUIRED = f"""SELECT
    CASE WHEN {_NAMED_LEASE_IS_OWN} THEN CASE WHEN expires_at >= :until THEN 'own' ELSE 'free' END
    WHEN expires_at < :now THEN 'free' END FROM maintenance_leases WHERE name = :name"""
# The row stays, so that processes compete for a row lock and not for an insertion.
_NEVER = "'1970-01-01 00:00:00.000000'"
_RELEASE = f"""UPDATE maintenance_leases SET expires_at = {_NEVER}
    WHERE name = :name AND {_NAMED_LEASE_IS_OWN}"""
_POSITION = "SELECT position FROM maintenance_leases WHERE name = :name"
_SAVE_POSITION = f"""UPDATE maintenance_leases SET position = :position
    WHERE name = :name AND {_NAMED_LEASE_IS_OWN} AND expires_at > {_NEVER}"""
_SUMMARIES = """SELECT guid, status, size_bytes FROM images
    WHERE guid > :after AND guid >= :prefix AND guid < :beyond ORDER BY guid LIMIT :most"""
_WALK = SELECT_IMAGE + " WHERE images.id > :after_id ORDER BY images.id LIMIT :most"
_COUNT = """SELECT COUNT(*) FROM (SELECT id FROM images WHERE status = :status LIMIT :most) AS some_rows"""
_NEWEST = SELECT_IMAGE + "{index} WHERE status = 'ready' ORDER BY images.id DESC LIMIT :most"
_UNCERTAIN = SELECT_IMAGE + "{index} WHERE status = 'unknown' ORDER BY images.id DESC LIMIT :most"
_SAVE_IDENTITY = "INSERT INTO store_identity (id, identity, state) VALUES (1, :identity, :state)"
_SUM = """SELECT MAX(id), COUNT(CASE WHEN status = 'ready' THEN 1 END),
    COALESCE(SUM(CASE WHEN status = 'ready' THEN size_bytes END), 0)
    FROM (SELECT id, status, size_bytes FROM images WHERE id > :after_id ORDER BY id LIMIT :most) AS slice"""


class SQLMaintenanceRepository(SQLRepository, MaintenanceRepository):
    """Looks after the images in an SQL database."""

    async def renew_leases(self, owner: str, until: datetime) -> int:
        values = {"owner": owner, "until": to_time(until)}

        def renewed(session: Session) -> int | None:
            leases, extended = session.fetch(_RENEWED, values)[0]
            return int(leases) if leases == extended else None

        return await self._database.write(lambda session: session.change(_RENEW, values), reread=renewed)

    async def lease_owners(self) -> frozenset[str]:
        rows = await self._database.read(lambda session: session.fetch(_LEASE_OWNERS, {}))
        return frozenset(owner for (owner,) in rows)

    async def end_leases(self, owner: str, at: datetime) -> None:
        values = {"owner": owner, "at": to_time(at)}
        await self._database.write(lambda session: session.change(_END_LEASES, values))

    async def leave_queue(self, owner: str) -> None:
        await self._database.write(lambda session: session.change(_LEAVE_QUEUE, {"owner": owner}))

    async def expired(self, now: datetime, limit: int) -> tuple[Image, ...]:
        return await self._images(_EXPIRED, {"status": "generating", "now": to_time(now), "most": limit})

    async def expired_in_queue(self, now: datetime, limit: int) -> tuple[Image, ...]:
        return await self._images(_EXPIRED, {"status": "queued", "now": to_time(now), "most": limit})

    async def queued_call(self, guid: str) -> QueuedCall | None:
        return await self._database.read(partial(find_call, guid=guid))

    async def queued_before(self, image_id: int) -> int:
        rows = await self._database.read(lambda session: session.fetch(_QUEUED_BEFORE, {"image_id": image_id}))
        return int(rows[0][0])

    async def take_over(self, guid: str, owner: str, now: datetime, until: datetime) -> bool:
        """Compare and set in one statement: a process that waits for the row then finds it taken."""
        values = {"guid": guid_key(guid), "owner": owner, "now": to_time(now), "until": to_time(until)}
        return await self._database.write(
            lambda session: session.change(_TAKE_OVER, values) == 1,
            reread=lambda session: _outcome(session.fetch(_IS_TAKEN, values), absent=False),
        )

    async def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        values = {"name": name, "owner": owner, "now": to_time(now), "until": to_time(until)}

        async def acquire() -> bool:
            return await self._database.write(
                partial(_acquire_lease, values=values),
                reread=lambda session: _outcome(session.fetch(_IS_ACQUIRED, values), absent=None),
            )

        try:
            return await acquire()
        except ConstraintViolationError:
            # Another process inserted the row in the same moment: now there is one to compare with.
            return await acquire()

    async def release_lease(self, name: str, owner: str) -> None:
        await self._database.write(lambda session: session.change(_RELEASE, {"name": name, "owner": owner}))

    async def lease_position(self, name: str) -> str:
        rows = await self._database.read(lambda session: session.fetch(_POSITION, {"name": name}))
        return str(rows[0][0] or "") if rows else ""

    async def save_lease_position(self, name: str, owner: str, position: str) -> None:
        values = {"name": name, "owner": owner, "position": position}
        await self._database.write(lambda session: session.change(_SAVE_POSITION, values))

    async def statuses(self, guids: Collection[str]) -> dict[str, Status]:
        return await self._database.read(partial(_statuses, guids=guids))

    async def count(self, status: Status) -> int:
        values = {"status": status.value, "most": COUNT_LIMIT}
        [(count,)] = await self._database.read(lambda session: session.fetch(_COUNT, values))
        return int(count)

    async def walk(self, after_id: int, limit: int) -> tuple[Image, ...]:
        return await self._images(_WALK, {"after_id": after_id, "most": limit})

    async def summaries(self, prefix: str, after: str, limit: int) -> tuple[RowSummary, ...]:
        """Read by the index on GUIDs, whose digits and hyphens all sort before `g`."""
        values = {"after": after, "prefix": prefix, "beyond": f"{prefix}g", "most": limit}
        rows = await self._database.read(lambda session: session.fetch(_SUMMARIES, values))
        return tuple(RowSummary(guid, Status(status), size) for guid, status, size in rows)

    async def totals(self) -> Totals:
        """Sum up slice by slice, each within a time limit of its own."""
        after_id, images, size_bytes = 0, 0, 0
        while True:
            last_id, count, total = await self._database.read(partial(_sum, after_id=after_id))
            if last_id is None:
                return Totals(images, size_bytes)
            after_id, images, size_bytes = last_id, images + int(count), size_bytes + int(total)

    async def newest(self, limit: int) -> tuple[Image, ...]:
        """Read backwards by the key of the table, which is short unless most rows are not `ready`."""

        def find(session: Session) -> Sequence[Row]:
            return session.fetch(_NEWEST.format(index=session.by_index("PRIMARY")), {"most": limit})

        return tuple(map(to_image, await self._database.read(find)))

    async def uncertain(self, limit: int) -> tuple[Image, ...]:
        """Read by the index on the status: few rows are `unknown`, and the key of the table would lead to all."""

        def find(session: Session) -> Sequence[Row]:
            return session.fetch(_UNCERTAIN.format(index=session.by_index("images_lease")), {"most": limit})

        return tuple(map(to_image, await self._database.read(find)))

    async def identity(self) -> StoreIdentity | None:
        return await self._database.read(_identity)

    async def save_identity(self, identity: StoreIdentity) -> None:
        values = {"identity": identity.value, "state": identity.state.value}

        def save(session: Session) -> bool:
            session.change_later("DELETE FROM store_identity", {})
            session.change_later(_SAVE_IDENTITY, values)
            return True

        await self._database.write(save, reread=lambda session: _identity(session) == identity or None)

    async def restore_all(self, images: Sequence[Image]) -> tuple[bool, ...]:
        """Insert all at once, and where that fails those whose GUID is new."""
        first: dict[str, Image] = {}
        for image in images:
            first.setdefault(image.guid, image)
        left = list(first.values())
        while left:
            try:
                if await self._insert(left):
                    break
            except ConstraintViolationError:
                if not await self.statuses([image.guid for image in left]):
                    raise
            known = await self.statuses([image.guid for image in left])
            left = [image for image in left if image.guid not in known]
        return _outcomes(images, [image.guid for image in left])

    async def _insert(self, images: Sequence[Image]) -> bool:
        """Insert images, all or none; return False if another process has added one whose commit was uncertain."""
        ids: dict[str, int] = {}

        def insert(session: Session) -> bool:
            ids.update(restore_images(session, images))
            return True

        def inserted(session: Session) -> bool | None:
            # The ids tell rows of this transaction from those of another process that was quicker.
            found = ids_of(session, [image.guid for image in images])
            return found == ids if found else None

        return await self._database.write(insert, reread=inserted)

    async def _images(self, sql: str, values: Parameters) -> tuple[Image, ...]:
        return tuple(map(to_image, await self._database.read(lambda session: session.fetch(sql, values))))


def _outcomes(images: Sequence[Image], added: Collection[str]) -> tuple[bool, ...]:
    """Return for each image whether its GUID was added; of several with one GUID the first was."""
    left = set(added)
    outcomes = []
    for image in images:
        outcomes.append(image.guid in left)
        left.discard(image.guid)
    return tuple(outcomes)


def _acquire_lease(session: Session, values: Parameters) -> bool:
    if session.change(_ACQUIRE, values):
        return True
    if session.fetch(_NAMED_LEASE, values):
        return False
    session.change(_ADD_NAMED_LEASE, values)
    return True


def _outcome(rows: Sequence[Row], *, absent: bool | None) -> bool | None:
    """Return whether a lease was taken, or None while it is free: the server may yet commit."""
    if not rows:
        return absent
    return None if rows[0][0] == "free" else rows[0][0] == "own"


def _identity(session: Session) -> StoreIdentity | None:
    rows = session.fetch("SELECT identity, state FROM store_identity", {})
    return StoreIdentity(rows[0][0], BindingState(rows[0][1])) if rows else None


def _sum(session: Session, after_id: int) -> Row:
    return session.fetch(_SUM, {"after_id": after_id, "most": SLICE})[0]


def _statuses(session: Session, guids: Collection[str]) -> dict[str, Status]:
    keys = sorted({guid_key(guid) for guid in guids} - {""})
    found: dict[str, Status] = {}
    for start in range(0, len(keys), _MAX_GUIDS):
        values, parameters = in_list(keys[start : start + _MAX_GUIDS])
        rows = session.fetch(f"SELECT guid, status FROM images WHERE guid IN {values}", parameters)
        found |= {guid: Status(status) for guid, status in rows}
    return found
