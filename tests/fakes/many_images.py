"""Images by the thousand, as people might have made them, written straight into the tables.

Words, tags and authors are Zipf distributed: a few are everywhere, most are rare. The same seed gives the same
images, and so do the first thousand of a million.
"""

import itertools
import random
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pymysql

from pixyproxy.adapters.sql.mapping import to_json, to_time
from tests.fixtures.mysql_servers import MySQLSettings

CHUNK = 50_000
"""Images that are written together."""
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
INTERVAL = timedelta(seconds=20)
"""Between two images, give or take; a million of them is most of a year."""

DAWN, DUSK = "dawnlight", "duskfall"
"""Two words that are in one of twenty prompts each, and never in the same."""

_WORDS, _TAGS, _AUTHORS = 30_000, 2_000, 1_000
_COLUMNS = (
    "id, guid, filename, filename_folded, prompt, tags, author, visibility, status, created_at, updated_at, "
    "generator, model, parameters, media_type, width, height, size_bytes, sha256"
)
_SYLLABLES = [a + b for a in "bcdfghklmnprstvwz" for b in "aeiou"]


class Rows(NamedTuple):
    """The rows of some images."""

    images: list[tuple[Any, ...]]
    tags: list[tuple[int, int, str]]
    terms: list[tuple[str, int]]
    stragglers: list[tuple[int]]

    def up_to(self, last: int) -> "Rows":
        """Those of the images up to this id."""
        if self.images[-1][0] <= last:
            return self
        return Rows(
            [row for row in self.images if row[0] <= last],
            [row for row in self.tags if row[0] <= last],
            [row for row in self.terms if row[1] <= last],
            [row for row in self.stragglers if row[0] <= last],
        )


def _names(count: int, seed: int) -> list[str]:
    """Different words of two to four syllables, in no order."""
    draw = random.Random(seed)
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(draw.choices(_SYLLABLES, k=draw.choice((2, 3, 3, 4))))] = None
    return list(names)


def _zipf(count: int) -> list[float]:
    return list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))


WORDS, TAGS, AUTHORS = _names(_WORDS, 1), _names(_TAGS, 2), _names(_AUTHORS, 3)
"""The most frequent first."""


def created_at(number: int) -> datetime:
    """When the image with this id was made, give or take a minute."""
    return FIRST_DAY + number * INTERVAL


def rows(first: int, last: int) -> Rows:
    """The images with these ids, none of which depends on the others."""
    made = Rows([], [], [], [])
    words, tags, authors = _zipf(_WORDS), _zipf(_TAGS), _zipf(_AUTHORS)
    for number in range(first, last + 1):
        draw = random.Random(number)
        prompt = draw.choices(WORDS, cum_weights=words, k=draw.randint(5, 18))
        if number % 20 in {3, 13}:
            prompt.insert(2, DAWN if number % 20 == 3 else DUSK)
        tagged = tuple(dict.fromkeys(draw.choices(TAGS, cum_weights=tags, k=draw.randint(0, 4))))
        author = draw.choices(AUTHORS, cum_weights=authors)[0] if draw.random() < 0.8 else None
        private = author is not None and draw.random() < 0.15
        is_straggler = number > 1000 and draw.random() < 0.0005
        at = created_at(number // 3 if is_straggler else number) + timedelta(seconds=draw.uniform(-60, 60))
        guid = f"{draw.getrandbits(32):08x}-0000-4000-8000-{number:012x}"
        filename = f"{'-'.join(prompt[:4])}-{guid[:8]}.png"
        made.images.append(
            (
                *(number, guid, filename, filename, " ".join(prompt), to_json(tagged)),
                *(author, "private" if private else "public", "failed" if draw.random() < 0.02 else "ready"),
                *(to_time(at), to_time(at), "openai", "gpt-image-2", '{"size":"1024x1024","quality":"high"}'),
                *("image/png", 1024, 1024, draw.randrange(900_000, 2_000_000), f"{draw.getrandbits(256):064x}"),
            )
        )
        made.tags.extend((number, position, tag) for position, tag in enumerate(tagged))
        made.terms.extend((term, number) for term in set(prompt))
        if is_straggler:
            made.stragglers.append((number,))
    made.terms.sort()
    return made


def chunks(count: int) -> Iterator[Rows]:
    """All images up to this id, some at a time."""
    for first in range(1, count + 1, CHUNK):
        yield rows(first, min(first + CHUNK - 1, count))


def fill_sqlite(path: Path, made: Rows) -> None:
    """Add the rows to a file that has the tables."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        marks = ", ".join("?" * len(_COLUMNS.split(",")))
        connection.executemany(f"INSERT INTO images ({_COLUMNS}) VALUES ({marks})", made.images)
        connection.executemany("INSERT INTO image_tags (image_id, position, tag) VALUES (?, ?, ?)", made.tags)
        connection.executemany("INSERT INTO image_terms (term, image_id) VALUES (?, ?)", made.terms)
        connection.executemany("INSERT INTO image_stragglers (image_id) VALUES (?)", made.stragglers)


def fill_mysql(settings: MySQLSettings, made: Rows) -> None:
    """Add the rows to a database that has the tables."""
    connection = pymysql.connect(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password,
        database=settings.name,
        charset="utf8mb4",
        local_infile=True,
    )
    with closing(connection), connection.cursor() as cursor, tempfile.TemporaryDirectory() as folder:
        cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
        cursor.execute("SELECT @@local_infile")
        takes_files = cursor.fetchone() == (1,)  # MySQL does not since version 8, unless it is told to
        for table, columns, values in (
            ("images", _COLUMNS, made.images),
            ("image_tags", "image_id, position, tag", made.tags),
            ("image_terms", "term, image_id", made.terms),
            ("image_stragglers", "image_id", made.stragglers),
        ):
            if not takes_files:
                marks = ", ".join(["%s"] * len(columns.split(",")))
                cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)
                continue
            file = Path(folder, table)
            with file.open("w", encoding="utf-8") as lines:
                lines.writelines(map(_line, values))
            cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table} CHARACTER SET utf8mb4 ({columns})")
        connection.commit()


def _line(values: Sequence[Any]) -> str:
    return "\t".join("\\N" if value is None else str(value) for value in values) + "\n"
