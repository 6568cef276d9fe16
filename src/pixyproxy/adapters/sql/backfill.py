"""Fills new tables for the images that already exist: in batches, and safe to repeat."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pixyproxy.adapters.sql.mapping import IMAGE_COLUMNS, from_json, from_time, to_image
from pixyproxy.adapters.sql.money.daily_sums import next_day, rebuild_day
from pixyproxy.adapters.sql.search.id_range import is_straggler
from pixyproxy.adapters.sql.search.postings import insert_postings, insert_stragglers
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Image, Status
from pixyproxy.domain.money.daily_sums import FIRST_DAY
from pixyproxy.domain.usage import tokens_of
from pixyproxy.domain.user import name_key

BATCH = 5000
_BATCHES_PER_REPORT = 10
INDEXED_AT_ONCE = 500
"""Images whose postings are inserted by one transaction."""

_NEXT = "SELECT id, created_at FROM images WHERE id > :after_id ORDER BY id LIMIT :most"
_ADD = """INSERT INTO image_stragglers (image_id)
    SELECT id FROM images WHERE id NOT IN (SELECT image_id FROM image_stragglers) AND id IN"""

_UNKNOWN_AUTHORS = """SELECT DISTINCT author FROM images WHERE author IS NOT NULL
    AND author NOT IN (SELECT `user` FROM roster) AND author NOT IN (SELECT `user` FROM removed_users)"""
RESERVE_NAME = "INSERT INTO removed_users (`user`, name_key) VALUES (:username, :name_key)"
"""The statement that reserves the name of a removed user."""

# What later scripts add is not there yet.
_COLUMNS_OF_11 = IMAGE_COLUMNS.removesuffix("images.cost, images.hidden") + "NULL, 0"
_UNINDEXED = f"""SELECT {_COLUMNS_OF_11} FROM images
    WHERE images.id > (SELECT COALESCE(MAX(image_id), 0) FROM image_postings) ORDER BY images.id LIMIT :most"""
_STRAGGLERS = "SELECT image_id FROM image_stragglers WHERE image_id >= :first AND image_id <= :last"
_USAGES = """SELECT charges.id, images.model, images.`usage` FROM charges JOIN images ON images.guid = charges.guid
    WHERE charges.id > :after_id AND images.status = 'ready' ORDER BY charges.id LIMIT :most"""
_COUNT_TOKENS = """UPDATE charges SET model = COALESCE(model, :model), tokens_in = :tokens_in, tokens_out = :tokens_out
    WHERE id = :id"""

Report = Callable[[str], object]
"""Receives a line for people."""
Job = Callable[[Session], Sequence[Image]]
Transact = Callable[[Job], Sequence[Image]]
"""Runs a job and commits it, with whatever was changed before."""
Fill = Callable[[Session, Report, Transact], None]


def _fill_stragglers(session: Session, report: Report, transact: Transact) -> None:
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


def _fill_removed_users(session: Session, report: Report, transact: Transact) -> None:
    """Reserve the names of authors who are not on the roster: they were removed by an earlier version."""
    for (author,) in session.fetch(_UNKNOWN_AUTHORS, {}):
        session.change(RESERVE_NAME, {"username": author, "name_key": name_key(author)})


def _fill_postings(session: Session, report: Report, transact: Transact) -> None:
    """Insert the postings of all images, in the order of ids; one that was cut short goes on where it ended."""
    batches = 0
    while transact(_index_next):
        batches += 1
        if batches % _BATCHES_PER_REPORT == 0:
            report(f"{batches * INDEXED_AT_ONCE:,} images indexed")
    session.change("DROP TABLE IF EXISTS image_stragglers", {})


def _index_next(session: Session) -> Sequence[Image]:
    """Insert the postings of the next images and return these."""
    # Every image has a posting, so the last one tells which images have theirs.
    images = [to_image(row) for row in session.fetch(_UNINDEXED + session.row_lock, {"most": INDEXED_AT_ONCE})]
    if images:
        # A process of an older version may still finish these, and would not move their postings.
        indexed = [
            replace(image, status=Status.READY) if image.status is Status.GENERATING else image for image in images
        ]
        insert_postings(session, indexed)
        rows = session.fetch(_STRAGGLERS, {"first": images[0].id, "last": images[-1].id})
        stragglers = {int(image_id) for (image_id,) in rows}
        insert_stragglers(session, [image for image in indexed if image.id in stragglers])
    return images


def _fill_daily_sums(session: Session, report: Report, transact: Transact) -> None:
    """Give the charges the models and the tokens of their images, and sum them up day by day.

    Nobody else changes the sums yet. On SQLite it must not commit: columns that were added once cannot be added again.
    """
    last = 0
    while last := _count_tokens(session, last):
        report(f"tokens of charges counted up to number {last:,}")
    day = FIRST_DAY
    while (next_one := next_day(session, day)) is not None:
        day = next_one
        rebuild_day(session, day)


def _count_tokens(session: Session, after_id: int) -> int:
    """Return the id of the last charge that was looked at, 0 if there was none."""
    rows = session.fetch(_USAGES, {"after_id": after_id, "most": INDEXED_AT_ONCE})
    counted = []
    for charge_id, model, text in rows:
        usage = from_json(text) if text else None
        tokens = {"tokens_in": tokens_of(usage, "input_tokens"), "tokens_out": tokens_of(usage, "output_tokens")}
        counted.append({"id": charge_id, "model": model, **tokens})
    if counted:
        session.change_each(_COUNT_TOKENS, counted)
    return int(rows[-1][0]) if rows else 0


FILLS: dict[int, Fill] = {5: _fill_stragglers, 9: _fill_removed_users, 11: _fill_postings, 16: _fill_daily_sums}
"""Functions that run after the script of a version, before it is recorded as applied."""
