"""The images of earlier identical requests, and the callers who left without the answer."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from pixyproxy.adapters.sql.mapping import from_time, guid_key, to_time
from pixyproxy.adapters.sql.session import Row, Session, in_list
from pixyproxy.domain.generation import Lease, Predecessor
from pixyproxy.domain.image import Status

_KNOWN = sorted(Status)
STATUSES_OF_NEWER_VERSIONS = (
    f"status < '{_KNOWN[0]}'",
    *(f"status > '{low}' AND status < '{high}'" for low, high in pairwise(_KNOWN)),
    f"status > '{_KNOWN[-1]}'",
)
"""The conditions on statuses that only a newer version writes: they lie between the known ones."""

_COLUMNS = "id, guid, status, updated_at, batch, lease_owner, lease_expires_at, caller_left_at"
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_OF_REQUEST = """request_fingerprint = :fingerprint
    AND idempotency_caller = :caller AND LENGTH(idempotency_caller) = LENGTH(:caller)"""
_MARK_CALLER_LEFT = "UPDATE images SET caller_left_at = :at WHERE guid IN "
_MARK_ANSWERED = "UPDATE images SET lease_owner = NULL, lease_expires_at = NULL WHERE status = 'ready' AND guid IN "


def find_predecessors(
    session: Session, caller: str, fingerprint: str, ended_since: datetime, left_since: datetime
) -> tuple[Predecessor, ...]:
    """Return the images of this request that may be uncertain, oldest first."""
    statuses = ("status = 'generating'", "status = 'queued'", *STATUSES_OF_NEWER_VERSIONS)
    unanswered = "status = 'ready' AND updated_at >= :ended_since AND lease_owner IS NOT NULL"
    by_status = [*statuses, "status = 'unknown' AND updated_at >= :ended_since", unanswered]
    # UNION ALL instead of OR, so that each part reads a range of an index however often the same was requested.
    parts = [_part(session, "images_request", condition) for condition in by_status]
    parts.append(_part(session, "images_caller_left", "caller_left_at >= :left_since"))
    values = {
        "caller": caller,
        "fingerprint": fingerprint,
        "ended_since": to_time(ended_since),
        "left_since": to_time(left_since),
    }
    rows = {row[0]: row for row in session.fetch(" UNION ALL ".join(parts), values)}
    return tuple(_to_predecessor(rows[image_id]) for image_id in sorted(rows))


def mark_caller_left(session: Session, guids: Sequence[str], at: datetime) -> int:
    """Record the time on each of these images; return how many exist."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    return session.change(_MARK_CALLER_LEFT + values, {**parameters, "at": to_time(at)})


def mark_answered(session: Session, guids: Sequence[str]) -> None:
    """End the leases of those of these images that are ready."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    session.change(_MARK_ANSWERED + values, parameters)


def _part(session: Session, index: str, condition: str) -> str:
    return f"SELECT {_COLUMNS} FROM images{session.by_index(index)} WHERE {_OF_REQUEST} AND {condition}"


def _to_predecessor(row: Row) -> Predecessor:
    _, guid, status, updated_at, batch, lease_owner, lease_expires_at, caller_left_at = row
    has_lease = lease_owner is not None and lease_expires_at is not None
    return Predecessor(
        guid=guid,
        status=Status(status),
        updated_at=from_time(updated_at),
        batch=batch,
        lease=Lease(lease_owner, from_time(lease_expires_at)) if has_lease else None,
        caller_left_at=None if caller_left_at is None else from_time(caller_left_at),
    )
