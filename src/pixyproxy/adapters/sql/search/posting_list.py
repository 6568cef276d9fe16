"""Listings: ids of images, newest first, read from an index between two ids and no further than asked."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pixyproxy.adapters.sql.session import Session

MANY = 1_000_000
"""More rows than any range has that is read whole; with a limit it is read by itself and not otherwise."""


class Listing(NamedTuple):
    """Ids in descending order, merged from its parts; one may be among them twice.

    Each part reads the newest `:most` that are below `:before` and above `:floor`.
    """

    parts: tuple[str, ...]
    name: str
    window: "Window | None" = None
    """Where the newest are not to be had without all between the two: how close together these are best kept."""

    @property
    def is_counted(self) -> bool:
        """Whether it has to be told how many were read, and the lowest: not of a window that is certain.

        It takes as long as to read them.
        """
        return self.window is None or self.window.is_counted

    @property
    def sql(self) -> str:
        """The statement that reads it."""
        if len(self.parts) == 1:
            return self.parts[0]
        # Each part walks an index of its own in order and stops early, which a condition with OR would not.
        parts = [
            " ".join(["SELECT id FROM (", part, f") AS {self.name}_part_{i}"]) for i, part in enumerate(self.parts)
        ]
        return " ".join([" UNION ALL ".join(parts), "ORDER BY id DESC LIMIT :most"])


class Window(NamedTuple):
    """The ids that are read of at once.

    `oldest` and `newest`: the lowest and the highest of all. `spread`: how far apart listed ids are on average.
    `is_counted`: this is a guess, and there may be more of them than can be read.
    """

    oldest: int
    newest: int
    spread: int = 1
    is_counted: bool = False

    def floor(self, before: int, wanted: int) -> int:
        """Above which id there are about so many below another; 0 for all of them."""
        floor = min(before - 1, self.newest) - wanted * self.spread
        return floor if floor >= self.oldest else 0

    def width(self, before: int, floor: int) -> int:
        """How many ids are between two."""
        return max(0, min(before - 1, self.newest) - max(floor, self.oldest - 1))


class Key(NamedTuple):
    """An index: the columns that are to equal parameters of the same or a given name, and then the one with the id.

    `exactly` says what an equal text has to be besides.
    """

    table: str
    name: str
    columns: tuple[tuple[str, str], ...]
    id_column: str = "image_id"
    exactly: tuple[str, ...] = ()

    @property
    def condition(self) -> str:
        """What a row meets that is in it."""
        return " AND ".join([*(f"{column} = :{parameter}" for column, parameter in self.columns), *self.exactly])


def listed(session: Session, key: Key) -> str:
    """A part that an index keeps in order."""
    conditions = [session.fixed(column, parameter) for column, parameter in key.columns]
    conditions += [f"{key.id_column} < :before", f"{key.id_column} > :floor", *key.exactly]
    order = ", ".join([f"{column} DESC" for column, _ in key.columns] + [f"{key.id_column} DESC"])
    table = key.table + session.by_index(key.name)
    where = " AND ".join(conditions)
    return " ".join(["SELECT", key.id_column, "AS id FROM", table, "WHERE", where, "ORDER BY", order, "LIMIT :most"])


def check(session: Session, key: Key) -> str:
    """The condition that the candidate is in the listing of the key."""
    return checked(key.table + session.by_index(key.name), key.id_column, key.condition)


def checked(table: str, id_column: str, condition: str) -> str:
    """The condition that the table has a row of the candidate which meets a condition."""
    # With LIMIT a server can only look each one up: turned into joins, dozens of words take it seconds to plan.
    tested = " ".join(["SELECT 1 FROM", table, "WHERE", id_column, "= candidate.id AND", condition, "LIMIT 1"])
    return f"({tested}) = 1"


def listed_in_range(table: str, column: str, condition: str, name: str) -> str:
    """A part for the few rows of a range of an index: all of them are read, and sorted."""
    rows = " ".join(["SELECT", column, "AS id FROM", table, "WHERE", condition, f"LIMIT {MANY}"])
    between = "WHERE id < :before AND id > :floor ORDER BY id DESC LIMIT :most"
    return " ".join(["SELECT id FROM (", rows, f") AS {name}_range", between])


def listed_among_all(session: Session, condition: str, name: str) -> str:
    """A part for the images that have a term which meets a condition: all terms of those in the window are read."""
    # In the order of the index: without, a server that takes the table for small reads all of it.
    ordered = f"{condition} ORDER BY image_id, term"
    return _once(_in_window("image_terms" + session.by_index("image_terms_image"), ordered, str(MANY)), name)


def listed_under(session: Session, terms: Sequence[str], name: str, *, is_counted: bool) -> str:
    """A part for the rows of several terms, given by the names of their parameters, in the window.

    Where they are counted, that there are as many as the limit says means that the window was too wide.
    """
    table = "image_terms" + session.by_index("PRIMARY")
    condition = f"term IN ({', '.join(f':{term}' for term in terms)})"
    return _in_window(table, condition, ":most") if is_counted else _once(_in_window(table, condition, str(MANY)), name)


def _in_window(table: str, condition: str, limit: str) -> str:
    where = "WHERE image_id < :before AND image_id > :floor AND"
    return " ".join(["SELECT image_id AS id FROM", table, where, condition, "LIMIT", limit])


def _once(rows: str, name: str) -> str:
    # Of the table itself a server might read what is distinct by another way through the index.
    return " ".join(["SELECT DISTINCT id FROM (", rows, f") AS {name}_window"])


def rank_statement(listings: Mapping[int, Listing]) -> str:
    """The statement that tells, by position, how many ids each listing begins with, and their lowest and highest."""
    ranks = [
        " ".join(["SELECT", str(i), ", COUNT(*), MIN(id), MAX(id) FROM (", listing.sql, f") AS listing_{i}"])
        for i, listing in listings.items()
    ]
    return " UNION ALL ".join(ranks)


def batch_of(session: Session, columns: str, listing: Listing, checks: Sequence[str], row: str) -> tuple[str, str]:
    """What is to be selected to read the next images of a listing that pass the checks and a condition on their row.

    The newest matches, so many that all are `:rows`: a NULL, the id, the columns. Where the listing is counted the
    first row is the account instead, how many ids were looked at and the lowest. One statement, so that they are of one
    state. The rows of images, which are large, are read one after the other and no further than there is room.
    """
    if not listing.is_counted:
        joined = f"AS candidate {session.ordered_join} images ON images.id = candidate.id WHERE"
        order = "ORDER BY candidate.id DESC LIMIT :rows"
        return f"NULL, candidate.id, {columns}", " ".join(
            ["FROM (", listing.sql, ")", joined, " AND ".join([*checks, row]), order]
        )
    listed = "SELECT id, NULL AS examined FROM listing UNION ALL SELECT MIN(id), COUNT(*) FROM listing"
    candidates = " ".join(["WITH listing AS (", listing.sql, ")", listed])
    images = "images ON images.id = candidate.id AND candidate.examined IS NULL"
    passed = " AND ".join(f"(candidate.examined IS NOT NULL OR {condition})" for condition in [*checks, row])
    parts = ["FROM (", candidates, ") AS candidate LEFT JOIN", images, "WHERE", passed]
    order = "ORDER BY candidate.examined DESC, candidate.id DESC LIMIT :rows"
    return f"candidate.examined, candidate.id, {columns}", " ".join([*parts, order])
