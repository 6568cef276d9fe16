"""`pixyproxy budget` and `pixyproxy settle`: what they print, and what they refuse."""

from pathlib import Path

import pytest

from tests.fixtures.service import pixyproxy

GUID = "0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"


def test_budgets_are_set_listed_and_removed(tmp_path: Path) -> None:
    assert pixyproxy(tmp_path, "budget", "list").stdout == "no budgets: nothing is capped\n"
    done = pixyproxy(tmp_path, "budget", "set", "each:9a", "2", "--per", "day")
    assert (done.returncode, done.stdout) == (0, "each:9a: 2.000000 USD per day\n")
    heads, row = (line.split() for line in pixyproxy(tmp_path, "budget", "list").stdout.splitlines())
    assert heads == ["scope", "per", "cap", "spent", "reserved", "possibly", "left"]
    assert row == ["each:9a", "day", "2.000000", "0.000000", "0.000000", "0.000000", "2.000000"]
    assert pixyproxy(tmp_path, "budget", "remove", "each:9a").stdout == "removed the budget each:9a\n"
    done = pixyproxy(tmp_path, "budget", "remove", "each:9a")
    assert (done.returncode, done.stderr) == (1, "pixyproxy: There is no budget 'each:9a'.\n")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["budget", "set", "9a", "2"], 1, "must be service, class:KEY, user:NAME or each:KEY"),
        (["budget", "set", "service", "1,50"], 1, "must be an amount from 0 to 1000000 US dollars, such as 12.50"),
        (["budget", "set", "service", "1", "--per", "week"], 2, "month"),
        (["settle", GUID, "--billed", "ten"], 1, "must be an amount"),
        (["settle", GUID, "--unbilled"], 1, "There is no such image."),
        (["settle", "no guid", "--unbilled"], 1, "There is no such image."),
        (["settle", GUID], 2, "exactly one of --billed USD and --unbilled"),
        (["settle", GUID, "--billed", "1", "--unbilled"], 2, "exactly one of --billed USD and --unbilled"),
    ],
)
def test_a_mistake_says_what_would_be_right(arguments: list[str], status: int, words: str, tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, *arguments)
    assert done.returncode == status
    assert words in done.stderr
