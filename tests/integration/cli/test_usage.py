"""`pixyproxy usage`: tables, CSV and sums that are made anew; `check --deep` compares."""

import csv
from pathlib import Path

import pytest

from tests.fixtures.service import pixyproxy
from tests.fixtures.sql.sqlite_storage import SQLiteFile

HEAD = ["pictures", "failed", "unknown", "unpriced", "input_tokens", "output_tokens", "usd", "reserved", "possibly"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a service that has made two pictures."""
    for _ in range(2):
        assert pixyproxy(tmp_path, "generate", "a duck", "-o", "duck.png").returncode == 0
        (tmp_path / "duck.png").unlink()
    return tmp_path


def test_usage_is_a_table_or_csv(folder: Path) -> None:
    days, heads, row = pixyproxy(folder, "usage").stdout.splitlines()
    assert days.endswith("(UTC)")
    assert heads.split() == ["user", *HEAD]
    assert row.split()[:3] == ["(anonymous)", "2", "0"]
    done = pixyproxy(folder, "usage", "--by", "day", "--csv")
    head, line = csv.reader(done.stdout.removeprefix("\ufeff").splitlines())
    assert head == ["day", *HEAD]
    assert (line[0], line[1]) == (days[14:24], "2")
    assert pixyproxy(folder, "usage", "--user", "alice").stdout.endswith("(UTC): nothing was generated\n")
    assert "nothing was generated" in pixyproxy(folder, "usage", "--from", "2020-01-01", "--to", "2020-12-31").stdout
    assert "nothing was generated" in pixyproxy(folder, "usage", "--class", "9a").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--by", "hour"], 2, "'user', 'class', 'model', 'day'"),
        (["--from", "yesterday"], 1, "from: must be a day such as 2026-11-21"),
        (["--from", "2026-11-02", "--to", "2026-11-01"], 1, "to: must not be before `from`"),
    ],
)
def test_a_mistake_says_what_is_right(arguments: list[str], status: int, words: str, tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "usage", *arguments)
    assert done.returncode == status
    assert words in done.stderr


def test_sums_that_differ_are_found_and_made_anew(folder: Path) -> None:
    assert "agrees with the charges" in pixyproxy(folder, "check", "--deep").stdout
    database = SQLiteFile(folder)
    database.path = folder / "data" / "pixyproxy.sqlite3"
    database.query("UPDATE daily_sums SET pictures = 7")
    database.query("INSERT INTO daily_sums SELECT '2020-02-29', digest, 'eve', NULL, NULL, 1, 0, 0, 0, 0, 0, 5, 0 "
                   "FROM daily_sums LIMIT 1")  # fmt: skip
    done = pixyproxy(folder, "check", "--deep")
    assert done.returncode == 1
    assert "differs from the charges on 2020-02-29, 20" in done.stdout
    assert "`pixyproxy usage --rebuild` mends it" in done.stdout
    assert pixyproxy(folder, "usage", "--rebuild").stdout == "made the sums of 2 days anew\n"
    assert pixyproxy(folder, "check", "--deep").returncode == 0
    assert pixyproxy(folder, "usage").stdout.splitlines()[2].split()[:3] == ["(anonymous)", "2", "0"]
