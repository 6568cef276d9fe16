"""`python -m benchmarks.usage`: usage over few and over a million charges of the same people, and the ratio."""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pymysql
from rich.console import Console

from benchmarks.compare import Report, Row
from benchmarks.database import NoServerError, mysql_database
from benchmarks.report import table
from pixyproxy.containers import Container, build_container
from pixyproxy.opening import opened
from pixyproxy.settings import Settings

AIM = 1.5
"""The aim: so many times the time over few charges at most."""
_FEW = 10_000
_USERS, _DAYS = 50, 30
_FIRST = date(2026, 11, 1)
_QUESTIONS = ("user", "class", "model", "day")
_ROUNDS = 20
_COLUMNS = "guid, caller, class_key, model, reserved_at, reserved, cost, state, tokens_in, tokens_out"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.usage", description="Usage over many charges.")
    parser.add_argument("--charges", type=int, default=1_000_000, help="number of charges")
    parser.add_argument("--database", nargs="+", default=["sqlite", "mysql"], choices=["sqlite", "mysql"])
    arguments = parser.parse_args()
    console, rows = Console(width=120), []
    for database in arguments.database:
        try:
            with console.status(f"charging on {database}"):
                few, many = (_milliseconds(database, charges) for charges in (_FEW, arguments.charges))
        except NoServerError as error:
            console.print(f"[red]not measured:[/red] {error}")
            continue
        for by in _QUESTIONS:
            row = Row(f"by {by} on {database}", many[by], few[by], many[by] / few[by], at_most=AIM)
            rows.append(row)
    title = f"Usage of a month, {arguments.charges:,} charges"
    console.print(table(Report(title, "milliseconds", f"{_FEW:,} charges", rows)))


def _milliseconds(database: str, charges: int) -> dict[str, float]:
    """Return the shortest time of each question over so many charges."""
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="pixyproxy-bench-"))
        values: dict[str, Any] = {"PIXYPROXY_DATA_DIR": data, "PIXYPROXY_BLOB_STORE": "memory"}
        values |= stack.enter_context(mysql_database()) if database == "mysql" else {"PIXYPROXY_REPOSITORY": "sqlite"}
        return asyncio.run(_measure(build_container(Settings.model_validate(values)), values, charges))


async def _measure(container: Container, values: dict[str, Any], charges: int) -> dict[str, float]:
    await container.migrate()
    await asyncio.to_thread(_charge, values, charges)
    async with opened(container):
        usage = container.usage_service()
        async for _ in usage.rebuild():
            pass
        days = {"from": _FIRST.isoformat(), "to": (_FIRST + timedelta(_DAYS - 1)).isoformat()}
        times = {}
        for by in _QUESTIONS:
            measured = []
            for _ in range(_ROUNDS):
                begun = time.perf_counter()
                report = await usage.all_usage({"by": by, **days})
                measured.append(time.perf_counter() - begun)
            if sum(row.tally.pictures for row in report.rows) != charges:
                raise RuntimeError("the sums are not those of the charges")
            times[by] = min(measured) * 1000
        return times


def _charge(values: dict[str, Any], charges: int) -> None:
    """Write charges into the ledger, as if so many pictures had been made."""
    all_rows = _charges(charges)
    while rows := list(islice(all_rows, 10_000)):
        if values["PIXYPROXY_REPOSITORY"] == "sqlite":
            with closing(sqlite3.connect(Path(values["PIXYPROXY_DATA_DIR"]) / "pixyproxy.sqlite3")) as file, file:
                file.executemany(f"INSERT INTO charges ({_COLUMNS}) VALUES ({', '.join('?' * 10)})", rows)
        else:
            server = {"host": values["DB_HOST"], "port": int(values["DB_PORT"]), "database": values["DB_NAME"]}
            server |= {"user": values["DB_USER"], "password": values["DB_PASSWORD"]}
            with closing(pymysql.connect(**server)) as connection, connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO charges ({_COLUMNS}) VALUES ({', '.join(['%s'] * 10)})", rows)
                connection.commit()


def _charges(count: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        user = number % _USERS
        day = _FIRST + timedelta(number // _USERS % _DAYS)
        at = f"{day.isoformat()} 10:00:00.000000"
        guid = f"00000000-0000-4000-8000-{number:012d}"
        model = ("gpt-image-2", "gpt-image-1.5")[number // (_USERS * _DAYS) % 2]
        yield guid, f"user {user}", f"class {user % 5}", model, at, 40_000, 31_740, "priced", 12, 1056


if __name__ == "__main__":
    main()
