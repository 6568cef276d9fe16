"""Leads from times to ids: newer images have higher ids, all but the stragglers, which a table remembers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.search.bounds import Bounds
from pixyproxy.adapters.sql.search.criteria import between, date_parameters
from pixyproxy.adapters.sql.search.posting_list import Key, Listing, listed
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.query import ImageQuery

SLACK = timedelta(hours=1)
"""Who was made so much earlier than an image that had been added before is a straggler.

It was restored, or made by a process whose clock is wrong. All others are in order, give or take this.
"""

_INSERT = """INSERT INTO image_stragglers (image_id) SELECT :image_id
    FROM (SELECT MAX(created_at) AS latest FROM images) AS newest WHERE newest.latest > :in_order_until"""
_IN_ORDER = "(SELECT 1 FROM image_stragglers WHERE image_id = neighbour.id LIMIT 1) IS NULL"
_NEWEST = 2**63 - 1


class Span(NamedTuple):
    """The ids between which the images of a time are, save stragglers; `is_small`: they are few."""

    is_small: bool
    floor: int
    before: int


def is_straggler(created_at: datetime, latest: datetime) -> bool:
    """Whether an image is out of order that was added after one made at `latest`."""
    return latest - created_at > SLACK


def mark_stragglers(session: Session, added: Sequence[tuple[int, datetime]]) -> None:
    """Remember which of the images just added, given by id and time, are out of order.

    What others are adding at this moment is not seen, which matters only if their clocks differ by the slack.
    """
    for image_id, at in added:
        session.change_later(_INSERT, {"image_id": image_id, "in_order_until": _shifted(at, SLACK)})


def stragglers(session: Session) -> Listing:
    """All images that are out of order."""
    return Listing((listed(session, Key("image_stragglers", "PRIMARY", ())),), "stragglers")


def span(session: Session, query: ImageQuery, bounds: Bounds) -> Span:
    """Where the images of the time that is asked for are.

    Whatever is not a straggler and comes after an image made at the upper bound and the slack was made after the
    upper bound itself; whatever comes before a non-straggler made at the lower bound less the slack was made
    before the lower bound.
    """
    table = "images" + session.by_index("images_created")
    rows = " ".join(["SELECT 1 FROM", table, "WHERE", between(query), "LIMIT :enough"])
    parts = [" ".join(["SELECT 0, COUNT(*) FROM (", rows, ") AS few"])]
    parameters: dict[str, Any] = date_parameters(query) | {"enough": bounds.dated_rows + 1}
    parameters["neighbours"] = bounds.neighbours
    if query.created_before is not None and (later := _shifted(query.created_before, SLACK)):
        parameters["later"] = later
        rows = " ".join(["SELECT id FROM", table, "WHERE created_at >= :later ORDER BY created_at LIMIT :neighbours"])
        parts.append(" ".join(["SELECT 1, MIN(id) FROM (", rows, ") AS newer"]))
    if query.created_after is not None and (earlier := _shifted(query.created_after, -SLACK)):
        parameters["earlier"] = earlier
        end = "WHERE created_at < :earlier ORDER BY created_at DESC LIMIT :neighbours"
        rows = " ".join(["SELECT id FROM", table, end])
        parts.append(" ".join(["SELECT 2, MAX(id) FROM (", rows, ") AS neighbour WHERE", _IN_ORDER]))
    found = {kind: int(value or 0) for kind, value in session.fetch(" UNION ALL ".join(parts), parameters)}
    return Span(found[0] <= bounds.dated_rows, found.get(2, 0), found.get(1) or _NEWEST)


def _shifted(time: datetime, by: timedelta) -> str | None:
    """The time so much later or earlier, None where no calendar has it."""
    try:
        return to_time(time + by)
    except OverflowError:
        return None
