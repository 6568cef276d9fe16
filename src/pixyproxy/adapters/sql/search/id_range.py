"""Id ranges: time bounds become id bounds, because newer images have higher ids, all but the recorded stragglers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.mapping import from_time, to_time
from pixyproxy.adapters.sql.search.bounds import Bounds
from pixyproxy.adapters.sql.search.criteria import has_times
from pixyproxy.adapters.sql.search.posting_list import Key, PostingList, ordered_part
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.query import ImageQuery

SLACK = timedelta(hours=1)
"""An image made at least this much earlier than one that was added before it is a straggler.

It was restored, or made by a process whose clock is wrong. The order of all others by time is that of their ids,
within this tolerance.
"""
NEWEST = 2**63 - 1
"""An id above all others."""

_INSERT = """INSERT INTO image_stragglers (image_id) SELECT :image_id
    FROM (SELECT MAX(created_at) AS latest FROM images) AS newest WHERE newest.latest > :in_order_until"""
_IN_ORDER = "(SELECT 1 FROM image_stragglers WHERE image_id = neighbour.id LIMIT 1) IS NULL"


class IdRange(NamedTuple):
    """Ids below `before` and above `floor`; if `postings` is set, only those in this list can match."""

    before: int
    floor: int = 0
    postings: PostingList | None = None


def is_straggler(created_at: datetime, latest: datetime) -> bool:
    """Return whether an image is out of order that was added after one made at `latest`."""
    return latest - created_at > SLACK


def mark_stragglers(session: Session, added: Sequence[tuple[int, datetime]]) -> None:
    """Record which of the images just added, given by id and time, are out of order.

    Images that others add at this moment are not seen, which matters only if the clocks differ by the slack.
    """
    for image_id, at in added:
        session.change_later(_INSERT, {"image_id": image_id, "in_order_until": _shifted(at, SLACK)})


def latest_time(session: Session) -> datetime | None:
    """Return the time at which the newest image was made, None without images."""
    ((latest,),) = session.fetch("SELECT MAX(created_at) FROM images", {})
    return None if latest is None else from_time(latest)


def mark_restored_stragglers(session: Session, added: Sequence[tuple[int, datetime]], latest: datetime | None) -> None:
    """Record which of many images, in the order of ids, are out of order; `latest` is the time before the first."""
    found = []
    for image_id, at in added:
        latest = at if latest is None else max(latest, at)
        if is_straggler(at, latest):
            found.append({"image_id": image_id})
    session.insert_many("INSERT INTO image_stragglers (image_id) VALUES (:image_id)", found)


def id_ranges(session: Session, query: ImageQuery, bounds: Bounds) -> list[IdRange]:
    """Return the ranges, highest ids first, in which all images of the query's time are.

    An image that is no straggler and was added after one made the slack after the upper bound was itself made after
    that bound. Images added before one that is no straggler and was made the slack before the lower bound were made
    before that bound. Above the former, only stragglers can match.
    """
    before = NEWEST if query.before_id is None else query.before_id
    if not has_times(query):
        return [IdRange(before)]
    table = "images" + session.by_index("images_created")
    parts = []
    parameters: dict[str, Any] = {"neighbours": bounds.neighbours}
    if query.created_before is not None and (later := _shifted(query.created_before, SLACK)):
        parameters["later"] = later
        rows = f"SELECT id FROM {table} WHERE created_at >= :later ORDER BY created_at LIMIT :neighbours"
        parts.append(f"SELECT 'before', MIN(id) FROM ({rows}) AS neighbour")
    if query.created_after is not None and (earlier := _shifted(query.created_after, -SLACK)):
        parameters["earlier"] = earlier
        rows = f"SELECT id FROM {table} WHERE created_at < :earlier ORDER BY created_at DESC LIMIT :neighbours"
        parts.append(f"SELECT 'floor', MAX(id) FROM ({rows}) AS neighbour WHERE {_IN_ORDER}")
    if not parts:
        return [IdRange(before)]
    found = {bound: int(value or 0) for bound, value in session.fetch(" UNION ALL ".join(parts), parameters)}
    floor, end = found.get("floor", 0), found.get("before") or NEWEST
    if end >= before:
        return [IdRange(before, floor)]
    stragglers = PostingList("stragglers", (ordered_part(session, Key("image_stragglers", "PRIMARY", ())),))
    return [IdRange(before, max(floor, end), stragglers), IdRange(end, floor)]


def _shifted(time: datetime, by: timedelta) -> str | None:
    """Return the time shifted by a duration, or None beyond the calendar."""
    try:
        return to_time(time + by)
    except OverflowError:
        return None
