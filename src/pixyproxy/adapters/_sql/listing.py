"""Listings: ids of images, newest first, read from an index between two ids and no further than asked."""

from collections.abc import Sequence
from typing import NamedTuple

from pixyproxy.adapters._sql.session import Session

MANY = 1_000_000
"""More rows than any range has that is read whole; with a limit it is read by itself and not otherwise."""


class Listing(NamedTuple):
    """Ids in descending order, merged from its parts; one may be among them twice.

    Each part reads the newest `:most` that are below `:before` and above `:floor`.
    """

    parts: tuple[str, ...]
    name: str

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


class Key(NamedTuple):
    """An index: the columns that are to equal parameters of the same or a given name, and then the one with the id.

    `exactly` says what an equal text has to be besides.
    """

    table: str
    name: str
    columns: tuple[tuple[str, str], ...]
    id_column: str = "image_id"
    exactly: tuple[str, ...] = ()


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
    conditions = [f"{column} = :{parameter}" for column, parameter in key.columns] + list(key.exactly)
    return checked(key.table + session.by_index(key.name), key.id_column, " AND ".join(conditions))


def checked(table: str, id_column: str, condition: str) -> str:
    """The condition that the table has a row of the candidate which meets a condition."""
    # With LIMIT a server can only look each one up: turned into joins, dozens of words take it seconds to plan.
    tested = " ".join(["SELECT 1 FROM", table, "WHERE", id_column, "= candidate.id AND", condition, "LIMIT 1"])
    return f"({tested}) = 1"


def listed_in_range(table: str, column: str, condition: str, name: str) -> Listing:
    """A listing of the few rows of a range of an index: all of them are read, and sorted."""
    rows = " ".join(["SELECT", column, "AS id FROM", table, "WHERE", condition, f"LIMIT {MANY}"])
    between = "WHERE id < :before AND id > :floor ORDER BY id DESC LIMIT :most"
    return Listing((" ".join(["SELECT id FROM (", rows, f") AS {name}_range", between]),), name)


def rank_statement(listings: Sequence[Listing]) -> str:
    """The statement that tells, by position, how many ids each listing begins with and the lowest of them."""
    ranks = [
        " ".join(["SELECT", str(i), ", COUNT(*), MIN(id) FROM (", listing.sql, f") AS listing_{i}"])
        for i, listing in enumerate(listings)
    ]
    return " UNION ALL ".join(ranks)


def batch_statement(listing: Listing, checks: Sequence[str]) -> str:
    """The statement that reads which of the next ids pass the checks, and how many it looked at and the lowest.

    Matches are rows of -1 and the id, and the last row is the account. One statement, so that both are of one state.
    """
    examined = " ".join(["WITH examined AS (", listing.sql, ")"])
    candidates = "SELECT -1, candidate.id FROM examined AS candidate"
    if checks:
        candidates = " ".join([candidates, "WHERE", " AND ".join(checks)])
    return " ".join([examined, candidates, "UNION ALL SELECT COUNT(*), MIN(id) FROM examined"])
