"""The transactions of images that wait for their turn: start, go back, and be deleted."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pixyproxy.adapters.sql.mapping import from_json, guid_key, to_json, to_time
from pixyproxy.adapters.sql.money.charges import change_charges
from pixyproxy.adapters.sql.repositories.image_transactions import find_all, missing
from pixyproxy.adapters.sql.session import Session, in_list
from pixyproxy.domain.errors import ImageNotQueuedError
from pixyproxy.domain.generation import Lease, QueuedCall
from pixyproxy.domain.image import Image, Status

_START = """UPDATE images SET status = 'generating', updated_at = :now, lease_owner = :owner,
    lease_expires_at = :until, queued_call = NULL WHERE guid = :guid"""
_REQUEUE = "UPDATE images SET status = 'queued', updated_at = :now WHERE guid = :guid"
_KEEP_CALL = "UPDATE images SET queued_call = :call WHERE guid = :guid"
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_UNDER_LEASE = "lease_owner = :owner AND LENGTH(lease_owner) = LENGTH(:owner)"
_OF_OWNER = f"SELECT guid FROM images WHERE {_UNDER_LEASE} AND guid IN "
_QUEUED_IN_BATCH = "SELECT guid FROM images WHERE batch = :batch AND status = 'queued' ORDER BY id"
_QUEUED_CALL = "SELECT queued_call FROM images WHERE guid = :guid AND status = 'queued'"
_DELETE = "DELETE FROM images WHERE guid = :guid"


def start(session: Session, guids: Sequence[str], lease: Lease, now: datetime) -> tuple[Image, ...]:
    """Make the `queued` ones of these images `generating` under a lease; a process that comes later finds none."""
    found = find_all(session, guids, session.row_lock).values()
    queued = [image.guid for image in found if image.status is Status.QUEUED]
    values = {"now": to_time(now), "owner": lease.owner, "until": to_time(lease.expires_at)}
    session.change_each(_START, [{**values, "guid": guid_key(guid)} for guid in queued])
    return _in_order(session, queued)


def find_started(session: Session, guids: Sequence[str], lease: Lease) -> tuple[Image, ...] | None:
    """Return the images that `start` gave this lease, None unless there are any: its commit had no effect then."""
    own = _of_owner(session, guids, lease.owner)
    started = [image for image in _in_order(session, own) if image.status is Status.GENERATING]
    return tuple(started) or None


def requeue(session: Session, guids: Sequence[str], owner: str, call: QueuedCall, now: datetime) -> tuple[Image, ...]:
    """Make those of these images `queued` again that are `generating` under a lease of this owner."""
    own = _of_owner(session, guids, owner)
    found = find_all(session, own, session.row_lock).values() if own else ()
    running = [image.guid for image in sorted(found, key=_age) if image.status is Status.GENERATING]
    session.change_each(_REQUEUE, [{"now": to_time(now), "guid": guid_key(guid)} for guid in running])
    if running:
        session.change_later(_KEEP_CALL, {"call": to_json(call.as_json()), "guid": guid_key(running[0])})
    return _in_order(session, running)


def delete(session: Session, guid: str, *, only_queued: bool = False) -> tuple[str, ...]:
    """Delete an image, and by cascade its postings; a `queued` one with all of its call that are queued, unpaid.

    With `only_queued` raise ImageNotQueuedError for any other status. The lock of the row decides between this and
    `start`: the later one finds what the other has committed.
    """
    image = find_all(session, [guid], session.row_lock).get(guid)
    if image is None:
        raise missing()
    if only_queued and image.status is not Status.QUEUED:
        raise ImageNotQueuedError.of(guid, image.status)
    guids = (guid,)
    if image.status is Status.QUEUED:
        batch = image.request.batch
        rows = [] if batch is None else session.fetch(_QUEUED_IN_BATCH + session.row_lock, {"batch": guid_key(batch)})
        guids = tuple(queued for (queued,) in rows) or guids
        change_charges(session, {queued: lambda charge: charge.failed(Status.FAILED) for queued in guids})
    session.change_each(_DELETE, [{"guid": guid_key(one)} for one in guids])
    return guids


def find_call(session: Session, guid: str) -> QueuedCall | None:
    """Return the call that is kept with a `queued` image."""
    rows = session.fetch(_QUEUED_CALL, {"guid": guid_key(guid)})
    return None if not rows or rows[0][0] is None else QueuedCall.from_json(from_json(rows[0][0]))


def _of_owner(session: Session, guids: Sequence[str], owner: str) -> list[str]:
    values, parameters = in_list([guid_key(guid) for guid in guids])
    return [guid for (guid,) in session.fetch(_OF_OWNER + values, {**parameters, "owner": owner})]


def _in_order(session: Session, guids: Iterable[str]) -> tuple[Image, ...]:
    guids = list(guids)
    return tuple(sorted(find_all(session, guids).values(), key=_age)) if guids else ()


def _age(image: Image) -> int:
    return image.id
