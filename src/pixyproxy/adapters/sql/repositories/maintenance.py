"""The transactions of the recovery repositories, written once for every SQL server."""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from functools import partial
from typing import NamedTuple

from pixyproxy.adapters.sql.mapping import INSERT_IMAGE, SELECT_IMAGE, guid_key, new_row, to_image, to_time
from pixyproxy.adapters.sql.search.id_range import mark_stragglers
from pixyproxy.adapters.sql.search.index_rows import insert_sources, insert_tags, insert_terms
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.maintenance_repository import Totals

# SQLite before 3.32 takes 999 parameters in a statement.
_GUIDS_AT_ONCE = 500
SLICE = 20_000
"""So many rows are summed up by one statement: their number must not decide whether it ends within its time limit."""

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_IS_OWN = "status = 'generating' AND lease_owner = :owner AND LENGTH(lease_owner) = LENGTH(:owner)"
_IS_FREE = "status = 'generating' AND (lease_expires_at IS NULL OR lease_expires_at < :now)"
_RENEW = " ".join(
    [
        "UPDATE images SET lease_expires_at =",
        "CASE WHEN lease_expires_at > :until THEN lease_expires_at ELSE :until END WHERE",
        _IS_OWN,
    ]
)
_RENEWED = " ".join(
    [
        "SELECT COUNT(*), COUNT(CASE WHEN lease_expires_at >= :until THEN 1 END) FROM images WHERE",
        _IS_OWN,
    ]
)
_EXPIRED = " ".join([SELECT_IMAGE, "WHERE", _IS_FREE, "ORDER BY images.id LIMIT :most"])
_TAKE_OVER = " ".join(
    ["UPDATE images SET lease_owner = :owner, lease_expires_at = :until WHERE guid = :guid AND", _IS_FREE]
)
_IS_TAKEN = " ".join(
    [
        "SELECT CASE WHEN",
        _IS_OWN,
        "AND lease_expires_at >= :until THEN 'own' WHEN",
        _IS_FREE,
        "THEN 'free' END FROM images WHERE guid = :guid",
    ]
)
_LEASE_IS_OWN = "owner = :owner AND LENGTH(owner) = LENGTH(:owner)"
_ACQUIRE = " ".join(
    [
        "UPDATE maintenance_leases SET owner = :owner, expires_at = :until",
        "WHERE name = :name AND (expires_at < :now OR (",
        _LEASE_IS_OWN,
        "))",
    ]
)
_LEASE = "SELECT 1 FROM maintenance_leases WHERE name = :name"
_ADD_LEASE = "INSERT INTO maintenance_leases (name, owner, expires_at) VALUES (:name, :owner, :until)"
_LEASE_STATE = " ".join(
    [
        "SELECT CASE WHEN",
        _LEASE_IS_OWN,
        "THEN CASE WHEN expires_at >= :until THEN 'own' END",
        "WHEN expires_at >= :now THEN 'foreign' END FROM maintenance_leases WHERE name = :name",
    ]
)
# The row stays, so that processes compete for a row lock and not for an insertion.
_RELEASE = " ".join(
    ["UPDATE maintenance_leases SET expires_at = '1970-01-01 00:00:00.000000' WHERE name = :name AND", _LEASE_IS_OWN]
)
_WALK = SELECT_IMAGE + " WHERE images.id > :after_id ORDER BY images.id LIMIT :most"
_SUM = """SELECT MAX(id), COUNT(CASE WHEN status = 'ready' THEN 1 END),
    COALESCE(SUM(CASE WHEN status = 'ready' THEN size_bytes END), 0)
    FROM (SELECT id, status, size_bytes FROM images WHERE id > :after_id ORDER BY id LIMIT :most) AS slice"""


class Sum(NamedTuple):
    """What a slice of rows comes to, and the id of its last row, None behind the end."""

    last_id: int | None
    totals: Totals


def renew_leases(session: Session, owner: str, until: datetime) -> int:
    """Extend the leases of this owner, none of which gets shorter."""
    return session.change(_RENEW, {"owner": owner, "until": to_time(until)})


def renewed(session: Session, owner: str, until: datetime) -> int | None:
    """How many leases this owner has if all of them run until then, else None."""
    leases, extended = session.fetch(_RENEWED, {"owner": owner, "until": to_time(until)})[0]
    return int(leases) if leases == extended else None


def expired(session: Session, now: datetime, limit: int) -> tuple[Image, ...]:
    """Rows that nobody works on any more."""
    rows = session.fetch(_EXPIRED, {"now": to_time(now), "most": limit})
    return tuple(map(to_image, rows))


def take_over(session: Session, guid: str, owner: str, now: datetime, until: datetime) -> bool:
    """Take the lease in one statement: who waits for the row meanwhile finds it taken."""
    return session.change(_TAKE_OVER, _taking(guid, owner, now, until)) == 1


def taken_over(session: Session, guid: str, owner: str, now: datetime, until: datetime) -> bool | None:
    """Whether the lease is this one, perhaps renewed since; None while it is free: the server may yet hand it over."""
    rows = session.fetch(_IS_TAKEN, _taking(guid, owner, now, until))
    state = rows[0][0] if rows else None
    return None if state == "free" else state == "own"


def acquire_lease(session: Session, name: str, owner: str, now: datetime, until: datetime) -> bool:
    """Take or renew a named lease; two that insert its row at once violate a constraint."""
    values = {"name": name, "owner": owner, "until": to_time(until)}
    if session.change(_ACQUIRE, values | {"now": to_time(now)}):
        return True
    if session.fetch(_LEASE, {"name": name}):
        return False
    session.change(_ADD_LEASE, values)
    return True


def acquired_lease(session: Session, name: str, owner: str, now: datetime, until: datetime) -> bool | None:
    """Return whether this owner has the lease until then, or None if nobody has: the server may yet commit."""
    values = {"name": name, "owner": owner, "now": to_time(now), "until": to_time(until)}
    rows = session.fetch(_LEASE_STATE, values)
    state = rows[0][0] if rows else None
    return None if state is None else state == "own"


def release_lease(session: Session, name: str, owner: str) -> None:
    """End a named lease if this owner has it."""
    session.change(_RELEASE, {"name": name, "owner": owner})


def statuses(session: Session, guids: Collection[str]) -> dict[str, Status]:
    """The status of each of these guids for which there is a row."""
    keys = sorted({guid_key(guid) for guid in guids} - {""})
    found: dict[str, Status] = {}
    for start in range(0, len(keys), _GUIDS_AT_ONCE):
        parameters = {f"guid_{i}": key for i, key in enumerate(keys[start : start + _GUIDS_AT_ONCE])}
        names = ", ".join(f":{name}" for name in parameters)
        rows = session.fetch(" ".join(["SELECT guid, status FROM images WHERE guid IN (", names, ")"]), parameters)
        found |= {guid: Status(status) for guid, status in rows}
    return found


def walk(session: Session, after_id: int, limit: int) -> tuple[Image, ...]:
    """The next rows by primary key."""
    return tuple(map(to_image, session.fetch(_WALK, {"after_id": after_id, "most": limit})))


async def totals(read: Callable[[Callable[[Session], Sum]], Awaitable[Sum]]) -> Totals:
    """What all slices come to, each read by itself and within a time limit of its own."""
    last, images, size_bytes = 0, 0, 0
    while True:
        part = await read(partial(_sum, after_id=last))
        if part.last_id is None:
            return Totals(images, size_bytes)
        last, images, size_bytes = part.last_id, images + part.totals.images, size_bytes + part.totals.size_bytes


class Restoration:
    """The restoring of one image, which knows afterwards the id it gave."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._id = 0

    def run(self, session: Session) -> bool:
        """Insert the image and the rows by which it is found; a guid that has a row violates a constraint."""
        self._id = session.insert(INSERT_IMAGE, new_row(self._image))
        insert_tags(session, self._id, self._image.request.tags)
        insert_terms(session, self._id, self._image.request.prompt)
        insert_sources(session, self._id, self._image.request.derived_from)
        mark_stragglers(session, [(self._id, self._image.request.created_at)])
        return True

    def reread(self, session: Session) -> bool | None:
        """Whether the row of this guid is the one that was inserted here, None if there is none."""
        rows = session.fetch("SELECT id FROM images WHERE guid = :guid", {"guid": guid_key(self._image.guid)})
        return bool(rows[0][0] == self._id) if rows else None


def _taking(guid: str, owner: str, now: datetime, until: datetime) -> dict[str, str]:
    return {"guid": guid_key(guid), "owner": owner, "now": to_time(now), "until": to_time(until)}


def _sum(session: Session, after_id: int) -> Sum:
    last_id, images, size_bytes = session.fetch(_SUM, {"after_id": after_id, "most": SLICE})[0]
    return Sum(last_id, Totals(int(images), int(size_bytes)))
