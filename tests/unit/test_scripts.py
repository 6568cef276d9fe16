"""The SQL scripts of both databases are numbered one by one, under the same names."""

from collections import Counter
from pathlib import Path

ADAPTERS = Path(__file__).parents[2] / "src" / "pixyproxy" / "adapters"


def names(database: str) -> list[str]:
    return sorted(path.name for path in (ADAPTERS / database / "scripts").glob("*.sql"))


def test_no_number_is_given_twice_or_left_out() -> None:
    for database in ("mysql", "sqlite"):
        numbers = Counter(int(name[:4]) for name in names(database) if not name.startswith("0000"))
        assert numbers == Counter(range(1, len(numbers) + 1)), database


def test_both_databases_have_the_same_scripts() -> None:
    assert [name for name in names("mysql") if not name.startswith("0000")] == names("sqlite")
