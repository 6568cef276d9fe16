"""Images out of order in a database that an older version left and that does not know of it."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pixyproxy.adapters.sql import backfill
from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.session import Parameters, Row, Session
from pixyproxy.domain.query import ImageQuery
from pixyproxy.ports.image_repository import ImageRepository

COUNT = 60
_FIRST = datetime(2026, 11, 21, 10, tzinfo=UTC)
_DRAW = random.Random(3)
TIMES = [_FIRST + timedelta(minutes=30 * i - _DRAW.choice((0, 0, 0, 20, 90, 900))) for i in range(COUNT)]
"""When the images with the ids from 1 on were made."""
STRAGGLERS = {i + 1 for i, at in enumerate(TIMES) if max(TIMES[: i + 1]) - at > timedelta(hours=1)}


def insert_statements() -> list[str]:
    """What adds the images."""
    return [
        f"""INSERT INTO images (id, guid, filename, filename_folded, prompt, tags, visibility, status, created_at,
            updated_at, generator, parameters) VALUES ({number}, '0b9f1c2d-0000-4000-8000-{number:012}', 'x.png',
            'x.png', 'x', '[]', 'public', 'ready', '{to_time(at)}', '{to_time(at)}', 'sketch', '{{}}')"""
        for number, at in enumerate(TIMES, start=1)
    ]


class Interrupted(Exception):
    """The process ended here."""


def interrupted_after(session: Session, fetches: int) -> Session:
    """The session, until it has read so often."""

    class Interrupting:
        left = fetches

        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

        def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
            self.left -= 1
            if self.left < 0:
                raise Interrupted
            return session.fetch(sql, parameters)

    interrupting: Any = Interrupting()
    return interrupting


def fill(session: Session, tell: Callable[[str], object] = lambda _: None) -> None:
    """What a migration does after the script."""
    backfill.FILLS[5](session, tell)


async def check(repository: ImageRepository) -> None:
    """Assert that images are found by the time they were made."""
    for bound in TIMES[::7]:
        query = ImageQuery(created_before=bound, limit=COUNT)
        found = {image.id for image in (await repository.search(query)).items}
        assert found == {i + 1 for i, at in enumerate(TIMES) if at < bound}
