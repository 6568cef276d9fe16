"""SQL scripts: splitting them into statements, and finding which are to be applied."""

import re
from importlib.resources import files
from typing import Any

import pytest

from pixyproxy.adapters.sql.migrations import (
    AppliedScript,
    Script,
    ensure_current,
    load_scripts,
    pending,
    read_applied,
    record,
    split_statements,
)
from pixyproxy.adapters.sql.session import pyformat
from pixyproxy.domain.errors import SchemaVersionError

APPLIED_ONE = AppliedScript(1, "0001_one.sql", Script(1, "0001_one.sql", "SELECT 1;").checksum)
ONE, TWO = Script(1, "0001_one.sql", "SELECT 1;"), Script(2, "0002_two.sql", "SELECT 2;")


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        (" ;; \n; ", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;\nSELECT 2;\n", ["SELECT 1", "SELECT 2"]),
        ("-- nothing; here\nSELECT 1; -- nor; here", ["SELECT 1"]),
        ("--\nSELECT 1;--\r\nSELECT 2;\n--", ["SELECT 1", "SELECT 2"]),
        ("SELECT/* a;\n'b */1;/**/SELECT 2", ["SELECT 1", "SELECT 2"]),
        (
            "SELECT ';', 'it''s;', 'a\\';', \";\", `;`;SELECT 2",
            ["SELECT ';', 'it''s;', 'a\\';', \";\", `;`", "SELECT 2"],
        ),
        ("SELECT '-- no comment', '/* nor this */';", ["SELECT '-- no comment', '/* nor this */'"]),
        ("SELECT 3--2;", ["SELECT 3--2"]),
        (
            "CREATE TRIGGER t AFTER DELETE ON a BEGIN DELETE FROM b; DELETE FROM c; END;SELECT 1",
            ["CREATE TRIGGER t AFTER DELETE ON a BEGIN DELETE FROM b; DELETE FROM c; END", "SELECT 1"],
        ),
        (
            "create temp trigger t begin select 'end;'; end ; SELECT 1",
            ["create temp trigger t begin select 'end;'; end", "SELECT 1"],
        ),
    ],
)
def test_splitting(sql: str, statements: list[str]) -> None:
    assert list(split_statements(sql)) == statements


@pytest.mark.parametrize("package", ["pixyproxy.adapters.mysql", "pixyproxy.adapters.sqlite"])
def test_scripts_are_loaded_in_order_without_the_administrators(package: str) -> None:
    versions = [script.version for script in load_scripts(package)]
    assert versions == list(range(1, len(versions) + 1))
    assert versions


def test_the_tables_of_both_servers_have_the_same_columns() -> None:
    def columns(package: str) -> dict[str, list[str]]:
        tables = {}
        for script in load_scripts(package):
            for statement in split_statements(script.sql):
                if match := re.match(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+) \((.*)\)", statement, re.DOTALL):
                    tables[match[1]] = re.findall(r"^ +`?([a-z_0-9]+)`? +[A-Z]", match[2], re.MULTILINE)
                elif match := re.match(r"ALTER TABLE (\w+)\s(.*)", statement, re.DOTALL):
                    tables[match[1]] += re.findall(r"\bADD COLUMN `?([a-z_0-9]+)`? +[A-Z]", match[2])
        return tables

    assert columns("pixyproxy.adapters.mysql") == columns("pixyproxy.adapters.sqlite")
    assert {"prompt", "batch"} <= set(columns("pixyproxy.adapters.mysql")["images"])


def test_every_script_for_mysql_can_be_run_again() -> None:
    """An interrupted script is repeated; after a second change of the same table, the first could not be detected."""
    for script in load_scripts("pixyproxy.adapters.mysql"):
        changed = []
        for statement in split_statements(script.sql):
            if match := re.match(r"ALTER TABLE (\w+)\s", statement):
                changed.append(match[1])
            else:
                assert re.match(r"(CREATE TABLE IF NOT|DROP TABLE IF) EXISTS |UPDATE |INSERT IGNORE ", statement), (
                    statement
                )
        assert len(changed) == len(set(changed)), script.name


def test_the_administrators_script_is_in_the_package() -> None:
    script = files("pixyproxy.adapters.mysql").joinpath("scripts", "0000_create_database_and_user.sql")
    kinds = [statement.split()[0] for statement in split_statements(script.read_text(encoding="utf-8"))]
    assert kinds == ["CREATE", "CREATE", "GRANT", "CREATE", "GRANT"]


def test_line_ends_do_not_change_the_checksum() -> None:
    assert Script(1, "x", "a\nb\n").checksum == Script(1, "x", "a\r\nb").checksum
    assert Script(1, "x", "a\nb").checksum != Script(1, "x", "a\nc").checksum


def test_pending_scripts() -> None:
    assert pending([ONE, TWO], []) == [ONE, TWO]
    assert pending([ONE, TWO], [APPLIED_ONE]) == [TWO]
    ensure_current([ONE], [APPLIED_ONE])


def test_an_older_schema_is_refused_with_the_command_to_run() -> None:
    with pytest.raises(SchemaVersionError, match=r"0002_two\.sql.*pixyproxy migrate"):
        ensure_current([ONE, TWO], [APPLIED_ONE])


@pytest.mark.parametrize("floor", [None, 2, 3])
def test_a_newer_schema_that_breaks_this_program_is_refused(floor: int | None) -> None:
    with pytest.raises(SchemaVersionError, match=r"newer.*0002_two\.sql"):
        pending([ONE], [APPLIED_ONE, AppliedScript(2, TWO.name, TWO.checksum, floor)])


@pytest.mark.parametrize("floor", [0, 1])
def test_a_newer_schema_that_only_added_something_is_accepted(floor: int) -> None:
    applied = [APPLIED_ONE, AppliedScript(2, TWO.name, TWO.checksum, floor)]
    assert pending([ONE], applied) == []
    ensure_current([ONE], applied)


def test_one_breaking_script_among_newer_ones_is_refused() -> None:
    applied = [APPLIED_ONE, AppliedScript(2, "0002_a.sql", "x", 2), AppliedScript(3, "0003_b.sql", "x", 1)]
    with pytest.raises(SchemaVersionError, match=r"newer.*0002_a\.sql"):
        ensure_current([ONE], applied)


def test_an_unknown_script_that_is_not_newer_is_refused() -> None:
    with pytest.raises(SchemaVersionError, match=r"0001_other\.sql"):
        pending([TWO], [AppliedScript(1, "0001_other.sql", "x", 1)])


@pytest.mark.parametrize(
    ("sql", "floor"),
    [
        ("SELECT 1;", 9),
        ("-- Adds a column.\n--\n-- floor: 6\n\nSELECT 1;", 6),
        ("-- floor: 6\r\nSELECT 1;", 6),
        ("-- The floor: 6 is named elsewhere.\nSELECT 1;", 9),
        ('-- such as "-- floor: 6" of it\nSELECT 1;', 9),
    ],
)
def test_the_floor_of_a_script(sql: str, floor: int) -> None:
    assert Script(9, "0009_x.sql", sql).floor == floor


class Table:
    """A session whose table of applied scripts ends with a script of `latest` version."""

    def __init__(self, latest: int) -> None:
        self.latest = latest
        self.statements: list[str] = []

    def fetch(self, sql: str, parameters: object) -> list[tuple[object, ...]]:
        self.statements.append(sql)
        rows: list[tuple[object, ...]] = [(1, "0001_one.sql", "x"), (self.latest, "latest.sql", "y")]
        return [(*row, 5) for row in rows] if "floor" in sql else rows

    def change(self, sql: str, parameters: object) -> int:
        self.statements.append(sql)
        return 1


@pytest.mark.parametrize(("latest", "floor"), [(5, None), (6, 5)])
def test_floors_are_read_and_written_once_the_table_has_the_column(latest: int, floor: int | None) -> None:
    table: Any = Table(latest)
    assert read_applied(table)[-1] == AppliedScript(latest, "latest.sql", "y", floor)
    record(table, Script(latest, "latest.sql", ""))
    assert ["floor" in sql for sql in table.statements] == [False] + [floor is not None] * (2 if floor else 1)


def test_a_changed_script_is_refused_by_name() -> None:
    with pytest.raises(SchemaVersionError, match=r"0001_one\.sql has changed"):
        pending([ONE, TWO], [AppliedScript(1, ONE.name, TWO.checksum)])


@pytest.mark.parametrize(
    ("sql", "converted"),
    [
        ("SELECT :a, :b_2", "SELECT %(a)s, %(b_2)s"),
        ("SELECT ':a %', :a % 2", "SELECT ':a %%', %(a)s %% 2"),
        ("SELECT 'it''s :a', '12:30'", "SELECT 'it''s :a', '12:30'"),
    ],
)
def test_parameters_for_mysql(sql: str, converted: str) -> None:
    assert pyformat(sql) == converted
