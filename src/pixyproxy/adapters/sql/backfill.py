"""Fills new tables for the images that already exist: in batches, and safe to repeat."""

from collections.abc import Callable

from pixyproxy.adapters.sql.mapping import from_time
from pixyproxy.adapters.sql.search.id_range import is_straggler
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.user import name_key

BATCH = 5000
_BATCHES_PER_REPORT = 10

_NEXT = "SELECT id, created_at FROM images WHERE id > :after_id ORDER BY id LIMIT :most"
_ADD = """INSERT INTO image_stragglers (image_id)
    SELECT id FROM images WHERE id NOT IN (SELECT image_id FROM image_stragglers) AND id IN"""

_UNKNOWN_AUTHORS = """SELECT DISTINCT author FROM images WHERE author IS NOT NULL
    AND author NOT IN (SELECT `user` FROM roster) AND author NOT IN (SELECT `user` FROM removed_users)"""
RESERVE_NAME = "INSERT INTO removed_users (`user`, name_key) VALUES (:username, :name_key)"
"""The statement that reserves the name of a removed user."""

Fill = Callable[[Session, Callable[[str], object]], None]


def _fill_stragglers(session: Session, report: Callable[[str], object]) -> None:
    """Record which images are out of order, in the order of ids; a running service may delete images meanwhile."""
    last, latest, batches = 0, None, 0
    while rows := session.fetch(_NEXT, {"after_id": last, "most": BATCH}):
        found = []
        for image_id, text in rows:
            created_at = from_time(text)
            latest = created_at if latest is None else max(latest, created_at)
            if is_straggler(created_at, latest):
                found.append(str(image_id))
        if found:
            session.change(f"{_ADD} ({', '.join(found)})", {})
        last, batches = rows[-1][0], batches + 1
        if batches % _BATCHES_PER_REPORT == 0:
            report(f"{batches * BATCH:,} images looked at")


def _fill_removed_users(session: Session, report: Callable[[str], object]) -> None:
    """Reserve the names of authors who are not on the roster: they were removed by an earlier version."""
    for (author,) in session.fetch(_UNKNOWN_AUTHORS, {}):
        session.change(RESERVE_NAME, {"username": author, "name_key": name_key(author)})


FILLS: dict[int, Fill] = {5: _fill_stragglers, 9: _fill_removed_users}
"""Functions that run after the script of a version, before it is recorded as applied."""
