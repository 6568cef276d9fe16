"""Posting lists: the ids of the images under one key of an index, newest first, read between two ids."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pixyproxy.adapters.sql.mapping import IMAGE_COLUMNS
from pixyproxy.adapters.sql.session import Session

IMAGE_INDEX = "image_postings_image"
"""The index that holds the terms of each image."""


class Key(NamedTuple):
    """A key of an index: columns that equal parameters, after which the index holds the image's id.

    `exactly` holds further conditions, for values that the database compares as equal although they differ.
    """

    table: str
    index_name: str
    columns: tuple[tuple[str, str], ...]
    id_column: str
    exactly: tuple[str, ...] = ()

    @property
    def condition(self) -> str:
        """The condition on a row of the table that has this key."""
        return " AND ".join([*(f"{column} = :{parameter}" for column, parameter in self.columns), *self.exactly])


class PostingList(NamedTuple):
    """The newest `:most` ids below `:before` and above `:floor`, each once, merged from the statements of its parts."""

    name: str
    parts: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The statement that reads the ids."""
        if len(self.parts) == 1:
            return self.parts[0]
        # Each part reads its own index in order and stops early; one statement with OR would read everything.
        parts = [f"SELECT id FROM ({part}) AS {self.name}_part_{i}" for i, part in enumerate(self.parts)]
        return f"{' UNION '.join(parts)} ORDER BY id DESC LIMIT :most"


def posting_list(session: Session, name: str, keys: Iterable[Key]) -> PostingList:
    """Return the posting list of the images that have any of the keys."""
    return PostingList(name, tuple(ordered_part(session, key) for key in keys))


def ordered_part(session: Session, key: Key) -> str:
    """Return the statement for the ids of a key, which the index holds in order."""
    conditions = [session.fixed(column, parameter) for column, parameter in key.columns]
    conditions += [f"{key.id_column} < :before", f"{key.id_column} > :floor", *key.exactly]
    order = ", ".join([f"{column} DESC" for column, _ in key.columns] + [f"{key.id_column} DESC"])
    rows = f"{key.table}{session.by_index(key.index_name)} WHERE {' AND '.join(conditions)}"
    return f"SELECT {key.id_column} AS id FROM {rows} ORDER BY {order} LIMIT :most"


def term_part(session: Session, audience: str, term: str) -> str:
    """Return the statement for the images of an audience that have a term; both are names of parameters."""
    key = Key("image_postings", "PRIMARY", (("audience", audience), ("term", term)), "image_id")
    return ordered_part(session, key)


def term_postings(session: Session, name: str, audiences: Iterable[str], term: str) -> PostingList:
    """Return the posting list of the images that have a term, for any of the audiences."""
    return PostingList(name, tuple(term_part(session, audience, term) for audience in audiences))


def sorted_part(rows: str, id_column: str) -> str:
    """Return the statement for the ids of a few rows of a table, which are all read and sorted."""
    # The sums keep a server from reading an index of ids instead.
    bounds = f"{id_column} + 0 < :before AND {id_column} + 0 > :floor"
    return f"SELECT DISTINCT {id_column} AS id FROM {rows} AND {bounds} ORDER BY id DESC LIMIT :most"


def check_terms(session: Session, audiences: Iterable[str], terms: Iterable[str]) -> str:
    """Return the condition that the candidate image has any of the terms; all are names of parameters."""
    conditions = [f"audience = :{audience} AND term = :{term}" for term in terms for audience in audiences]
    return _check(session, "PRIMARY", conditions)


def check_range(session: Session, start: str, end: str) -> str:
    """Return the condition that the candidate image has a term from one on and before another."""
    return _check(session, IMAGE_INDEX, [f"term >= :{start} AND term < :{end}"])


def _check(session: Session, index: str, conditions: Iterable[str]) -> str:
    postings = f"image_postings{session.by_index(index)} WHERE image_id = candidate.id"
    # With LIMIT a server can only look up each candidate; it takes seconds to plan dozens of joins.
    checks = [f"(SELECT 1 FROM {postings} AND {condition} LIMIT 1) = 1" for condition in conditions]
    return f"({' OR '.join(checks)})"


def probe_statement(lists: Sequence[PostingList]) -> str:
    """Return the statement that counts the newest ids of each list, by its position, and gives the lowest of them."""
    return " UNION ALL ".join(
        f"SELECT {i}, COUNT(*), MIN(id) FROM ({postings.sql}) AS list_{i}" for i, postings in enumerate(lists)
    )


def fetch_statement(session: Session, postings: PostingList, conditions: Iterable[str]) -> str:
    """Return the statement for the newest `:rows` images of a list that meet all conditions."""
    # Images are read one by one in the order of their ids, and no more of them than there is room for.
    images = "images" + session.by_index("PRIMARY")
    rows = f"({postings.sql}) AS candidate {session.ordered_join} {images} ON images.id = candidate.id"
    condition = " AND ".join(conditions)
    return f"SELECT {IMAGE_COLUMNS} FROM {rows} WHERE {condition} ORDER BY candidate.id DESC LIMIT :rows"
