"""House rules that no linter checks: openings of docstrings, sizes of modules and folders, unique class names."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
MAX_LINES = 300
MAX_MODULES = 12
CLAUSE = re.compile(r"(What|Who|Whoever|How|Where|Whether|That)\b")


def modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield path and syntax tree of every module in a folder of the repository."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        if any(part.startswith(".") for part in path.relative_to(ROOT).parts):
            continue  # the gateway that is measured beside ours is installed there
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring, including the strings that describe a constant or an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_no_docstring_opens_with_a_clause(folder: str) -> None:
    found = [
        f"{path}:{line}: {text.splitlines()[0]}"
        for path, tree in modules(folder)
        for line, text in docstrings(tree)
        if CLAUSE.match(text)
    ]
    assert not found, "\n".join(found)


def test_clauses_and_attribute_docstrings_are_recognised() -> None:
    tree = ast.parse('"""A module."""\nX = 1\n"""What X is."""\nclass A:\n    y: int\n    """How many."""\n')
    assert [line for line, text in docstrings(tree) if CLAUSE.match(text)] == [3, 6]
    assert not CLAUSE.match("Whatever")


def test_no_module_of_the_package_is_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SRC.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_folder_of_the_package_is_full() -> None:
    counts: dict[str, int] = defaultdict(int)
    for path in SRC.rglob("*.py"):
        if path.name != "__init__.py":
            counts[str(path.parent.relative_to(ROOT))] += 1
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES} == {}


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for path, tree in modules("src"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(path)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
