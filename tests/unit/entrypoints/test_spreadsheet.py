"""CSV: what spreadsheets need, and text that they would run as a formula."""

import csv

import pytest

from pixyproxy.entrypoints.spreadsheet import to_csv


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("https://example.org";"click")',
        "+1",
        "-2",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\u3000=1",
        "＝1",
        "＠SUM(A1)",
    ],
)
def test_a_formula_is_text(text: str) -> None:
    (_, (cell,)) = csv.reader(to_csv(["user"], [[text]]).splitlines(keepends=True))
    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["alice", "a=b", "Ünïcode 密語", 'said "duck", twice', "two\nlines", "0.031740"])
def test_other_text_stays_as_it_is(text: str) -> None:
    table = to_csv(["user"], [[text]])
    assert table.startswith("\ufeffuser\r\n")
    (_, (cell,)) = csv.reader(table.removeprefix("\ufeff").splitlines(keepends=True))
    assert cell == text


def test_nothing_is_an_empty_cell_and_numbers_are_numbers() -> None:
    assert to_csv(["a", "b", "c"], [[None, -1, 2]]) == "\ufeffa,b,c\r\n,-1,2\r\n"
    assert to_csv(["a"], []) == "\ufeffa\r\n"


def test_text_that_utf8_cannot_encode_is_escaped() -> None:
    assert to_csv(["a"], [["\ud800"]]) == "\ufeffa\r\n\\ud800\r\n"
