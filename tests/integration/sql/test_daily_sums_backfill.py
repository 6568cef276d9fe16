"""The daily sums of charges in a database of an older version: with tokens of the images, and safe to cut short."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.mysql import migrations as mysql_migrations
from pixyproxy.adapters.sql import backfill
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.ledger import SQLLedger
from pixyproxy.adapters.sqlite import migrations as sqlite_migrations
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.image import Status
from pixyproxy.domain.money.daily_sums import Grouping, Tally, UsageQuery, UsageRow
from tests.conformance.contracts.ledger import COST, FAILURE, draft_of
from tests.fixtures.images import NOW, make_result
from tests.fixtures.sql.mysql_servers import fresh_database
from tests.fixtures.sql.sqlite_storage import SQLiteFile

TODAY = NOW.date()
MADE = Tally(pictures=1, tokens_in=12, tokens_out=1056, spent=Decimal("0.02"))
OLDER = (
    "DROP TABLE daily_sums",
    "ALTER TABLE charges DROP COLUMN tokens_in",
    "ALTER TABLE charges DROP COLUMN tokens_out",
    "UPDATE charges SET model = NULL",
    "DELETE FROM schema_migrations WHERE version = 16",
)
"""Statements that undo the script."""

Query = Callable[[str], Sequence[Any]]


class Interrupted(Exception):
    """The process ended at this point."""


class Old:
    """A database that can be taken back to the version before."""

    def __init__(self, database: Callable[[], Any], migrate: Callable[[], Any], query: Query) -> None:
        self.database, self.migrate, self.query = database, migrate, query

    async def fill(self) -> None:
        """Make pictures on two days, of which one fails, and forget the sums."""
        images = SQLImageRepository(self.database())
        await images.open()
        for number in range(5):
            draft = draft_of("0.25", created_at=NOW - timedelta(days=number % 2))
            await images.add(draft)
            if number == 0:
                await images.mark_failed(draft.guid, Status.UNKNOWN, FAILURE, NOW)
            else:
                usage = {"input_tokens": 12, "output_tokens": 1056}
                await images.mark_ready(draft.guid, make_result(cost=COST, usage=usage, model="model-1"), NOW)
        await images.close()
        for statement in OLDER:
            self.query(statement)

    async def usage(self, by: Grouping) -> tuple[UsageRow, ...]:
        ledger = SQLLedger(self.database())
        await ledger.open()
        assert await ledger.differing_days() == ()
        rows = await ledger.usage(UsageQuery(by, date(2026, 11, 1), TODAY))
        await ledger.close()
        return rows


@pytest.fixture(params=["sqlite", "mysql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Old]:
    if request.param == "sqlite":
        file = SQLiteFile(tmp_path)
        yield Old(lambda: SQLiteDatabase(file.path), lambda: sqlite_migrations.migrate(file.path), file.query)
        return
    with fresh_database(request.getfixturevalue("mysql_server")) as settings:
        server = settings.database().server
        yield Old(settings.database, lambda: mysql_migrations.migrate(server), settings.query)


async def test_charges_are_summed_up_with_the_tokens_of_their_images(old: Old) -> None:
    await old.fill()
    assert "0016_daily_sums.sql" in await old.migrate()
    unknown = Tally(unknown=1, possibly=Decimal("0.25"))
    twice = MADE.plus(MADE)
    assert await old.usage(Grouping.DAY) == (UsageRow("2026-11-20", twice), UsageRow("2026-11-21", twice.plus(unknown)))
    assert await old.usage(Grouping.MODEL) == (UsageRow("model-1", twice.plus(twice)), UsageRow(None, unknown))


@pytest.mark.parametrize("step", ["_count_tokens", "rebuild_day"])
async def test_a_fill_that_was_cut_short_is_repeated(old: Old, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await old.fill()
    monkeypatch.setattr(backfill, "INDEXED_AT_ONCE", 2)
    run, calls = getattr(backfill, step), []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted
        return run(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(backfill, step, interrupted)
        with pytest.raises(Interrupted):
            await old.migrate()
    await old.migrate()
    (row,) = await old.usage(Grouping.USER)
    assert row == UsageRow("alice", Tally(4, 0, 1, 0, 48, 4224, Decimal("0.08"), Decimal(0), Decimal("0.25")))
