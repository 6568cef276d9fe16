"""Id ranges: time bounds become id bounds, because newer images have higher ids, all but the recorded stragglers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.mapping import from_time, to_time
from pixyproxy.adapters.sql.search.audiences import audiences_of_image
from pixyproxy.adapters.sql.search.bounds import Bounds
from pixyproxy.adapters.sql.search.criteria import has_times
from pixyproxy.adapters.sql.search.posting_list import IMAGE_INDEX, PostingList, term_postings
from pixyproxy.adapters.sql.search.postings import STRAGGLER, TIME, insert_stragglers
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Image
from pixyproxy.domain.query import ImageQuery

SLACK = timedelta(hours=1)
"""An image made at least this much earlier than one that was added before it is a straggler.

It was restored, or made by a process whose clock is wrong. The order of all others by time is that of their ids,
within this tolerance.
"""
NEWEST = 2**63 - 1
"""An id above all others."""

_INSERT = """INSERT INTO image_postings (audience, term, image_id) SELECT :audience, :straggler, :image_id
    FROM (SELECT MAX(created_at) AS latest FROM images) AS newest WHERE newest.latest > :in_order_until"""


class IdRange(NamedTuple):
    """Ids below `before` and above `floor`; if `postings` is set, only those in this list can match."""

    before: int
    floor: int = 0
    postings: PostingList | None = None


def is_straggler(created_at: datetime, latest: datetime) -> bool:
    """Return whether an image is out of order that was added after one made at `latest`."""
    return latest - created_at > SLACK


def mark_stragglers(session: Session, added: Sequence[Image]) -> None:
    """Record which of the images just added are out of order.

    Images that others add at this moment are not seen, which matters only if the clocks differ by the slack.
    """
    for image in added:
        until = _shifted(image.request.created_at, SLACK)
        values = {"straggler": STRAGGLER, "image_id": image.id, "in_order_until": until}
        for audience in audiences_of_image(image):
            session.change_later(_INSERT, {**values, "audience": audience})


def latest_time(session: Session) -> datetime | None:
    """Return the time at which the newest image was made, None without images."""
    ((latest,),) = session.fetch("SELECT MAX(created_at) FROM images", {})
    return None if latest is None else from_time(latest)


def mark_restored_stragglers(session: Session, added: Sequence[Image], latest: datetime | None) -> None:
    """Record which of many images, in the order of ids, are out of order; `latest` is the time before the first."""
    found = []
    for image in added:
        created_at = image.request.created_at
        latest = created_at if latest is None else max(latest, created_at)
        if is_straggler(created_at, latest):
            found.append(image)
    insert_stragglers(session, found)


def id_ranges(session: Session, query: ImageQuery, audiences: Mapping[str, int], bounds: Bounds) -> list[IdRange]:
    """Return the ranges, highest ids first, in which all images of the query's time are.

    An image that is no straggler and was added after one made the slack after the upper bound was itself made after
    that bound. Images added before one that is no straggler and was made the slack before the lower bound were made
    before that bound. Above the former, only stragglers can match.
    """
    before = NEWEST if query.before_id is None else query.before_id
    after = query.after_id or 0
    if not has_times(query):
        return [IdRange(before, after)]
    parameters: dict[str, Any] = {**audiences, "straggler": STRAGGLER, "neighbours": bounds.neighbours}
    parts = []
    if query.created_before is not None and (later := _shifted(query.created_before, SLACK)):
        parameters |= {"later": TIME + later, "last": TIME + "~"}
        for audience in audiences:
            rows = _neighbours(session, audience, "term >= :later AND term < :last", "")
            parts.append(f"SELECT 'before', MIN(image_id) FROM ({rows}) AS neighbour")
    if query.created_after is not None and (earlier := _shifted(query.created_after, -SLACK)):
        parameters |= {"earlier": TIME + earlier, "first": TIME}
        is_in_order = f"""(SELECT 1 FROM image_postings{session.by_index(IMAGE_INDEX)}
            WHERE image_id = neighbour.image_id AND term = :straggler LIMIT 1) IS NULL"""
        for audience in audiences:
            rows = _neighbours(session, audience, "term >= :first AND term < :earlier", " DESC")
            parts.append(f"SELECT 'floor', MAX(image_id) FROM ({rows}) AS neighbour WHERE {is_in_order}")
    if not parts:
        return [IdRange(before, after)]
    found = [(bound, int(value)) for bound, value in session.fetch(" UNION ALL ".join(parts), parameters) if value]
    floor = max(after, *(value for bound, value in found if bound == "floor"), 0)
    end = min((value for bound, value in found if bound == "before"), default=NEWEST)
    if end >= before:
        return [IdRange(before, floor)]
    stragglers = term_postings(session, "stragglers", audiences, "straggler")
    return [IdRange(before, max(floor, end), stragglers), IdRange(end, floor)]


def _neighbours(session: Session, audience: str, condition: str, order: str) -> str:
    """Return the statement for the images of an audience that were made next to a time bound."""
    table = "image_postings" + session.by_index("PRIMARY")
    return f"""SELECT image_id FROM {table} WHERE {session.fixed("audience", audience)} AND {condition}
        ORDER BY audience{order}, term{order} LIMIT :neighbours"""


def _shifted(time: datetime, by: timedelta) -> str | None:
    """Return the time shifted by a duration, or None beyond the calendar."""
    try:
        return to_time(time + by)
    except OverflowError:
        return None
